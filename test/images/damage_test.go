package images

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sound checks the store, and that so many images are in it.
func (c store) sound(t *testing.T, images int) {
	t.Helper()
	c.must(t, "image", "verify")
	if out := c.must(t, "image", "ls", "-q", "-a"); strings.Count(out, "\n") != images {
		t.Errorf("want %d images:\n%s", images, out)
	}
}

// oneLine checks that a command has failed as husk's commands fail.
func oneLine(t *testing.T, what any, out, msg string, status int) {
	t.Helper()
	if status != 125 || out != "" || strings.Count(msg, "\n") != 1 || !strings.HasPrefix(msg, "husk: ") {
		t.Errorf("%v: status %d, %q, %q", what, status, out, msg)
	}
}

// TestFileThatMayNotGrowIsOneLine limits the length of files, as a full disk
// would.
func TestFileThatMayNotGrowIsOneLine(t *testing.T) {
	h := husk(t)
	file := filepath.Join(t.TempDir(), "true.tar")
	h.must(t, "build", "-q", "-t", "true:1", "-o", file, "true")
	for _, args := range [][]string{
		{"build", "-q", "-t", "cat:1", "cat"},
		{"image", "export", "true:1", "-o", file + "2"},
		{"image", "export", "true:1", "--format", "docker", "-o", file + "2"},
	} {
		var out, msg bytes.Buffer
		cmd := exec.Command("sh", append([]string{"-c", `ulimit -f 200; exec "$@"`, "sh", h.bin}, args...)...)
		cmd.Env = h.start(nil, nil).Env
		cmd.Stdout, cmd.Stderr = &out, &msg
		_ = cmd.Run()
		oneLine(t, args, out.String(), msg.String(), cmd.ProcessState.ExitCode())
	}
	h.sound(t, 1)
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// TestKilledBuildLeavesNothingVisible kills a build in its middle, as the loss
// of power does; the next one works, and prune takes the rest away.
func TestKilledBuildLeavesNothingVisible(t *testing.T) {
	h := husk(t)
	dir := t.TempDir()
	for i := range 8 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint("file", i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(40 << 20); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), bytes.Repeat([]byte("husk"), 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(h.data, "husk", "images", "tmp")
	cmd := h.start(nil, nil, "build", "-t", "big:1", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	for begun := false; !begun; {
		select {
		case <-ended:
			begun = true
		case <-time.After(time.Millisecond):
			files, _ := os.ReadDir(tmp)
			begun = len(files) > 1
		}
	}
	_ = cmd.Process.Kill()
	<-ended
	if out := h.must(t, "image", "ls", "-q", "-a"); strings.Count(out, "\n") > 1 {
		t.Errorf("images:\n%s", out)
	}
	h.must(t, "image", "verify")
	h.must(t, "build", "-q", "-t", "big:1", dir)
	h.must(t, "image", "prune")
	h.sound(t, 1)
	if files, _ := os.ReadDir(tmp); len(files) > 0 {
		t.Errorf("left behind: %v", files)
	}
}

// TestDamagedArchivesAreOneLine cuts off and changes what is imported.
func TestDamagedArchivesAreOneLine(t *testing.T) {
	h := husk(t)
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	h.must(t, "build", "-q", "-t", "true:1", "true")
	for _, format := range []string{"oci", "oci-tar", "docker", "erofs", "tar"} {
		h.must(t, "image", "export", "true:1", "--format", format, "-o", name(format))
		h.must(t, "image", "export", "true:1", "--format", format, "-o", name(format+".gz"))
		h.must(t, "image", "export", "true:1", "--format", format, "-o", name(format+".zst"))
	}
	h.must(t, "image", "rm", "true:1")
	files, err := filepath.Glob(name("*"))
	if err != nil || len(files) != 15 {
		t.Fatalf("%d files (%v)", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cut := name("cut")
		if err := os.WriteFile(cut, b[:len(b)/2], 0o644); err != nil {
			t.Fatal(err)
		}
		out, msg, status := h.run("image", "import", "-t", "x", cut)
		oneLine(t, "half of "+filepath.Base(file), out, msg, status)
		if strings.HasPrefix(filepath.Base(file), "tar") || filepath.Base(file) == "erofs" {
			continue // nothing tells what a file in it was
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(cut, b, 0o644); err != nil {
			t.Fatal(err)
		}
		out, msg, status = h.run("image", "import", "-t", "x", cut)
		oneLine(t, "changed "+filepath.Base(file), out, msg, status)
	}
	h.sound(t, 0)
}
