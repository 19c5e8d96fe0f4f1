package elfdeps

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestResolveAgreesWithLdd compares load order and paths with what the
// machine's own dynamic linker says, over a sample of its programs.
func TestResolveAgreesWithLdd(t *testing.T) {
	if _, err := exec.LookPath("ldd"); err != nil {
		t.Skip("no ldd")
	}
	progs, _ := filepath.Glob("/usr/bin/*")
	step := max(1, len(progs)/60)
	if testing.Short() {
		step = max(1, len(progs)/10)
	}
	r, err := NewResolver(Options{})
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for i := 0; i < len(progs); i += step {
		c, err := r.Resolve(progs[i])
		var fe *FormatError
		if errors.As(err, &fe) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", progs[i], err)
			continue
		}
		if c.Static() || c.Musl {
			continue
		}
		// ldd takes $ORIGIN from the name it is given, the kernel from the
		// file that links lead to.
		cmd := exec.Command("ldd", c.Program.Real)
		cmd.Env = []string{"PATH=/usr/bin:/bin"}
		out, err := cmd.Output()
		if err != nil {
			continue
		}
		var want []string
		for line := range strings.Lines(string(out)) {
			line, _, _ = strings.Cut(line, " (0x")
			if line = strings.TrimSpace(line); !strings.Contains(line, "linux-vdso") {
				want = append(want, line)
			}
		}
		var b strings.Builder
		if err := c.Print(&b); err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(b.String()) {
			got = append(got, strings.TrimSpace(line))
		}
		// The dynamic linker lists itself where it was first needed.
		self := func(l string) bool { return strings.Contains(l, "/ld-linux") }
		got, want = slices.DeleteFunc(got, self), slices.DeleteFunc(want, self)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", progs[i], strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
		compared++
	}
	t.Logf("compared %d programs", compared)
}
