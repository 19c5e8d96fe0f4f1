package rootfs

import (
	"path"
	"strings"
)

// base adds the directories and the files of /etc that programs expect of
// every Linux system.
func (b *builder) base() error {
	if !b.foreign() {
		// Distributions that have merged /bin, /lib, … into /usr: the links
		// are part of every path. The directories they lead to exist.
		for _, d := range []string{"/bin", "/sbin", "/lib", "/lib64", "/lib32", "/usr/lib64", "/usr/bin", "/etc", "/var/run", "/var/lock"} {
			if err := b.addIf(d); err != nil {
				return err
			}
		}
		if err := b.addIf(
			"/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
			"/etc/protocols", "/etc/services", "/etc/networks", "/etc/rpc", "/etc/hostname", "/etc/shells",
			"/etc/os-release", "/etc/debian_version", "/etc/localtime", "/etc/timezone",
			"/usr/share/zoneinfo/UTC",
		); err != nil {
			return err
		}
		if err := b.timezone(); err != nil {
			return err
		}
		// On many hosts resolv.conf is a link into /run, whose content is
		// not part of the image: take what it says.
		if data, err := b.root.ReadFile("/etc/resolv.conf", 64<<10); err == nil {
			if err := b.tree.WriteFile("/etc/resolv.conf", data, 0o644); err != nil {
				return err
			}
		}
	}
	for _, f := range []struct{ path, content string }{
		{"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
		{"/etc/group", "root:x:0:\nnogroup:x:65534:\n"},
		{"/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"},
		{"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"},
	} {
		if b.tree.Lookup(f.path) == nil {
			if err := b.tree.WriteFile(f.path, []byte(f.content), 0o644); err != nil {
				return err
			}
		}
	}
	if b.tree.Lookup("/etc/mtab") == nil {
		if err := b.tree.Symlink("../proc/self/mounts", "/etc/mtab"); err != nil {
			return err
		}
	}
	for _, d := range []struct {
		path string
		perm uint32
	}{
		{"/proc", 0o555},
		{"/sys", 0o555},
		{"/dev", 0o755},
		{"/run", 0o755},
		{"/tmp", 0o1777},
		{"/var/tmp", 0o1777},
		{"/var/log", 0o755},
		{"/root", 0o700},
		{"/home", 0o755},
		{"/mnt", 0o755},
	} {
		if n := b.tree.Lookup(d.path); n != nil && n.IsDir() {
			// A directory of the host's that programs were found in keeps
			// its owner, but not the time at which others changed it.
			n.Mtime = 0
			continue
		}
		if err := b.mkdir(d.path, d.perm); err != nil {
			return err
		}
	}
	if b.opts.Cwd != "" {
		return b.mkdir(b.opts.Cwd, 0o755)
	}
	return nil
}

// mkdir makes an empty directory, along the root's links and with the root's
// owners where it has such directories.
func (b *builder) mkdir(p string, perm uint32) error {
	p = path.Clean("/" + p)
	if !b.foreign() && b.add(p) == nil {
		return nil
	}
	if b.tree.Lookup(p) != nil {
		return nil
	}
	if dir := path.Dir(p); dir != "/" && b.tree.Lookup(dir) == nil {
		if err := b.mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if l := b.tree.Lookup(path.Dir(p)); l != nil && l.IsLink() {
		return nil // below a link: the directory it leads to is another one
	}
	return b.tree.Mkdir(p, perm)
}

// timezone adds the zone that TZ names.
func (b *builder) timezone() error {
	tz := strings.TrimPrefix(b.env["TZ"], ":")
	switch {
	case tz == "" || strings.Contains(tz, ".."):
		return nil
	case path.IsAbs(tz):
		return b.addIf(tz)
	}
	return b.addIf("/usr/share/zoneinfo/" + tz)
}

// locales are the names that the environment asks for, "C" and its like left
// out.
func (b *builder) locales() []string {
	var names []string
	for _, v := range []string{"LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_COLLATE", "LC_NUMERIC", "LC_TIME", "LC_MONETARY", "LANG"} {
		l := b.env[v]
		lang, _, _ := strings.Cut(l, ".")
		if lang == "" || lang == "C" || lang == "POSIX" || strings.Contains(l, "/") {
			continue
		}
		names = append(names, l)
	}
	return names
}
