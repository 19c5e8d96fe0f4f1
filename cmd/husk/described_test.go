package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"husk/host/store"
)

func TestImagesAreBuiltOfDescriptions(t *testing.T) {
	world(t)
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{
		"hello":       "#!/bin/sh\n",
		"m":           "/bin/hello: %(here)s/hello\n/etc/link: ->target\n",
		"husk.yaml":   "program: \"true\"\nargs: [a, b]\nfiles: [hello]\ntag: described:1\nenv: {K: v}\nports: [\"127.0.0.1:8080:80\", \"53:53/udp\"]\n",
		"c.json":      `{"Program": "true", "Files": ["hello"], "Version": "3"}`,
		"nothing.yml": "memory: 1G\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		args   []string
		status int
		image  string
		want   []string // of image inspect
		files  []string
		err    string
	}{
		{"manifest", []string{"--manifest", "m", "-D", "here=.", "-t", "m1", "/bin/hello", "x"}, 0, "m1", []string{`"/bin/hello"`, `"x"`}, []string{"/bin/hello", "/etc/link", "/etc/passwd"}, ""},
		{"husk.yaml", []string{"-c", "husk.yaml"}, 0, "described:1", []string{`"K=v"`, `"80/tcp"`, `"53/udp"`, `"a"`}, []string{"/hello"}, ""},
		{"OPS", []string{"-c", "c.json", "-t", "ops"}, 0, "ops", []string{`"org.opencontainers.image.version": "3"`}, []string{"/hello"}, ""},
		{"not in the manifest", []string{"--manifest", "m", "-D", "here=.", "/bin/none"}, 125, "", nil, nil, "m lists no /bin/none to start"},
		{"no value", []string{"--manifest", "m"}, 125, "", nil, nil, "m:1: the variable here has no value"},
		{"both", []string{"--manifest", "m", "-c", "husk.yaml"}, 125, "", nil, nil, "exclude each other"},
		{"nothing", []string{"-c", "nothing.yml"}, 125, "", nil, nil, "names neither a program nor files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, _, bad := call(append([]string{"build"}, c.args...)...)
			if status != c.status || !strings.Contains(bad, c.err) {
				t.Fatalf("status %d, %s", status, bad)
			}
			if c.image == "" {
				return
			}
			_, out, bad := call("image", "inspect", c.image)
			for _, w := range c.want {
				if !strings.Contains(out, w) {
					t.Errorf("no %s in %s%s", w, out, bad)
				}
			}
			st, err := store.Open()
			if err != nil {
				t.Fatal(err)
			}
			im, err := st.Find(c.image)
			if err != nil {
				t.Fatal(err)
			}
			defer im.Close()
			fs, err := im.FS()
			if err != nil {
				t.Fatal(err)
			}
			tree, err := fs.Tree()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range c.files {
				if tree.Lookup(f) == nil {
					t.Errorf("no %s in the image", f)
				}
			}
		})
	}
}
