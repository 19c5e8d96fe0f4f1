package rootfs

import (
	"debug/elf"
	"path"
	"regexp"
	"strings"

	"husk/host/elfdeps"
	"husk/host/sysroot"
)

// hint says what a library or a program opens by name. A "@" in a path stands
// for the multiarch directory name (x86_64-linux-gnu). Directories are
// gathered whole.
type hint struct {
	libs    []string // prefixes of names in the closure
	progs   []string // patterns of the program's name
	symbols []string // names that the program or a library of it mentions
	golang  bool     // made by the Go toolchain
	paths   []string // patterns
}

var (
	caBundle = []string{
		"/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem", "/usr/lib/ssl/cert.pem",
		"/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		"/etc/pki/tls/cert.pem",
	}
	multiarch = map[elf.Machine]string{elf.EM_X86_64: "x86_64-linux-gnu", elf.EM_AARCH64: "aarch64-linux-gnu"}
)

var hints = []hint{
	{
		libs: []string{"libcrypto.so", "libssl.so"}, symbols: []string{"OPENSSL_init_crypto"},
		paths: []string{
			"/etc/ssl/openssl.cnf", "/usr/lib/ssl/openssl.cnf", "/usr/local/ssl/openssl.cnf", "/etc/pki/tls/openssl.cnf",
			"/usr/lib/@/ossl-modules", "/usr/lib64/ossl-modules", "/usr/lib/ossl-modules", "/usr/lib/@/engines-*",
		},
	},
	{
		// Programs that verify by directory look for hashed names.
		libs: []string{"libssl.so"}, symbols: []string{"SSL_CTX_new"},
		paths: append([]string{"/etc/ssl/certs", "/usr/lib/ssl/certs", "/etc/pki/tls/certs"}, caBundle...),
	},
	{libs: []string{"libgnutls.so", "libcurl", "libnss3.so", "libmbedtls.so", "libwolfssl.so"}, golang: true, paths: caBundle},
	{libs: []string{"libgnutls.so"}, paths: []string{"/etc/gnutls/config"}},
	{
		libs:  []string{"libtinfo", "libncurses"},
		paths: []string{"/lib/terminfo", "/etc/terminfo", "/usr/share/tabset", "/etc/inputrc"},
	},
	{
		libs:  []string{"libmagic.so"},
		paths: []string{"/usr/share/misc/magic", "/usr/share/misc/magic.mgc", "/etc/magic", "/etc/magic.mime", "/usr/share/file"},
	},
	{symbols: []string{"iconv_open"}, libs: []string{"libiconv"}, paths: []string{"/usr/lib/@/gconv", "/usr/lib64/gconv", "/usr/lib/gconv"}},
	{libs: []string{"libsasl2.so"}, paths: []string{"/usr/lib/@/sasl2", "/usr/lib64/sasl2", "/etc/sasl2"}},
	{libs: []string{"libpam.so"}, paths: []string{"/etc/pam.d", "/etc/pam.conf", "/etc/security", "/usr/lib/@/security", "/usr/lib64/security"}},
	{libs: []string{"libkrb5.so"}, paths: []string{"/etc/krb5.conf", "/usr/lib/@/krb5/plugins"}},
	{libs: []string{"libfontconfig.so"}, paths: []string{"/etc/fonts", "/usr/share/fontconfig", "/usr/share/fonts"}},
	{libs: []string{"libgvc.so"}, paths: []string{"/usr/lib/@/graphviz"}},
	{libs: []string{"libp11-kit.so"}, paths: []string{"/etc/pkcs11", "/usr/share/p11-kit"}},
	{libs: []string{"libxml2.so"}, paths: []string{"/etc/xml"}},
	{libs: []string{"libMagickCore"}, paths: []string{"/etc/ImageMagick-*", "/usr/lib/@/ImageMagick-*", "/usr/share/ImageMagick-*"}},
	{libs: []string{"libgcrypt.so"}, paths: []string{"/etc/gcrypt"}},
	{libs: []string{"libselinux.so"}, paths: []string{"/etc/selinux/config"}},
	{libs: []string{"libodbc.so"}, paths: []string{"/etc/odbc.ini", "/etc/odbcinst.ini"}},
	{libs: []string{"libaspell.so"}, paths: []string{"/usr/lib/aspell", "/var/lib/aspell"}},
	{libs: []string{"libgirepository"}, paths: []string{"/usr/lib/@/girepository-1.0"}},
	{libs: []string{"libgio-2.0.so"}, paths: []string{"/usr/lib/@/gio/modules", "/usr/share/glib-2.0/schemas", "/usr/share/mime/mime.cache"}},

	{progs: []string{"perl", "perl[0-9]*"}, libs: []string{"libperl.so"}, paths: []string{
		"/etc/perl", "/usr/lib/@/perl*", "/usr/share/perl", "/usr/share/perl5", "/usr/lib/perl5", "/usr/lib64/perl5",
		"/usr/local/lib/@/perl*", "/usr/local/share/perl*", "/usr/local/lib/perl*", "/usr/local/lib/site_perl",
	}},
	{progs: []string{"ruby", "ruby[0-9]*"}, libs: []string{"libruby"}, paths: []string{
		"/usr/lib/ruby", "/usr/lib/@/ruby", "/usr/lib64/ruby", "/usr/share/ruby", "/usr/share/rubygems*",
		"/var/lib/gems", "/usr/lib/@/rubygems-integration", "/usr/local/lib/ruby", "/usr/share/gems", "/usr/lib/@/ruby-[0-9]*",
	}},
	{progs: []string{"lua", "lua5*", "luajit*", "texlua*"}, libs: []string{"liblua"}, paths: []string{
		"/usr/share/lua", "/usr/lib/@/lua", "/usr/lib/lua", "/usr/lib64/lua", "/usr/local/share/lua", "/usr/local/lib/lua", "/usr/share/luajit-*",
	}},
	{progs: []string{"node", "nodejs"}, libs: []string{"libnode.so"}, paths: []string{
		"/usr/share/nodejs", "/usr/lib/@/nodejs", "/usr/lib/nodejs", "/etc/ssl/openssl.cnf", "/usr/lib/ssl/openssl.cnf", "/usr/share/node_modules",
	}},
	{progs: []string{"php", "php[0-9]*", "php-cgi*"}, paths: []string{"/etc/php", "/usr/lib/php", "/usr/lib64/php", "/etc/php.ini", "/etc/php.d", "/usr/share/php"}},
	{libs: []string{"libtcl"}, progs: []string{"tclsh*"}, paths: []string{"/usr/share/tcltk", "/usr/lib/tcltk", "/usr/lib/tcl8*", "/usr/lib/@/tcl*", "/usr/share/tcl8*"}},
	{libs: []string{"libguile"}, paths: []string{"/usr/share/guile", "/usr/lib/@/guile"}},
	{progs: []string{"gawk"}, paths: []string{"/usr/share/awk", "/usr/lib/@/gawk"}},
	{progs: []string{"vim*", "vi", "view", "rvim"}, paths: []string{"/usr/share/vim", "/etc/vim"}},
	{progs: []string{"nano"}, paths: []string{"/etc/nanorc", "/usr/share/nano"}},
	{progs: []string{"git", "git-*"}, paths: []string{"/usr/lib/git-core", "/usr/share/git-core", "/etc/gitconfig"}},
	{progs: []string{"troff", "groff", "grotty", "nroff", "*roff"}, paths: []string{"/usr/share/groff", "/etc/groff"}},
	{progs: []string{"dircolors", "ls"}, paths: []string{"/etc/DIR_COLORS"}},
	{progs: []string{"ssh", "scp", "sftp"}, paths: []string{"/etc/ssh/ssh_config", "/etc/ssh/ssh_config.d"}},
	{progs: []string{"wget"}, paths: []string{"/etc/wgetrc"}},
	{progs: []string{"localedef", "locale"}, paths: []string{"/usr/share/i18n", "/usr/share/locale/locale.alias"}},
	{progs: []string{"gs"}, paths: []string{"/usr/share/ghostscript", "/var/lib/ghostscript"}},
	{progs: []string{"psql", "postgres", "initdb"}, paths: []string{"/usr/share/postgresql", "/usr/lib/postgresql", "/etc/postgresql-common"}},
	{progs: []string{"mysqld", "mariadbd", "mysql", "mariadb"}, paths: []string{"/etc/mysql", "/usr/share/mysql", "/usr/share/mariadb"}},
	{progs: []string{"nginx"}, paths: []string{"/etc/nginx", "/usr/share/nginx", "/usr/lib/nginx", "/var/lib/nginx", "/var/www"}},
	{progs: []string{"redis-server"}, paths: []string{"/etc/redis"}},
	{progs: []string{"lighttpd"}, paths: []string{"/etc/lighttpd", "/usr/lib/lighttpd"}},
	{progs: []string{"gpg", "gpg2", "gpgv"}, paths: []string{"/usr/share/gnupg", "/etc/gnupg"}},
	{progs: []string{"gdb"}, paths: []string{"/usr/share/gdb", "/etc/gdb"}},
	{progs: []string{"pkg-config", "pkgconf"}, paths: []string{"/usr/share/pkgconfig", "/usr/lib/@/pkgconfig", "/usr/share/pkgconfig/personality.d"}},
	{libs: []string{"libapt-pkg.so"}, paths: []string{"/etc/apt/apt.conf", "/etc/apt/apt.conf.d", "/usr/share/dpkg"}},
	{progs: []string{"*gcc-ar*", "*gcc-nm*", "*gcc-ranlib*"}, paths: []string{"/usr/lib/gcc/*/*/liblto_plugin.so", "/usr/libexec/gcc/*/*/liblto_plugin.so"}},
	{progs: []string{"xmllint", "xsltproc"}, paths: []string{"/usr/share/xml"}},
	{progs: []string{"espeak*"}, paths: []string{"/usr/share/espeak*"}},
}

