package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestExtractCopiesWhatLddNames(t *testing.T) {
	program, err := exec.LookPath("ls")
	if err != nil {
		t.Skip(err)
	}
	ldd, err := exec.Command("ldd", program).Output()
	if err != nil {
		t.Skip("no ldd: ", err)
	}
	dir := filepath.Join(t.TempDir(), "new")
	status, out, bad := call("extract", program, dir)
	if status != 0 || bad != "" {
		t.Fatalf("status %d, %s", status, bad)
	}
	want := []string{program}
	for _, w := range strings.Fields(string(ldd)) {
		if strings.HasPrefix(w, "/") {
			want = append(want, w)
		}
	}
	for _, p := range want {
		info, err := os.Lstat(filepath.Join(dir, p))
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 && p == program {
			t.Errorf("%s: %v, %v", p, info, err)
		}
		if !strings.Contains(out, "Copying "+p+" ...\n") {
			t.Errorf("%s is not named in %q", p, out)
		}
	}
	if n := strings.Count(out, "\n"); n != len(want) {
		t.Errorf("%d files copied, want %d: %s", n, len(want), out)
	}
	if status, _, bad := call("extract", program, dir); status != 0 {
		t.Fatalf("over what is there: status %d, %s", status, bad)
	}
	dir = t.TempDir()
	if status, _, bad := call("extract", "--all", program, dir); status != 0 {
		t.Fatalf("status %d, %s", status, bad)
	}
	if _, err := os.Stat(filepath.Join(dir, "etc/passwd")); err != nil {
		t.Error(err)
	}
}

func TestManifestWritesWhereOSvLooks(t *testing.T) {
	t.Chdir(t.TempDir())
	status, out, bad := call("manifest", "-w", "ls")
	if status != 0 || bad != "" || !strings.Contains(out, "\n/ls: /") {
		t.Fatalf("status %d, %s%s", status, out, bad)
	}
	b, err := os.ReadFile("build/last/append.manifest")
	if err != nil || string(b) != out {
		t.Errorf("%v, %q", err, b)
	}
	if b, err := os.ReadFile("build/last/append_cmdline"); err != nil || string(b) != "/ls --help" {
		t.Errorf("%v, %q", err, b)
	}
}
