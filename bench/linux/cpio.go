// Package linux boots a Linux guest to compare with: Debian's cloud kernel and
// an initramfs of static programs, under the same QEMU as husk.
package linux

import (
	"bytes"
	"fmt"
	"io"
)

// file is one member of an initramfs.
type file struct {
	name string
	mode uint32
	data []byte
}

// writeCPIO writes files as a "newc" archive, which the kernel unpacks as its
// root (Documentation/driver-api/early-userspace/buffer-format.rst).
func writeCPIO(w io.Writer, files []file) error {
	var b bytes.Buffer
	pad := func() {
		for b.Len()%4 != 0 {
			b.WriteByte(0)
		}
	}
	for i, f := range append(files, file{name: "TRAILER!!!"}) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			i+1, f.mode, 0, 0, 1, 0, len(f.data), 0, 0, 0, 0, len(f.name)+1, 0)
		b.WriteString(f.name)
		b.WriteByte(0)
		pad()
		b.Write(f.data)
		pad()
	}
	_, err := w.Write(b.Bytes())
	return err
}
