package pkgs

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"husk/host/elfdeps"
	"husk/host/oci"
	"husk/host/rootfs"
	"husk/host/store"
)

// AssembleOptions say what a root is made of besides packages.
type AssembleOptions struct {
	KeepDocs bool
	Bars     oci.Bars
	Recipe   *Recipe // may be nil
	// Main is the package whose programs are told to Program.
	Main    string
	Program func(p string)
}

// Limits bound what the packages may unpack to by what the index says they do,
// which leaves a damaged or hostile one no room to fill the disk.
func Limits(ps []*Package) oci.Limits {
	l := oci.DefaultLimits
	most := slackBytes
	for _, p := range ps {
		n, err := strconv.ParseInt(p.Stanza.Get("Installed-Size"), 10, 40)
		if err != nil || n < 0 {
			return l
		}
		most += 2 * n << 10
	}
	l.Bytes = min(l.Bytes, most)
	return l
}

// slackBytes is for headers, rounding, and estimates that were made by hand.
var slackBytes int64 = 64 << 20

// Assemble unpacks packages above one another and does what their scripts
// would have done, as far as that is declared.
func Assemble(ctx context.Context, l *oci.Layers, cache *store.Use, ps []*Package, o AssembleOptions) error {
	t := l.Tree
	for _, d := range merged[:3] {
		if err := errors.Join(t.Mkdir("/usr/"+d, 0o755), t.Symlink("usr/"+d, "/"+d)); err != nil {
			return err
		}
	}
	if err := errors.Join(t.Mkdir("/usr/lib64", 0o755), t.Symlink("usr/lib64", "/lib64")); err != nil {
		return err
	}
	files, err := fetchAll(ctx, cache, ps, o.Bars)
	if err != nil {
		return err
	}
	for link, target := range map[string]string{"/var/run": "/run", "/var/lock": "/run/lock"} {
		if err := errors.Join(t.Mkdir(target, 0o755), t.Symlink(target, link)); err != nil {
			return err
		}
	}
	var as []alternative
	for i, p := range ps {
		more, err := add(l, files[i], p, o)
		if err != nil {
			return fmt.Errorf("package %s: %w", p.Name, err)
		}
		as = append(as, more...)
	}
	t = l.Tree
	if err := settle(t, as); err != nil {
		return err
	}
	if err := accounts(t, o.Recipe); err != nil {
		return err
	}
	if err := authorities(t); err != nil {
		return err
	}
	if err := t.AddBase(); err != nil {
		return err
	}
	if o.Recipe != nil {
		if err := o.Recipe.apply(t); err != nil {
			return err
		}
	}
	if err := t.WriteFile("/etc/ld.so.cache", elfdeps.WriteCache(elf.EM_X86_64, libraries(t)), 0o644); err != nil {
		return err
	}
	var status strings.Builder
	for _, p := range slices.SortedFunc(slices.Values(ps), func(a, b *Package) int { return strings.Compare(a.Name, b.Name) }) {
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\n", p.Name)
		for k, v := range p.Stanza.Fields() {
			switch k {
			case "Package", "Status", "Filename", "Size", "MD5sum", "SHA1", "SHA512", "Description-md5", "Tag":
				continue
			}
			fmt.Fprintf(&status, "%s: %s\n", k, v)
		}
		status.WriteByte('\n')
	}
	return t.WriteFile("/var/lib/dpkg/status", []byte(status.String()), 0o644)
}

func add(l *oci.Layers, name string, p *Package, o AssembleOptions) ([]alternative, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	control, err := Control(f, st.Size())
	if err != nil {
		return nil, err
	}
	took := func(file string) {
		if p.Name == o.Main && o.Program != nil && slices.Contains(programDirs, path.Dir(file)) {
			o.Program(file)
		}
	}
	return alternatives(control["postinst"]), unpack(l, f, st.Size(), p.Name, o.KeepDocs, took)
}

