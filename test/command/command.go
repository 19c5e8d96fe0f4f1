// Package command finds the command that the suites below test/ run: what
// $HUSK names, or bin/husk of this repository if it has been made.
package command

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Find gives the command's path, or says what is missing of it and of the
// programs that a suite needs as well.
func Find(programs ...string) (string, error) {
	bin := os.Getenv("HUSK")
	if bin == "" {
		root, err := repository()
		if err != nil {
			return "", err
		}
		bin = filepath.Join(root, "bin", "husk")
		if _, err := os.Stat(filepath.Join(root, "host/embedded/files/kernel.elf")); err != nil {
			return "", errors.New("there is no kernel (run 'make')")
		}
	}
	if _, err := exec.LookPath(bin); err != nil {
		return "", fmt.Errorf("%w (run 'make')", err)
	}
	for _, p := range append([]string{"qemu-system-x86_64"}, programs...) {
		if _, err := exec.LookPath(p); err != nil {
			return "", fmt.Errorf("%s is not installed", p)
		}
	}
	return bin, nil
}

// Path is Find for a test, which is skipped where something is missing. Where
// $HUSK asks for a command that is not there it fails.
func Path(t testing.TB, programs ...string) string {
	t.Helper()
	bin, err := Find(programs...)
	if err != nil {
		if named := os.Getenv("HUSK"); named != "" {
			if _, e := os.Stat(named); e != nil {
				t.Fatal(err)
			}
		}
		t.Skip(err)
	}
	return bin
}

// Quiet is Path after a first run: that may say which accelerator it found.
func Quiet(t testing.TB, programs ...string) string {
	t.Helper()
	bin := Path(t, programs...)
	first.Do(func() { _ = exec.Command(bin, "run", "true").Run() })
	return bin
}

var first sync.Once

// repository is the directory of go.mod above the working directory, which
// go test makes that of the package.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("not in husk's repository")
		}
		dir = up
	}
}
