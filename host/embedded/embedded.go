// Package embedded holds the kernel that the command carries. The file is put
// in place by make; without it everything compiles and Kernel says so.
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

// Kernel opens the kernel: the file at path, or the one inside the command
// when path is empty.
func Kernel(path string) (fs.File, error) {
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open the kernel: %w", err)
		}
		return f, nil
	}
	f, err := files.Open("files/kernel.elf")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoKernel
	}
	return f, err
}