// runtimes adds what the program and its libraries open by name. p is the
// path as it was asked for and res what it leads to; the first linked
// libraries of the closure are the program's own, the others were found in
// the trees of a runtime.
func (b *builder) runtimes(c *elfdeps.Closure, linked int, p string, res sysroot.Resolved) error {
	if b.foreign() {
		return nil
	}
	if !c.Static() && !c.Musl {
		if err := b.glibc(c); err != nil {
			return err
		}
	}
	names := []string{path.Base(p), path.Base(res.Path)}
	// A language's own trees bring libraries whose hints hold as well
	// (Python's _ssl wants certificates): go round until nothing is new.
	if err := b.languages(c, p, res, names); err != nil {
		return err
	}
	if err := b.resolveModules(c); err != nil {
		return err
	}
	for changed := true; changed; {
		changed = false
		for i := range hints {
			if b.hints[i] || !hints[i].applies(c, linked, names) {
				continue
			}
			b.hints[i] = true
			changed = true
			if err := b.addPaths(hints[i].paths); err != nil {
				return err
			}
		}
		if err := b.resolveModules(c); err != nil {
			return err
		}
	}
	return b.terminal(c)
}

func (h *hint) applies(c *elfdeps.Closure, linked int, names []string) bool {
	for _, pattern := range h.progs {
		for _, n := range names {
			if ok, _ := path.Match(pattern, n); ok {
				return true
			}
		}
	}
	if h.golang && c.Program.File.Go {
		return true
	}
	for _, l := range c.Libs {
		base := path.Base(l.Name)
		for _, lib := range h.libs {
			if strings.HasPrefix(base, lib) {
				return true
			}
		}
	}
	if len(h.symbols) > 0 {
		if c.Program.File.Mentions(h.symbols...) {
			return true
		}
		for _, l := range c.Libs[:linked] {
			// libc itself has every symbol; the program's wish counts.
			if !strings.HasPrefix(path.Base(l.Name), "libc.") && l.File.Mentions(h.symbols...) {
				return true
			}
		}
	}
	return false
}

