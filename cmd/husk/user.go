package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"husk/spec"
)

// findUser resolves UID[:GID], either of which may be a name, by the files of
// the root file system at dir. It also gives the home directory.
func findUser(s, dir string) (u spec.User, home string, err error) {
	return findUserIn(s, func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, "etc", name)) }, strings.TrimSuffix(dir, "/"))
}

// findUserIn is findUser by what read gives of the files in /etc. Messages have
// where before that directory's name.
func findUserIn(s string, read func(name string) ([]byte, error), where string) (u spec.User, home string, err error) {
	name, group, grouped := strings.Cut(s, ":")
	passwd, err := readTable(read, "passwd", 7)
	if err != nil {
		return u, "", err
	}
	groups, err := readTable(read, "group", 4)
	if err != nil {
		return u, "", err
	}
	home = "/"
	uid, numeric := number(name)
	found := false
	for _, e := range passwd {
		if e[0] == name || numeric && e[2] == name {
			id, ok1 := number(e[2])
			gid, ok2 := number(e[3])
			if !ok1 || !ok2 {
				continue
			}
			uid, u.GID, name, home, found = id, gid, e[0], e[5], true
			break
		}
	}
	switch {
	case name == "":
		return u, "", fmt.Errorf("-u %s: no user given (as in -u 1000:1000)", s)
	case !found && !numeric:
		return u, "", fmt.Errorf("-u %s: no user %q in %s", s, name, where+"/etc/passwd")
	}
	u.UID = uid
	if home == "" {
		home = "/"
	}
	if grouped {
		gid, numeric := number(group)
		if !numeric {
			i := -1
			for j, e := range groups {
				if e[0] == group {
					i = j
				}
			}
			if i < 0 {
				return u, "", fmt.Errorf("-u %s: no group %q in %s", s, group, where+"/etc/group")
			}
			if gid, numeric = number(groups[i][2]); !numeric {
				return u, "", fmt.Errorf("-u %s: group %q has no number", s, group)
			}
		}
		u.GID = gid
		return u, home, nil
	}
	if found {
		for _, e := range groups {
			for member := range strings.SplitSeq(e[3], ",") {
				if id, ok := number(e[2]); ok && member == name && id != u.GID {
					u.AdditionalGids = append(u.AdditionalGids, id)
				}
			}
		}
	}
	return u, home, nil
}

// readTable reads the lines of /etc/NAME that have the number of fields. A
// missing file is an empty one.
func readTable(read func(name string) ([]byte, error), name string, fields int) (table [][]string, err error) {
	b, err := read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up the user: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if e := strings.Split(strings.TrimSuffix(line, "\n"), ":"); len(e) == fields {
			table = append(table, e)
		}
	}
	return table, nil
}

func number(s string) (uint32, bool) {
	v, err := strconv.ParseUint(s, 10, 32)
	return uint32(v), err == nil
}
