package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunTakesWhatTheConfigurationSays(t *testing.T) {
	world(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"husk.yaml": "program: \"true\"\nargs: [one, two]\nenv: {A: from file, B: too}\nuser: \"7:8\"\nmemory: 64M\nfiles: [data]\n",
		"c.json":    `{"Program": "true", "Args": ["one"], "RunConfig": {"Memory": "64m", "Vga": true}}`,
		"bad.json":  `{"Args": [],` + "\n" + `"Prog": 1}`,
		"none.yaml": "args: [x]\n",
		"size.yaml": "program: \"true\"\nmemory: much\n",
		"data":      "data",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		args   []string
		status int
		out    []string
		err    string
	}{
		{"husk.yaml", []string{"-c", "husk.yaml"}, 0, []string{`args ["true" "one" "two"]`, "env A=from file\n", "env B=too\n", "user 7:8"}, ""},
		{"flags win", []string{"-c", "husk.yaml", "-e", "A=flag", "-u", "9", "true", "three"}, 0, []string{
			`args ["true" "one" "two" "three"]`, "env A=flag\n", "env B=too\n", "user 9:",
		}, ""},
		{"OPS", []string{"-c", "c.json"}, 0, []string{`args ["true" "one"]`}, "c.json: RunConfig.Vga: there is no screen"},
		{"unknown member", []string{"-c", "bad.json"}, 125, nil, `bad.json:2: unknown member "Prog"`},
		{"no program", []string{"-c", "none.yaml"}, 125, nil, "names no program"},
		{"bad size", []string{"-c", "size.yaml"}, 125, nil, "size.yaml: --memory: \"much\" is no size"},
		{"no file", []string{"-c", "no"}, 125, nil, "no such file"},
		{"with -r", []string{"-c", "husk.yaml", "-r", "/"}, 125, nil, "leave out -r"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(dir)
			status, out, bad := call(append([]string{"run"}, c.args...)...)
			if status != c.status || !strings.Contains(bad, c.err) {
				t.Fatalf("status %d, %q", status, bad)
			}
			for _, w := range c.out {
				if !strings.Contains(out, w) {
					t.Errorf("no %q in %q", w, out)
				}
			}
		})
	}
}

func TestSettingsOfACardImplyANetwork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.json")
	for text, want := range map[string]string{
		`{"Program": "true", "NameServers": ["9.9.9.9"]}`:                                "user",
		`{"Program": "true", "RunConfig": {"IPAddress": "10.1.2.3"}}`:                    "user",
		`{"Program": "true", "RunConfig": {"IPAddress": "10.1.2.3", "TapName": "tap7"}}`: "tap=tap7",
		`{"Program": "true", "RunConfig": {"Memory": "64m"}}`:                            "",
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		flags := runCommand(os.Stdin).Flags()
		if _, _, err := configured(flags, file, nil, io.Discard); err != nil {
			t.Fatal(err)
		}
		if nets, err := flags.GetStringArray("net"); err != nil || strings.Join(nets, ",") != want {
			t.Errorf("%s: %q (%v)", text, nets, err)
		}
	}
}

func TestInitWritesAFileOnce(t *testing.T) {
	world(t)
	t.Chdir(t.TempDir())
	if status, _, bad := call("init", "true", "-x"); status != 0 {
		t.Fatal(status, bad)
	}
	if status, out, bad := call("run", "-c", "husk.yaml"); status != 0 || !strings.Contains(out, `args ["true" "-x"]`) {
		t.Errorf("status %d, %s%s", status, out, bad)
	}
	if status, _, bad := call("init", "true"); status != 125 || !strings.Contains(bad, "exists already") {
		t.Errorf("status %d, %s", status, bad)
	}
	if status, _, bad := call("init", "--force"); status != 0 {
		t.Errorf("status %d, %s", status, bad)
	}
}