// addPaths adds everything that the patterns match, directories whole.
func (b *builder) addPaths(patterns []string) error {
	for _, pattern := range patterns {
		pattern = strings.ReplaceAll(pattern, "@", multiarch[b.opts.Machine])
		for _, p := range b.root.Glob(pattern) {
			if err := b.addTree(p, skipDevelopment); err != nil && !absent(err) {
				return err
			}
		}
	}
	return nil
}

// skipDevelopment leaves out of a runtime's tree what only serves building
// and testing it.
func skipDevelopment(p string, info *sysroot.Info) bool {
	base := path.Base(p)
	if info.IsDir() {
		return false
	}
	return strings.HasSuffix(base, ".a") || strings.HasSuffix(base, ".o") || strings.HasSuffix(base, ".debug")
}

// glibc adds what glibc loads by name: the unwinder for pthread_exit and
// pthread_cancel, name service modules, locales.
func (b *builder) glibc(c *elfdeps.Closure) error {
	mods := []string{"libgcc_s.so.1"}
	// glibc before 2.34 has the basic name services in modules; later ones
	// have them inside and install empty ones.
	if libc, err := b.res.Find(c, "libc.so.6"); err == nil && !libc.File.Mentions("_nss_files_getpwnam_r") {
		mods = append(mods, "libnss_files.so.2", "libnss_dns.so.2")
		if conf, err := b.root.ReadFile("/etc/nsswitch.conf", 64<<10); err == nil && strings.Contains(string(conf), "compat") {
			mods = append(mods, "libnss_compat.so.2")
		}
	}
	for _, m := range mods {
		if o, err := b.res.Find(c, m); err == nil {
			if err := b.object(c, o); err != nil {
				return err
			}
		}
	}
	paths := []string{"/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8"}
	for _, l := range b.locales() {
		lang, _, _ := strings.Cut(l, ".")
		lang, _, _ = strings.Cut(lang, "@")
		short, _, _ := strings.Cut(lang, "_")
		paths = append(paths, "/usr/lib/locale/locale-archive", "/usr/share/locale/locale.alias",
			"/usr/lib/locale/"+lang, "/usr/lib/locale/"+lang+".*",
			"/usr/share/locale/"+lang, "/usr/share/locale/"+short)
		if _, set, _ := strings.Cut(l, "."); set != "" && !strings.EqualFold(set, "UTF-8") && !strings.EqualFold(set, "utf8") {
			paths = append(paths, "/usr/lib/@/gconv", "/usr/lib64/gconv")
		}
	}
	return b.addPaths(paths)
}

