// Package embedded holds the kernels that the command carries. The files are
// put in place by make; without them everything compiles and Kernel says so.
package embedded

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

//go:embed files
var files embed.FS

// ErrNoKernel is the error of a command that was built without its kernel.
var ErrNoKernel = errors.New("this husk was built without a kernel: run 'make', or name one with --kernel")

// A Build is one of the kernels inside the command.
type Build string

// The kernel for machines without a network card is less than half as large
// as the one that has the TCP/IP stack, and boots faster.
const (
	Plain   Build = "files/kernel.elf"
	Network Build = "files/kernel-net.elf"
)

// Kernel opens the kernel: the file at path, or b, which is inside the
// command, when path is empty.
func Kernel(path string, b Build) (fs.File, error) {
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open the kernel: %w", err)
		}
		return f, nil
	}
	f, err := files.Open(string(b))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoKernel
	}
	return f, err
}
