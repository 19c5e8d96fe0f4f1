package main

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// lookUser finds a user by name in the root's passwd(5), with the
// supplementary groups that group(5) gives it.
func (m *machine) lookUser(name string) (*cred.Cred, error) {
	passwd, err := m.readFile("/etc/passwd")
	if err != nil {
		return nil, wrap("look up user "+name, err)
	}
	for line := range strings.Lines(passwd) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) < 4 || f[0] != name {
			continue
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err1 != nil || err2 != nil {
			return nil, fail("look up user "+name, "its line in /etc/passwd has no numbers")
		}
		return cred.User(cred.UID(uid), cred.GID(gid), m.groupsOf(name)), nil
	}
	return nil, fail("look up user "+name, "not in /etc/passwd of the root")
}

// groupsOf lists the groups that name a user as a member.
func (m *machine) groupsOf(name string) []cred.GID {
	text, err := m.readFile("/etc/group")
	if err != nil {
		return nil
	}
	var groups []cred.GID
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) < 4 {
			continue
		}
		for _, member := range strings.Split(f[3], ",") {
			if gid, err := strconv.ParseUint(f[2], 10, 32); member == name && err == nil {
				groups = append(groups, cred.GID(gid))
			}
		}
	}
	return groups
}

// readFile reads a small file of the root.
func (m *machine) readFile(path string) (string, error) {
	f, err := vfs.Open(m.init, path, unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Put()
	var text []byte
	chunk := make([]byte, mm.PageSize)
	for {
		b := mm.KernelBuffer(chunk)
		n, err := f.Ops.Read(m.init, f, &b, int64(len(text)))
		if err != nil {
			return "", err
		}
		if n == 0 {
			return string(text), nil
		}
		text = append(text, chunk[:n]...)
	}
}
