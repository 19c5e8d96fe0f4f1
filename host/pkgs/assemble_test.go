package pkgs

import (
	"archive/tar"
	"fmt"
	"strings"
	"testing"

	"husk/host/rootfs"
)

func dir(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }

func link(name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
}

func TestPackagesBecomeARoot(t *testing.T) {
	m := newMirror(t)
	m.add(deb{
		name: "libx1", entries: []tar.Header{dir("./lib/"), dir("./lib/x86_64-linux-gnu/"), {Name: "./lib/x86_64-linux-gnu/libx.so.1.2"}, link("./lib/x86_64-linux-gnu/libx.so.1", "libx.so.1.2")},
		content: map[string]string{"./lib/x86_64-linux-gnu/libx.so.1.2": "library"},
	})
	m.add(deb{
		name: "server", fields: map[string]string{"Depends": "libx1 (>= 1.0), debconf", "Maintainer": "Somebody <s@example.org>"},
		entries: []tar.Header{
			dir("./bin/"),
			{Name: "./bin/server", Mode: 0o4755},
			{Name: "./bin/server-hard", Typeflag: tar.TypeLink, Linkname: "./bin/server"},
			{Name: "./usr/share/doc/server/copyright"},
			{Name: "./usr/share/man/man8/server.8.gz"},
			{Name: "./etc/init.d/server"},
			{Name: "./lib/systemd/system/server.service"},
			{Name: "./usr/lib/sysusers.d/server.conf"},
			{Name: "./usr/lib/tmpfiles.d/server.conf"},
			// In the image this leads to /etc, as it would on Debian.
			link("./usr/a", "../../../../etc"),
			{Name: "./usr/a/through"},
		},
		content: map[string]string{
			"./bin/server": "program", "./usr/lib/sysusers.d/server.conf": "u server - \"The server\" /var/lib/server\n",
			"./usr/lib/tmpfiles.d/server.conf": "d /run/server 2750 server server -\n",
		},
		postinst: "#!/bin/sh\nupdate-alternatives --install /usr/bin/serve serve \\\n\t/usr/bin/server 50\nupdate-alternatives --install /usr/bin/x x $where 1\n",
	})
	m.publish()
	recipe := &Recipe{
		Users: []User{{Name: "other", Home: "/home/other"}}, Dirs: []Dir{{Path: "/var/lib/server", Owner: "server"}},
		Files: map[string]string{"/etc/server.conf": "listen\n"},
	}
	here := newMachine(t)
	tree, err := here.install(m.source(), recipe, "server")
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{
		"/usr/bin/server": "program", "/usr/bin/server-hard": "program", "/usr/lib/x86_64-linux-gnu/libx.so.1.2": "library",
		"/etc/server.conf": "listen\n", "/etc/through": "",
	} {
		if n := tree.Lookup(p); n == nil || text(n) != want {
			t.Errorf("%s: %v", p, n)
		}
	}
	for p, want := range map[string]string{"/bin": "usr/bin", "/lib": "usr/lib", "/lib64": "usr/lib64", "/usr/bin/serve": "/usr/bin/server"} {
		if n := tree.Lookup(p); n == nil || n.Target != want {
			t.Errorf("%s: %v, want a link to %s", p, n, want)
		}
	}
	for _, p := range []string{"/usr/share/doc/server/copyright", "/usr/share/man/man8/server.8.gz", "/etc/init.d/server", "/usr/lib/systemd/system/server.service", "/usr/bin/x"} {
		if tree.Lookup(p) != nil {
			t.Errorf("%s is there", p)
		}
	}
	if n := tree.Lookup("/usr/bin/server"); n != nil && n.Mode&0o7777 != 0o4755 {
		t.Errorf("mode %o", n.Mode)
	}
	passwd := text(tree.Lookup("/etc/passwd"))
	for _, want := range []string{"server:x:101:101::/var/lib/server:", "other:x:102:102::/home/other:", "www-data:x:33:33:", "root:x:0:0:"} {
		if !strings.Contains(passwd, want) {
			t.Errorf("passwd has no %q:\n%s", want, passwd)
		}
	}
	for p, want := range map[string]string{"/run/server": "2750 101 101", "/var/lib/server": "755 101 101"} {
		if n := tree.Lookup(p); n == nil || fmt.Sprintf("%o %d %d", n.Mode&0o7777, n.UID, n.GID) != want {
			t.Errorf("%s: %+v", p, n)
		}
	}
	if !strings.Contains(text(tree.Lookup("/etc/ld.so.cache")), "libx.so.1\x00") {
		t.Error("the library is not in ld.so.cache")
	}
	if status := text(tree.Lookup("/var/lib/dpkg/status")); !strings.Contains(status, "Package: server\nStatus: install ok installed\n") || !strings.Contains(status, "Maintainer: Somebody") || strings.Contains(status, "Filename") {
		t.Errorf("status:\n%s", status)
	}
	for _, c := range []struct {
		name     string
		programs []string
		want     string
	}{
		{"server", nil, "/usr/bin/server"},
		{"server-bin", []string{"/usr/bin/a"}, "/usr/bin/server"},
		{"other", []string{"/usr/bin/a"}, "/usr/bin/a"},
		{"other", []string{"/usr/bin/a", "/usr/bin/b"}, ""},
	} {
		if p := Program(tree, c.name, c.programs); p != c.want {
			t.Errorf("%s starts %q", c.name, p)
		}
	}
	here.sound()
	again, err := newMachine(t).install(m.source(), recipe, "server")
	if err != nil {
		t.Fatal(err)
	}
	if a, b := describe(t, tree), describe(t, again); a != b {
		t.Errorf("the same packages make another root:\n%s\n%s", a, b)
	}
}

