//go:build inet

package main

import (
	"strings"

	"golang.org/x/sys/unix"

	"husk/kernel/inet"
	"husk/kernel/mm"
	"husk/kernel/task"
	"husk/kernel/vfs"
	"husk/spec"
)

// written are the files in which programs look for names and name servers,
// as they were written last. Who asks for addresses writes them again.
var written = map[string]string{}

// writeNames writes them. What was there is the image's, or the host's, and
// replaced in the overlay; a root that cannot be written keeps its own.
func (m *machine) writeNames(n *spec.Network) error {
	auto := false
	for _, i := range n.Interfaces {
		auto = auto || i.Auto
	}
	resolv := resolvText(n.DNS, n.Search)
	if resolv == "" && auto {
		resolv = "# DHCP or a router will say\n"
	}
	if err := vfs.Mkdir(m.init, nil, "/etc", 0o755); err != nil && err != unix.EEXIST && err != unix.EROFS {
		return wrap("write /etc", err)
	}
	for _, f := range [...]struct{ path, text string }{
		{"/etc/hosts", hostsText(n, nil)}, {"/etc/hostname", task.Hostname() + "\n"}, {"/etc/resolv.conf", resolv},
	} {
		if f.text == "" {
			continue
		}
		file, err := m.replace(f.path, f.text)
		if err == unix.EROFS {
			continue
		}
		if err != nil {
			return wrap("write "+f.path, err)
		}
		if f.path == "/etc/resolv.conf" && auto && len(n.DNS) == 0 {
			// It stays open: who opens it waits for what will be in it.
			vfs.SetGate(file, func(c vfs.Caller) error {
				if c == vfs.Caller(m.init) {
					return nil
				}
				return inet.Settle(c, true)
			})
			continue
		}
		file.Put()
	}
	return nil
}

func resolvText(dns, search []string) string {
	text := ""
	for _, s := range dns {
		text += "nameserver " + s + "\n"
	}
	if len(search) > 0 {
		text += "search " + strings.Join(search, " ") + "\n"
	}
	return text
}

func hostsText(n *spec.Network, found []string) string {
	name := task.Hostname()
	text := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	for _, i := range n.Interfaces {
		for _, a := range i.Addresses {
			ip, _, _ := strings.Cut(a, "/")
			text += ip + "\t" + name + "\n"
		}
	}
	for _, ip := range found {
		text += ip + "\t" + name + "\n"
	}
	return text
}

// replace makes path a file of its own: it may have been a link to elsewhere.
func (m *machine) replace(path, text string) (*vfs.File, error) {
	if err := vfs.Unlink(m.init, nil, path); err != nil && err != unix.ENOENT {
		return nil, err
	}
	f, err := vfs.Open(m.init, path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	b := mm.KernelBuffer([]byte(text))
	if _, err := f.Write(m.init, &b); err != nil {
		f.Put()
		return nil, err
	}
	written[path] = text
	return f, nil
}

// rewrite changes a file that replace has made, unless somebody else has
// changed it meanwhile.
func (m *machine) rewrite(path, text string) {
	old, ok := written[path]
	if !ok || old == text || text == "" {
		return
	}
	f, err := vfs.Open(m.init, path, unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	now := make([]byte, len(old)+1)
	b := mm.KernelBuffer(now)
	n, err := f.Read(m.init, &b)
	f.Put()
	if err != nil || string(now[:n]) != old {
		delete(written, path)
		return
	}
	if f, err = vfs.Open(m.init, path, unix.O_WRONLY|unix.O_TRUNC|unix.O_NOFOLLOW, 0); err != nil {
		return
	}
	defer f.Put()
	b = mm.KernelBuffer([]byte(text))
	if _, err := f.Write(m.init, &b); err == nil {
		written[path] = text
	}
}
