package vmm

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func nameless(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate("husk-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a memory file for %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
