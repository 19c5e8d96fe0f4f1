package qemu

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"husk/host/vmm"
)

// join makes a disk of several files one for QEMU, which has no plain way to
// put files one behind the other but the text form of a VMDK image: a list of
// flat extents, in sectors. The list is an inherited file. A single part is
// a disk as any other.
func join(m *vmm.Machine) (*vmm.Machine, func(), error) {
	joined := *m
	joined.Disks = slices.Clone(m.Disks)
	var files []*os.File
	done := func() {
		for _, f := range files {
			f.Close()
		}
	}
	for i := range joined.Disks {
		d := &joined.Disks[i]
		if len(d.Parts) == 0 || d.File != nil {
			continue
		}
		if len(d.Parts) == 1 {
			d.Path, d.Parts = d.Parts[0], nil
			continue
		}
		text, err := extents(d.Parts)
		if err == nil {
			d.File, err = vmm.File("extents", strings.NewReader(text))
		}
		if err != nil {
			done()
			return nil, nil, err
		}
		files = append(files, d.File)
	}
	return &joined, done, nil
}

func extents(parts []string) (string, error) {
	var b strings.Builder
	b.WriteString("# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"twoGbMaxExtentFlat\"\n")
	for _, p := range parts {
		st, err := os.Stat(p)
		if err != nil {
			return "", fmt.Errorf("open the disk: %w", err)
		}
		if st.Size()%512 != 0 || strings.ContainsAny(p, "\"\n") {
			return "", fmt.Errorf("open the disk: %s cannot be a part of one", p)
		}
		fmt.Fprintf(&b, "RW %d FLAT \"%s\" 0\n", st.Size()/512, p)
	}
	return b.String(), nil
}