// settle makes the links of alternatives, the highest priority first. Where a
// package has a file of that name, that stays.
func settle(t *rootfs.Tree, as []alternative) error {
	slices.SortStableFunc(as, func(a, b alternative) int { return b.priority - a.priority })
	for _, a := range as {
		link, target := "/"+inUsr(a.link[1:]), "/"+inUsr(a.target[1:])
		if t.Lookup(link) != nil || t.Lookup(target) == nil || isDropped(link[1:]) {
			continue
		}
		if err := t.Symlink(a.target, link); err != nil {
			return err
		}
	}
	return nil
}

// authorities puts the certificates of ca-certificates together, where programs
// look for them: its script would do that, with openssl.
func authorities(t *rootfs.Tree) error {
	d := t.Lookup("/usr/share/ca-certificates")
	if d == nil || !d.IsDir() {
		return nil
	}
	var all strings.Builder
	err := (&rootfs.Tree{Root: d}).Walk(func(p string, n *rootfs.Node) error {
		if b := text(n); strings.HasSuffix(p, ".crt") && b != "" {
			all.WriteString(strings.TrimSuffix(b, "\n") + "\n")
		}
		return nil
	})
	const file = "/etc/ssl/certs/ca-certificates.crt"
	return errors.Join(err, t.WriteFile(file, []byte(all.String()), 0o644), t.Symlink(file, "/usr/lib/ssl/cert.pem"))
}

// libraries finds what ldconfig would: names by directory, since every Debian
// package ships the links of its libraries' names.
func libraries(t *rootfs.Tree) map[string]string {
	dirs := []string{"/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib"}
	if d := t.Lookup("/etc/ld.so.conf.d"); d != nil && d.IsDir() {
		for _, name := range d.Names() {
			for line := range strings.Lines(text(d.Child(name))) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "/") {
					dirs = append(dirs, "/"+inUsr(path.Clean(line)[1:]))
				}
			}
		}
	}
	libs := map[string]string{}
	for _, dir := range dirs {
		d := t.Lookup(dir)
		if d == nil || !d.IsDir() {
			continue
		}
		for _, name := range d.Names() {
			if n := d.Child(name); !n.IsDir() && strings.Contains(name, ".so") && (strings.HasPrefix(name, "lib") || strings.HasPrefix(name, "ld-")) && libs[name] == "" {
				libs[name] = path.Join(dir, name)
			}
		}
	}
	return libs
}

// text is the content of a small file, or "".
func text(n *rootfs.Node) string {
	if n == nil || !n.IsRegular() || n.Size > 1<<20 {
		return ""
	}
	r, err := n.Open()
	if err != nil {
		return ""
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return ""
	}
	return string(b)
}