// terminal adds the description of the terminal that TERM names, and of the
// common ones, for programs of the curses family.
func (b *builder) terminal(c *elfdeps.Closure) error {
	uses := false
	for _, l := range c.Libs {
		base := path.Base(l.Name)
		uses = uses || strings.HasPrefix(base, "libtinfo") || strings.HasPrefix(base, "libncurses")
	}
	if !uses {
		return nil
	}
	terms := []string{"xterm-256color", "xterm", "linux", "vt100", "vt220", "screen-256color", "tmux-256color", "dumb", "ansi"}
	if t := b.env["TERM"]; t != "" && !strings.ContainsAny(t, "/.") {
		terms = append(terms, t)
	}
	for _, t := range terms {
		if err := b.addIf("/usr/share/terminfo/" + t[:1] + "/" + t); err != nil {
			return err
		}
	}
	return nil
}

var (
	pythonName = regexp.MustCompile(`^(?:python|pypy)(\d(?:\.\d+)?)?[a-z]*$`)
	pythonLib  = regexp.MustCompile(`^libpython(\d\.\d+)`)
)

// languages adds the standard libraries of language runtimes whose place
// depends on where the program is installed.
func (b *builder) languages(c *elfdeps.Closure, p string, res sysroot.Resolved, names []string) error {
	prefix := path.Dir(path.Dir(res.Path))
	var python bool
	versions := map[string]bool{}
	prefixes := []string{prefix}
	for _, n := range names {
		if m := pythonName.FindStringSubmatch(n); m != nil {
			python = true
			if strings.Contains(m[1], ".") {
				versions[m[1]] = true
			}
		}
	}
	for _, l := range c.Libs {
		if m := pythonLib.FindStringSubmatch(path.Base(l.Name)); m != nil {
			python = true
			versions[m[1]] = true
			if m[1] != "" && !strings.HasPrefix(l.Real, prefix+"/") {
				prefixes = append(prefixes, "/usr", "/usr/local")
			}
		}
	}
	if python {
		if err := b.python(p, res, prefixes, versions); err != nil {
			return err
		}
	}
	for _, l := range c.Libs {
		if path.Base(l.Name) == "libjli.so" {
			return b.java(res)
		}
	}
	// An interpreter installed with a prefix of its own (/opt/ruby, ~/.local)
	// has its library beneath it.
	if prefix != "/usr" && prefix != "/" && prefix != "/usr/local" {
		for lang, pattern := range map[string]string{"perl": "/lib/perl5", "ruby": "/lib/ruby", "lua": "/share/lua"} {
			for _, n := range names {
				if strings.HasPrefix(n, lang) {
					if err := b.addPaths([]string{prefix + pattern}); err != nil {
						return err
					}
					break
				}
			}
		}
	}
	return nil
}

