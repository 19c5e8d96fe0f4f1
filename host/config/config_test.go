package config

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"husk/host/rootfs"
)

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

const opsExample = `{
  "Program": "bin/server",
  "Args": ["-p", "8080", "data.txt"],
  "Env": {"B": "2", "A": "1"},
  "Files": ["a.txt"],
  "Dirs": ["static"],
  "MapDirs": {"site/*.html": "/var/www"},
  "Mounts": {"vol": "/data"},
  "BaseVolumeSz": "200m",
  "NameServers": ["10.0.0.3"],
  "Debugflags": ["trace", "color"],
  "NoTrace": ["write"],
  "Klibs": ["tls"],
  "KlibDir": "",
  "ManifestPassthrough": {"cwd": "/srv", "readonly_rootfs": "true"},
  "runconfig": {
    "Memory": "2g", "CPUs": 2, "Ports": ["80", "9000-9010,443"], "UDPPorts": ["53"],
    "IPAddress": "10.0.0.2", "Gateway": "10.0.0.1", "TapName": "tap0", "Bridged": true, "Background": true,
    "Accel": false, "Mounts": ["more:/more"], "GdbPort": 0
  }
}`

func TestOPSConfigIsReadAsItIs(t *testing.T) {
	dir := t.TempDir()
	c, err := Read(write(t, dir, "config.json", opsExample))
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Program: "bin/server", Args: []string{"-p", "8080", "data.txt"}, Env: map[string]string{"A": "1", "B": "2"},
		Files: []string{"a.txt"}, Dirs: []string{"static"}, MapDirs: map[string]string{"site/*.html": "/var/www"},
		Memory: "2G", CPUs: 2, Detach: true, Accel: "tcg", Workdir: "/srv", Strace: "!write",
		Ports:   []string{"80:80", "9000-9010:9000-9010", "443:443", "53:53/udp"},
		Volumes: []string{"vol:/data", "more:/more"},
		Net: Network{
			Mode: "tap=tap0", IP: "10.0.0.2", Netmask: "255.255.255.0", Gateway: "10.0.0.1", DNS: []string{"10.0.0.3"},
		},
		Dir: dir, copyArgs: true,
	}
	warnings := c.Warnings
	c.Warnings = nil
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	for _, w := range []string{"BaseVolumeSz", "Klibs", "color", "readonly_rootfs", "Bridged"} {
		if !slices.ContainsFunc(warnings, func(s string) bool { return strings.Contains(s, w) }) {
			t.Errorf("no warning of %s in %q", w, warnings)
		}
	}
	if len(warnings) != 5 {
		t.Errorf("%d warnings: %q", len(warnings), warnings)
	}
}

