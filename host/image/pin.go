package image

import (
	"encoding/binary"
	"io"
	"path"
	"strings"

	"husk/host/rootfs"
)

// python keeps Python's compiled modules true when times are pinned: a .pyc
// begins with its source's time of modification (PEP 3147, PEP 552), and
// Python would compile every module at every start if that were another.
func (pin *Pin) python(t *rootfs.Tree) {
	_ = t.Walk(func(p string, n *rootfs.Node) error {
		if !n.IsRegular() || n.Size < pycHeader || !strings.HasSuffix(p, ".pyc") {
			return nil
		}
		dir, name := path.Split(p)
		if path.Base(dir) != "__pycache__" {
			return nil // found without its source, and then not compared
		}
		module, _, _ := strings.Cut(name, ".")
		source := t.Lookup(path.Join(path.Dir(path.Clean(dir)), module+".py"))
		if source == nil {
			return nil
		}
		var head [pycHeader]byte
		r, err := n.Open()
		if err != nil {
			return nil // whoever reads the content says so
		}
		defer r.Close()
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil
		}
		le := binary.LittleEndian
		sec, _ := seconds(source.Mtime)
		// Flags: by hash instead of by time. What is out of date stays so.
		if le.Uint32(head[4:]) != 0 || le.Uint32(head[8:]) != uint32(sec) {
			return nil
		}
		sec, _ = seconds(pin.Mtime)
		le.PutUint32(head[8:], uint32(sec))
		n.Patch = head[:]
		return nil
	})
}

const pycHeader = 16