// Users that Debian's base-passwd gives every system, with their numbers.
const basePasswd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
games:x:5:60:games:/usr/games:/usr/sbin/nologin
man:x:6:12:man:/var/cache/man:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
proxy:x:13:13:proxy:/bin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
backup:x:34:34:backup:/var/backups:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`

const baseGroup = `root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
mail:x:8:
man:x:12:
proxy:x:13:
www-data:x:33:
backup:x:34:
shadow:x:42:
utmp:x:43:
staff:x:50:
games:x:60:
users:x:100:
nogroup:x:65534:
`

// accounts makes users, groups and their directories: those of every Debian
// system, of sysusers.d(5), of the recipe, and tmpfiles.d(5).
func accounts(t *rootfs.Tree, recipe *Recipe) error {
	passwd, group := basePasswd, baseGroup
	users, groups := ids(passwd), ids(group)
	next := 101
	addGroup := func(name string) {
		if _, ok := groups[name]; !ok {
			groups[name] = next
			group += fmt.Sprintf("%s:x:%d:\n", name, next)
			next++
		}
	}
	addUser := func(name, id, home, shell string) {
		if _, ok := users[name]; ok || name == "" || strings.ContainsAny(name+home+shell, ":\n") {
			return
		}
		addGroup(name)
		n := groups[name]
		if v, err := strconv.Atoi(id); err == nil && v > 0 && v < 65536 {
			n = v
		}
		if home == "" || home == "-" {
			home = "/nonexistent"
		}
		if shell == "" || shell == "-" {
			shell = "/usr/sbin/nologin"
		}
		users[name] = n
		passwd += fmt.Sprintf("%s:x:%d:%d::%s:%s\n", name, n, groups[name], home, shell)
	}
	for line := range lines(t, "/usr/lib/sysusers.d") {
		f := fields(line)
		for len(f) < 6 {
			f = append(f, "")
		}
		switch f[0] {
		case "u", "u!":
			addUser(f[1], f[2], f[4], f[5])
		case "g":
			addGroup(f[1])
		}
	}
	if recipe != nil {
		for _, u := range recipe.Users {
			addUser(u.Name, "", u.Home, "")
		}
	}
	if err := errors.Join(t.WriteFile("/etc/passwd", []byte(passwd), 0o644), t.WriteFile("/etc/group", []byte(group), 0o644)); err != nil {
		return err
	}
	for line := range lines(t, "/usr/lib/tmpfiles.d") {
		f := fields(line)
		if len(f) < 2 || !slices.Contains([]string{"d", "D"}, strings.TrimRight(f[0], "!-+=^~$")) || strings.ContainsAny(f[1], "%") || path.Clean(f[1]) != f[1] || !strings.HasPrefix(f[1], "/") {
			continue
		}
		perm, user, grp := uint64(0o755), "", ""
		if len(f) > 2 && f[2] != "-" {
			if v, err := strconv.ParseUint(strings.TrimLeft(f[2], "~:"), 8, 12); err == nil {
				perm = v
			}
		}
		if len(f) > 3 {
			user = f[3]
		}
		if len(f) > 4 {
			grp = f[4]
		}
		if err := directory(t, f[1], uint32(perm), users[user], groups[grp]); err != nil {
			continue // something else stands there
		}
	}
	if recipe != nil {
		for _, d := range recipe.Dirs {
			if err := directory(t, d.Path, 0o755, users[d.Owner], groups[d.Owner]); err != nil {
				return err
			}
		}
	}
	return nil
}

// directory makes a directory with an owner, also where one stands.
func directory(t *rootfs.Tree, p string, perm uint32, uid, gid int) error {
	p = strings.Replace(p, "/var/run/", "/run/", 1)
	if err := t.Mkdir(p, perm); err != nil {
		return err
	}
	n := t.Lookup(p)
	n.Mode = n.Mode&^0o7777 | perm
	n.UID, n.GID = uint32(uid), uint32(gid)
	return nil
}

// lines gives what stands in the .conf files of a directory.
func lines(t *rootfs.Tree, dir string) func(func(string) bool) {
	return func(yield func(string) bool) {
		d := t.Lookup(dir)
		if d == nil || !d.IsDir() {
			return
		}
		for _, name := range d.Names() {
			if !strings.HasSuffix(name, ".conf") {
				continue
			}
			for line := range strings.Lines(text(d.Child(name))) {
				if line = strings.TrimSpace(line); line != "" && line[0] != '#' && !yield(line) {
					return
				}
			}
		}
	}
}

// fields splits a line at blanks that are not in quotes.
func fields(s string) []string {
	var all []string
	quoted, open := false, false
	for _, r := range s {
		switch {
		case r == '"':
			if quoted = !quoted; quoted && !open {
				all, open = append(all, ""), true
			}
		case !quoted && (r == ' ' || r == '\t'):
			open = false
		default:
			if !open {
				all, open = append(all, ""), true
			}
			all[len(all)-1] += string(r)
		}
	}
	return all
}

// ids reads the numbers of a passwd or group file.
func ids(s string) map[string]int {
	m := map[string]int{}
	for line := range strings.Lines(s) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) > 2 {
			m[f[0]], _ = strconv.Atoi(f[2])
		}
	}
	return m
}