func TestBadConfigurationsNameTheLine(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"c.json", "{\n \"Args\": [],\n \"Prot\": 1\n}", `c.json:3: unknown member "Prot"`},
		{"c.json", "{\"RunConfig\": {\n\"Memry\": \"1G\"}}", `c.json:2: unknown member "Memry"`},
		{"c.json", "{\n\"Args\": \"x\"}", "c.json:2: Args is a string, not a []string"},
		{"c.json", "{\n\"Args\": [", "c.json:2: ends in the middle"},
		{"c.json", "{\n\n\"Args\": x}", "c.json:3: invalid character"},
		{"c.json", "{}\n{}", "c.json:2: more follows"},
		{"c.json", strings.Repeat(`{"CloudConfig":`, 1) + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}", "nested too deeply"},
		{"c.json", `{"ManifestPassthrough": {"cwd": "srv"}}`, `c.json: the working directory "srv" is not absolute`},
		{"c.json", `{"MapDirs": {"a": "b"}}`, `a goes to "b", which is no absolute path`},
		{"husk.yaml", "program: x\nprogam: y\n", "husk.yaml:2: unknown field \"progam\""},
		{"husk.yaml", "net:\n  mode: user\n  ipp: 1\n", "husk.yaml:3: unknown field \"ipp\""},
		{"husk.yaml", "cpus: many\n", "husk.yaml:1: "},
		{"husk.yaml", "env:\n  - a\n", "husk.yaml:2: "},
		{"husk.yaml", "cpus: -1\n", "husk.yaml: -1 processors"},
		{"husk.yaml", "env: {\"A=B\": x}\n", `"A=B" is no name of an environment variable`},
		{"husk.yaml", strings.Repeat("[", 100), "nested too deeply"},
	} {
		_, err := Read(write(t, t.TempDir(), c.file, c.text))
		var own *Error
		if !errors.As(err, &own) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s %q: error %v, want one with %q", c.file, c.text, err, c.want)
		}
	}
	if _, err := Read("none.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestFilesGoWhereTheConfigurationSays(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"a.txt", "data.txt", "static/x", "static/sub/y", "site/i.html", "site/sub/j.html", "site/no.txt", "all/z", "other/m"} {
		write(t, dir, f, f)
	}
	write(t, dir, "m", "/from/manifest: other/m\n")
	c := &Config{
		Dir: dir, copyArgs: true, Args: []string{"-v", "data.txt", "none.txt"},
		Files: []string{"a.txt", filepath.Join(dir, "a.txt")}, Dirs: []string{"static"},
		MapDirs:  map[string]string{"site/*.html": "/var/www", "all": "/opt/all"},
		Manifest: "m",
	}
	tree := rootfs.NewTree()
	if err := c.Place(tree); err != nil {
		t.Fatal(err)
	}
	for p, host := range map[string]string{
		"/a.txt": "a.txt", dir + "/a.txt": "a.txt", "/data.txt": "data.txt", "/static/x": "static/x", "/static/sub/y": "static/sub/y",
		"/var/www/i.html": "site/i.html", "/var/www/sub/j.html": "site/sub/j.html", "/opt/all/z": "all/z", "/from/manifest": "other/m",
	} {
		if n := tree.Lookup(p); n == nil || n.Host != filepath.Join(dir, host) {
			t.Errorf("%s is %+v", p, n)
		}
	}
	if tree.Lookup("/var/www/no.txt") != nil || tree.Lookup("/none.txt") != nil {
		t.Error("files that were not asked for")
	}
	for _, bad := range []*Config{
		{Dir: dir, Files: []string{"none"}},
		{Dir: dir, Files: []string{"static"}},
		{Dir: dir, Dirs: []string{"a.txt"}},
		{Dir: dir, MapDirs: map[string]string{"none/*": "/x"}},
		{Dir: dir, MapDirs: map[string]string{"site/[": "/x"}},
		{Dir: dir, Manifest: "none"},
	} {
		if err := bad.Place(rootfs.NewTree()); err == nil {
			t.Errorf("%+v was placed", bad)
		}
	}
}

func TestTemplateIsAConfiguration(t *testing.T) {
	dir := t.TempDir()
	c, err := Read(write(t, dir, "husk.yaml", string(Template("./x y", []string{"-a", "b: \"c\""}))))
	if err != nil {
		t.Fatal(err)
	}
	if want := (&Config{Program: "./x y", Args: []string{"-a", "b: \"c\""}, Dir: dir}); !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v", c)
	}
	// What it shows in comments holds as well.
	var all []string
	for l := range strings.SplitSeq(string(Template("", nil)), "\n") {
		if l, ok := strings.CutPrefix(l, "#"); ok && (!strings.HasPrefix(l, " ") || strings.HasPrefix(l, "  ")) {
			all = append(all, l)
		}
	}
	c, err = Read(write(t, dir, "all.yaml", strings.Join(all, "\n")))
	if err != nil {
		t.Fatalf("%v in\n%s", err, strings.Join(all, "\n"))
	}
	if c.Memory != "256M" || c.CPUs != 1 || len(c.Ports) != 1 {
		t.Errorf("got %+v", c)
	}
}

var update = flag.Bool("update", false, "write docs/husk.schema.json anew")

func TestSchemaIsCurrent(t *testing.T) {
	const file = "../../docs/husk.schema.json"
	if *update {
		if err := os.WriteFile(file, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(b, Schema()) {
		t.Errorf("%v: docs/husk.schema.json is not what the configuration is (go test ./host/config -update)", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(true, opsExample)
	f.Add(false, string(Template("p", nil)))
	f.Fuzz(func(t *testing.T, ops bool, text string) {
		var err error
		if ops {
			_, err = parseOPS([]byte(text))
		} else {
			_, err = parseYAML([]byte(text))
		}
		var own *Error
		if err != nil && !errors.As(err, &own) {
			t.Errorf("error %v is none of ours", err)
		}
	})
}