// python adds the standard library, site packages, and the virtual
// environment through which the interpreter was called.
func (b *builder) python(p string, res sysroot.Resolved, prefixes []string, versions map[string]bool) error {
	for _, at := range append([]string{p}, res.Links...) {
		env := path.Dir(path.Dir(at))
		if env == "/" || env == "/usr" || !b.root.Exists(env+"/pyvenv.cfg") {
			continue
		}
		if err := b.addTree(env, skipPython); err != nil {
			return err
		}
	}
	if len(versions) == 0 {
		for _, prefix := range prefixes {
			for _, d := range b.root.Glob(prefix + "/lib/python[0-9].[0-9]*") {
				versions[strings.TrimPrefix(path.Base(d), "python")] = true
			}
		}
	}
	var dirs []string
	for v := range versions {
		major, _, _ := strings.Cut(v, ".")
		for _, prefix := range append(prefixes, "/usr/local") {
			dirs = append(dirs, prefix+"/lib/python"+v, prefix+"/lib64/python"+v, prefix+"/lib/python"+major)
		}
		dirs = append(dirs, "/etc/python"+v)
	}
	for _, d := range dirs {
		if err := b.addTree(d, skipPython); err != nil && !absent(err) {
			return err
		}
	}
	// zoneinfo reads the system's data base.
	return b.addPaths([]string{"/etc/mime.types", "/usr/share/zoneinfo/tzdata.zi", "/usr/share/zoneinfo/[A-Z]*"})
}

// skipPython leaves out the test suites of the standard library, bytecode for
// optimisation levels nobody asked for, and what serves compiling.
func skipPython(p string, info *sysroot.Info) bool {
	base := path.Base(p)
	if info.IsDir() {
		parent := path.Base(path.Dir(p))
		std := strings.HasPrefix(parent, "python")
		return std && (base == "test" || strings.HasPrefix(base, "config-")) ||
			base == "idle_test" || base == "tests" && (parent == "lib2to3" || parent == "sqlite3" || parent == "ctypes" || parent == "distutils")
	}
	return strings.HasSuffix(base, ".opt-1.pyc") || strings.HasSuffix(base, ".opt-2.pyc") || skipDevelopment(p, info)
}

// java adds the Java home that the program belongs to.
func (b *builder) java(res sysroot.Resolved) error {
	home := path.Dir(path.Dir(res.Path))
	if path.Base(home) == "jre" {
		home = path.Dir(home)
	}
	if home == "/" || home == "/usr" {
		return nil
	}
	return b.addTree(home, func(p string, info *sysroot.Info) bool {
		base := path.Base(p)
		if info.IsDir() {
			switch strings.TrimPrefix(p, home+"/") {
			case "jmods", "demo", "sample", "man", "include", "legal", "docs":
				return true
			}
			return false
		}
		return base == "src.zip" || base == "ct.sym" && path.Base(res.Path) == "java" || strings.HasSuffix(base, ".diz") || strings.HasSuffix(base, ".debuginfo") || skipDevelopment(p, info)
	})
}
