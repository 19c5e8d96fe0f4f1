// Package images tests images with real machines: what was made by other
// tools runs in husk as it would there, with the same files.
package images

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"husk/test/command"
)

// store is husk with a store of its own.
type store struct{ bin, data string }

// husk is the command under test.
func husk(t *testing.T) store {
	t.Helper()
	return store{command.Quiet(t), t.TempDir()}
}

// start prepares a run.
func (c store) start(stdin io.Reader, stderr io.Writer, args ...string) *exec.Cmd {
	cmd := exec.Command(c.bin, args...)
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+c.data, "SOURCE_DATE_EPOCH=")
	cmd.Stdin, cmd.Stderr = stdin, stderr
	return cmd
}

func (c store) run(args ...string) (stdout, stderr string, status int) {
	var out, msg bytes.Buffer
	cmd := c.start(nil, &msg, args...)
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return "", err.Error(), -1
	}
	return out.String(), msg.String(), cmd.ProcessState.ExitCode()
}

// must is a run that succeeds; it gives what it printed.
func (c store) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err, status := c.run(args...)
	if status != 0 {
		t.Fatalf("status %d: %s%s", status, out, err)
	}
	return out
}

// buildah runs buildah with a storage of its own.
func buildah(t *testing.T) func(args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("buildah"); err != nil {
		t.Skip("buildah is not installed")
	}
	if os.Getuid() != 0 {
		t.Skip("buildah needs root here")
	}
	dir := t.TempDir()
	try := func(args ...string) (string, error) {
		cmd := exec.Command("buildah", append([]string{"--storage-driver", "vfs", "--root", dir + "/root", "--runroot", dir + "/run"}, args...)...)
		cmd.Env = append(os.Environ(), "BUILDAH_ISOLATION=chroot")
		var out, msg bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &msg
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("buildah %v: %w\n%s", args, err, msg.String())
		}
		return strings.TrimSpace(out.String()), nil
	}
	// Some containers do not let it do its work.
	c, err := try("from", "scratch")
	if err == nil {
		_, err = try("mount", c)
	}
	if err != nil {
		t.Skip(err)
	}
	return func(args ...string) string {
		t.Helper()
		out, err := try(args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// programs are what the images are made of: files of Debian's packages.
var programs = []string{"/bin/sh", "find", "sort", "xargs", "sha256sum", "id", "env", "ls", "cat"}

// TestImageOfBuildahRunsAsThere makes an image of several layers with buildah,
// with files deleted, replaced and linked in the upper ones, and compares what
// it is in husk with what buildah has unpacked.
func TestImageOfBuildahRunsAsThere(t *testing.T) {
	h, b := husk(t), buildah(t)
	dir := t.TempDir()
	// The programs' root, by husk's own tar, is the first layer.
	script := filepath.Join(dir, "all.sh")
	lines := "#!/bin/sh\n"
	for _, p := range programs[1:] {
		lines += p + "\n"
	}
	if err := os.WriteFile(script, []byte(lines), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, p := range programs {
		h.must(t, "build", "-q", "-t", fmt.Sprintf("part%d", i), p)
		h.must(t, "image", "cp", fmt.Sprintf("part%d:/", i), filepath.Join(dir, "root"+fmt.Sprint(i)))
	}
	c := b("from", "scratch")
	for i := range programs {
		b("add", c, filepath.Join(dir, "root"+fmt.Sprint(i)), "/")
	}
	m := b("mount", c)
	write := func(name, data string, perm os.FileMode) {
		t.Helper()
		name = filepath.Join(m, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), perm); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:App:/home/app:/bin/sh\n", 0o644)
	write("etc/group", "root:x:0:\napp:x:1000:\nstaff:x:50:app\n", 0o644)
	write("old/deleted", "deleted", 0o644)
	write("old/kept", "kept", 0o640)
	write("gone/a", "a", 0o644)
	write("opaque/a", "a", 0o644)
	write("data/there", "there", 0o644)
	b("config", "--entrypoint", `["/bin/sh", "-c", "id; pwd; env | sort; ls /data /new; echo \"$@\"", "sh"]`, "--cmd", "default words",
		"--env", "GREETING=hello", "--user", "app", "--workingdir", "/srv/app", "--volume", "/data", "--volume", "/new", "--port", "80", c)
	whole(t, m)
	b("commit", "-q", c, "base:1")
	c = b("from", "base:1")
	m = b("mount", c)
	for _, gone := range []string{"old/deleted", "gone", "opaque"} {
		if err := os.RemoveAll(filepath.Join(m, gone)); err != nil {
			t.Fatal(err)
		}
	}
	write("opaque/b", "b", 0o600)
	write("suid", "s", 0o755)
	write("big", strings.Repeat("0123456789abcdef", 20000), 0o444)
	for _, err := range []error{
		os.Chmod(filepath.Join(m, "suid"), 0o755|os.ModeSetuid), os.Lchown(filepath.Join(m, "big"), 70000, 80000),
		os.Link(filepath.Join(m, "big"), filepath.Join(m, "hard")), os.Symlink("../../../etc/passwd", filepath.Join(m, "sym")),
		syscall.Mkfifo(filepath.Join(m, "fifo"), 0o620),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	whole(t, m)
	b("commit", "-q", c, "top:1")

	digests := map[string]bool{}
	for _, to := range []string{"docker-archive:" + dir + "/docker.tar:top:1", "oci-archive:" + dir + "/oci.tar:top:1", "oci:" + dir + "/layout:top"} {
		b("push", "-q", "top:1", to)
		file := strings.Split(to, ":")[1]
		digests[h.must(t, "image", "import", "-q", "-t", "top:1", file)] = true
	}
	if len(digests) != 1 {
		t.Errorf("one image in three forms gives %d", len(digests))
	}

	// Entrypoint, arguments, environment, user and directory.
	out := h.must(t, "run", "top:1")
	want := "uid=1000(app) gid=1000(app) groups=1000(app),50(staff)\n/srv/app\nGREETING=hello\nHOME=/home/app\n" +
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/srv/app\n/data:\nthere\n\n/new:\ndefault words\n"
	if out != want {
		t.Errorf("it printed\n%swant\n%s", out, want)
	}
	out = h.must(t, "run", "-u", "0:staff", "-w", "/", "-e", "GREETING=x", "image:top:1", "other", "words")
	want = "uid=0(root) gid=50(staff) groups=50(staff)\n/\nGREETING=x\nHOME=/root\n" +
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\n/data:\nthere\n\n/new:\nother words\n"
	if out != want {
		t.Errorf("with flags it printed\n%swant\n%s", out, want)
	}

	// Every file, as find and sha256sum see it.
	const look = `cd "$1" || exit
find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./srv -o -path ./new \) -prune -o -path . -o -printf '%p %y %m %U:%G %T@ %l' \( -type f -printf ' %n %s' -o -true \) -printf '\n' | sort
find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev \) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum`
	native, err := exec.Command("/bin/sh", "-c", look, "sh", m).Output()
	if err != nil {
		t.Fatal(err)
	}
	out = h.must(t, "run", "-u", "root", "--entrypoint", "/bin/sh", "top:1", "-c", look, "sh", "/")
	same(t, out, string(native))
	if n := strings.Count(out, "\n"); n < 100 {
		t.Errorf("only %d lines to compare", n)
	}

	// It goes out again, and other tools read it.
	for _, format := range []string{"docker", "oci-tar"} {
		file := filepath.Join(dir, "back-"+format)
		h.must(t, "image", "export", "--format", format, "-o", file, "top:1")
		transport := map[string]string{"docker": "docker-archive:", "oci-tar": "oci-archive:"}[format]
		back := b("mount", b("from", b("pull", "-q", transport+file)))
		again, err := exec.Command("/bin/sh", "-c", look, "sh", back).Output()
		if err != nil {
			t.Fatal(err)
		}
		same(t, string(again), string(native))
	}
	h.must(t, "image", "verify")
}

// whole gives what is new a time in whole seconds: buildah keeps no others.
func whole(t *testing.T, dir string) {
	t.Helper()
	if out, err := exec.Command("find", dir, "-depth", "-newermt", "2001-01-01", "-exec", "touch", "-h", "-d", "@1000000007", "{}", "+").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// same compares lines and tells the first few that differ.
func same(t *testing.T, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	bad := 0
	for _, l := range w {
		if !slices.Contains(g, l) && bad < 10 {
			bad++
			t.Errorf("missing: %s", l)
		}
	}
	for _, l := range g {
		if !slices.Contains(w, l) && bad < 20 {
			bad++
			t.Errorf("too much: %s", l)
		}
	}
}

// TestSameInputGivesTheSameDigest builds one directory twice, in other places,
// at other times and with other masks.
func TestSameInputGivesTheSameDigest(t *testing.T) {
	h := husk(t)
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	var digests []string
	for i, mask := range []int{0o022, 0o077} {
		syscall.Umask(mask)
		dir := filepath.Join(t.TempDir(), strings.Repeat("x", 1+i))
		for j := range 50 {
			// Another order of creation as well.
			n := j
			if i == 1 {
				n = 49 - j
			}
			name := filepath.Join(dir, fmt.Sprint("d", n%7), fmt.Sprint(n))
			if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, bytes.Repeat([]byte{byte(n)}, n*n*n), 0o666|os.FileMode(n%2*0o111)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("d1/1", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		digests = append(digests, h.must(t, "build", "-q", "-t", fmt.Sprint("same", i), dir))
		file := filepath.Join(t.TempDir(), "out.tar")
		h.must(t, "build", "-q", "-o", file, dir)
		st, err := os.Stat(file)
		if err != nil || st.Mode()&fs.ModePerm != os.FileMode(0o666&^mask) {
			t.Errorf("the archive: %v (%v)", st, err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, string(b))
	}
	if digests[0] != digests[2] {
		t.Errorf("digests %q and %q", digests[0], digests[2])
	}
	if len(digests[1]) != len(digests[3]) {
		t.Error("the archives differ in length")
	}
}

// TestManyHusksBuildTheSame builds, imports and removes the same at once.
func TestManyHusksBuildTheSame(t *testing.T) {
	h := husk(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), bytes.Repeat([]byte("x"), 3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 3 {
				for _, args := range [][]string{{"build", "-q", "-t", "same:1", dir}, {"build", "-q", "-t", fmt.Sprintf("other%d", i), dir}, {"image", "rm", fmt.Sprintf("other%d", i)}} {
					if out, msg, status := h.run(args...); status != 0 {
						t.Errorf("%v: status %d, %s%s", args, status, out, msg)
					}
				}
			}
		})
	}
	wg.Wait()
	h.must(t, "image", "verify")
	if out := h.must(t, "image", "ls", "-q", "-a"); strings.Count(out, "\n") != 1 {
		t.Errorf("images:\n%s", out)
	}
}

// TestInterruptedImportLeavesNothing ends an import in the middle of its
// standard input.
func TestInterruptedImportLeavesNothing(t *testing.T) {
	h := husk(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var msg bytes.Buffer
	cmd := h.start(r, &msg, "image", "import", "-")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	// When this has been taken, the import is in its middle: a pipe holds
	// much less.
	if _, err := w.Write(make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	// It notices with the next bytes.
	_, _ = w.Write(make([]byte, 4<<20))
	w.Close()
	_ = cmd.Wait()
	if s := cmd.ProcessState.ExitCode(); s != 130 || msg.Len() > 0 {
		t.Errorf("status %d, %q", s, msg.String())
	}
	h.must(t, "image", "verify")
	if out := h.must(t, "image", "prune"); !strings.HasPrefix(out, "removed 0 images and 0 files") {
		t.Errorf("something was left: %s", out)
	}
}

func TestImageErrorsAreOneLine(t *testing.T) {
	h := husk(t)
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk")
	if err := os.WriteFile(junk, bytes.Repeat([]byte("junk"), 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"build"},
		{"build", "-t", "No/%", "/bin/true"},
		{"build", "-t", "a//b", "/bin/true"},
		{"build", "-e", "=", "/bin/true"},
		{"build", "-D", "x=y", "/bin/true"},
		{"build", "--sysroot", "/no/such/directory", "/bin/true"},
		{"build", "-o", "/proc/self/", "/bin/true"},
		{"build", "-o", dir + "/x.tar.xz", "/bin/true"},
		{"build", "--expose", "x", "/bin/true"},
		{"build", "-o", dir + "/no/such/file", "/bin/true"},
		{"run", "image:no-such-image"},
		{"run", "--entrypoint", "/x", "true"},
		{"image", "inspect", "no-such-image"},
		{"image", "rm", "no-such-image"},
		{"image", "import", dir + "/nothing"},
		{"image", "import", junk},
		{"image", "import", empty},
		{"image", "import", "--platform", "plan9/mips", junk},
		{"image", "export", "no-such-image", "-o", dir + "/x"},
		{"image", "export", "junk", "--format", "zip", "-o", dir + "/x"},
		{"image", "import", "/dev/zero"},
		{"image", "cat", "no-such-image", "/x"},
		{"image", "cp", "no-such-image", dir},
		{"image", "tag", "no-such-image", "x:1"},
		{"diff", "no-such-image", dir},
		{"sbom", "no-such-image"},
	} {
		out, msg, status := h.run(args...)
		if status != 125 || out != "" || strings.Count(msg, "\n") != 1 || !strings.HasPrefix(msg, "husk: ") {
			t.Errorf("%v: status %d, %q, %q", args, status, out, msg)
		}
	}
	h.must(t, "image", "verify")
}

// TestLargeImageOfSeveralPartsBoots reads, in a machine, files that lie in
// different layers of an image.
func TestLargeImageOfSeveralPartsBoots(t *testing.T) {
	h := husk(t)
	dir := filepath.Join(t.TempDir(), "root")
	h.must(t, "build", "-q", "-t", "cat:1", "cat")
	h.must(t, "image", "cp", "cat:1:/", dir)
	want := ""
	for i := range 5 {
		big, err := os.Create(filepath.Join(dir, fmt.Sprintf("data%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		end := fmt.Sprintf("the end of file %d\n", i)
		if _, err := big.WriteAt([]byte(end), 36<<20); err != nil {
			t.Fatal(err)
		}
		big.Close()
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("data%d.end", i)), []byte(strings.Repeat(end, 1000)), 0o644); err != nil {
			t.Fatal(err)
		}
		want += strings.Repeat(end, 1000)
	}
	var msg bytes.Buffer
	cmd := h.start(nil, &msg, "build", "-q", "-t", "large:1", "--entrypoint", "cat", dir)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, msg.String())
	}
	if used, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok && used.Maxrss > 100<<10 {
		t.Errorf("the build took %d KiB of memory", used.Maxrss)
	}
	if out := h.must(t, "image", "inspect", "large:1"); strings.Count(out, "vnd.husk.image.layer.v1.erofs") < 4 {
		t.Fatalf("it has too few layers:\n%s", out)
	}
	args := []string{"run", "large:1"}
	for i := range 5 {
		args = append(args, fmt.Sprintf("/data%d.end", i))
	}
	if out := h.must(t, args...); out != want {
		t.Errorf("%d bytes came out, or others; want %d", len(out), len(want))
	}
}
