package qemu

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"husk/host/vmm"
)

func TestPartsBecomeOneDisk(t *testing.T) {
	dir := t.TempDir()
	part := func(name string, size int) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	a, b, odd := part("a", 4096), part("b", 8192), part("odd", 100)
	m := &vmm.Machine{Disks: []vmm.Disk{{Parts: []string{a}, Readonly: true}, {Parts: []string{a, b}, Readonly: true}}}
	joined, done, err := join(m)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if d := joined.Disks[0]; d.Path != a || len(d.Parts) > 0 || d.File != nil {
		t.Errorf("one part: %+v", d)
	}
	f := joined.Disks[1].File
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil || !strings.Contains(string(text), "RW 8 FLAT \""+a+"\" 0\nRW 16 FLAT \""+b+"\" 0\n") {
		t.Errorf("the list is %q (%v)", text, err)
	}
	args, _ := Command(joined)
	if all := strings.Join(args, " "); strings.Count(all, "format=raw") != 1 || strings.Count(all, "format=vmdk") != 1 {
		t.Errorf("formats in %s", all)
	}
	for _, parts := range [][]string{{a, odd}, {a, dir + "/none"}} {
		if _, _, err := join(&vmm.Machine{Disks: []vmm.Disk{{Parts: parts}}}); err == nil {
			t.Errorf("%v was taken", parts)
		}
	}
}
