package run

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestSlimImageHoldsWhatTheProgramUsed(t *testing.T) {
	bin := husk(t)
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	got := run(t, nil, bin, "slim", "--tag", "slim-test", "cat", "/etc/debian_version")
	if got.status != 0 || !strings.Contains(got.stderr, "slim-test:latest: ") {
		t.Fatalf("status %d, %s", got.status, got.stderr)
	}
	want := run(t, nil, "cat", "/etc/debian_version").stdout
	if got.stdout != want {
		t.Errorf("stdout %q, want %q", got.stdout, want)
	}
	if got = run(t, nil, bin, "run", "image:slim-test"); got.status != 0 || got.stdout != want {
		t.Errorf("the image: status %d, stdout %q, %s", got.status, got.stdout, got.stderr)
	}
	got = run(t, nil, bin, "run", "--missing", "image:slim-test", "/etc/services")
	if got.status != 1 || !strings.Contains(got.stderr, "husk: missing: /etc/services, which is on this host") {
		t.Errorf("a miss: status %d, %s", got.status, got.stderr)
	}
	tree := filepath.Join(t.TempDir(), "tree.erofs")
	if got = run(t, nil, bin, "slim", "-o", tree, "--include", "/etc/services", "--tag", "slim-more", "image:slim-test"); got.status != 125 {
		t.Errorf("what the image never had was included: status %d, %s", got.status, got.stderr)
	}
}
