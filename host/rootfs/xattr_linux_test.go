package rootfs

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDirectoryKeepsItsAttributes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Lsetxattr(file, "user.key", []byte("value"), 0); err != nil {
		t.Skip(err)
	}
	tree, err := FromDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if v := string(tree.Lookup("/file").Xattrs["user.key"]); v != "value" {
		t.Errorf("the attribute is %q", v)
	}
}