func describe(t *testing.T, tree *rootfs.Tree) string {
	t.Helper()
	var b strings.Builder
	err := tree.Walk(func(p string, n *rootfs.Node) error {
		_, err := fmt.Fprintf(&b, "%s %o %d %d %d %s %q\n", p, n.Mode, n.UID, n.GID, n.Mtime, n.Target, n.Data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSourcesAreReadAsAptReadsThem(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		read             func(string) ([]Source, error)
	}{
		{"lines", "# deb http://no/ x y\ndeb [arch=amd64,i386 signed-by=/k.gpg] http://m/debian/ stable main contrib # more\ndeb-src http://m/debian stable main\n", "{http://m/debian stable [main contrib] [/k.gpg] [] [amd64 i386]}", parseList},
		{"a flat suite", "deb file:/srv/debs ./\n", "{file:/srv/debs ./ [] [] [] []}", parseList},
		{"other ways", "deb cdrom:[Debian 12]/ stable main\ndeb tor+http://m/ stable main\ndeb copy:/srv stable main", "{file:/srv stable [main] [] [] []}", parseList},
		{"stanzas", "Types: deb deb-src\n# a comment\nURIs: http://m/debian https://n\nSuites: stable\nComponents: main\nSigned-By: /k.gpg\n\nTypes: deb\nEnabled: no\nURIs: http://o\nSuites: x\nComponents: y\n", "{http://m/debian stable [main] [/k.gpg] [] []}{https://n stable [main] [/k.gpg] [] []}", parseSources},
		{"a key inside", "Types: deb\nURIs: http://m\nSuites: s/\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n AA\n", "{http://m s/ [] [] [-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAA\n] []}", parseSources},
	} {
		all, err := c.read(c.text)
		var got string
		for _, s := range all {
			got += fmt.Sprintf("{%s %s %s %s [%s] %s}", s.URI, s.Suite, s.Components, s.SignedBy, s.Keys, s.Arch)
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %s %v, want %s", c.name, got, err, c.want)
		}
	}
	for _, bad := range []string{"deb http://m", "deb [arch=x http://m stable main", "deb http://m stable", "deb http://m ../x main", "deb nonsense stable main"} {
		if all, err := parseList(bad); err == nil {
			t.Errorf("%q: %v", bad, all)
		}
	}
}

func TestCatalogueIsComplete(t *testing.T) {
	all, err := Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range all {
		if seen[r.Name] || r.Summary == "" || len(r.Command) == 0 || !strings.HasPrefix(r.Command[0], "/") || r.Test == nil || r.Test.Expect == "" {
			t.Errorf("recipe %s is not complete", r.Name)
		}
		seen[r.Name] = true
	}
	if len(all) < 30 {
		t.Errorf("%d recipes", len(all))
	}
}
