package image

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"husk/host/rootfs"
	"husk/host/sysroot"
)

// Options steer Write.
type Options struct {
	// Pin, when not nil, replaces the owner and time of every file.
	Pin *Pin
	// Context, when not nil, is asked between files whether to go on.
	Context context.Context
	// SplitSize, unless 0, is from which size on NewPlan makes parts.
	SplitSize int64
}

// Pin is an owner and a time (nanoseconds since 1970) for every file.
type Pin struct {
	UID, GID uint32
	Mtime    int64
	// Modes keeps of the permissions only what a umask cannot change: whether
	// the owner may execute, and the set-user-ID, set-group-ID and sticky bits.
	Modes bool
}

// Apply pins a tree.
func (pin *Pin) Apply(t *rootfs.Tree) {
	pin.python(t)
	_ = t.Walk(func(_ string, n *rootfs.Node) error {
		n.UID, n.GID, n.Mtime = pin.UID, pin.GID, pin.Mtime
		for name := range n.Xattrs {
			if name != "security.capability" {
				delete(n.Xattrs, name) // the host's affair, as owners are
			}
		}
		if !pin.Modes {
			return nil
		}
		perm := uint32(0o644)
		switch {
		case n.IsLink():
			perm = 0o777
		case n.IsDir() && n.Mode&0o1000 != 0:
			perm = 0o777
		case n.IsDir() || n.Mode&0o100 != 0:
			perm = 0o755
		}
		n.Mode = n.Mode&^0o777 | perm
		return nil
	})
}

// Write writes the tree as an EROFS image. It fails when a file of the host
// is not as long as it was when the tree was made.
func Write(w io.Writer, t *rootfs.Tree, o Options) error {
	when := int64(0)
	if o.Pin != nil {
		when = o.Pin.Mtime
	}
	p, err := makePlan(pinned(t, o.Pin), when)
	if err != nil {
		return err
	}
	iw := &writer{w: bufio.NewWriterSize(w, 1<<20), raw: w, ctx: o.Context}
	if err := iw.image(p); err != nil {
		return err
	}
	return iw.w.Flush()
}

// Size is how long the image of the tree will be.
func Size(t *rootfs.Tree) (uint64, error) {
	p, err := makePlan(t, 0)
	if err != nil {
		return 0, err
	}
	return p.end, nil
}

// pinned returns a tree whose nodes have the pinned owner and time.
func pinned(t *rootfs.Tree, pin *Pin) *rootfs.Tree {
	if pin == nil {
		return t
	}
	return t.Map(func(n *rootfs.Node) {
		n.UID, n.GID, n.Mtime = pin.UID, pin.GID, pin.Mtime
	})
}

// writer writes forward and knows where it stands.
type writer struct {
	w   *bufio.Writer
	raw io.Writer
	ctx context.Context
	pos uint64
	buf []byte
}

func (w *writer) write(b []byte) error {
	n, err := w.w.Write(b)
	w.pos += uint64(n)
	return err
}

var zeros [BlockSize]byte

// seek writes zeros up to pos.
func (w *writer) seek(pos uint64) error {
	if pos < w.pos {
		return fmt.Errorf("internal error: image position %d is behind %d", pos, w.pos)
	}
	for w.pos < pos {
		if err := w.write(zeros[:min(pos-w.pos, BlockSize)]); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) image(p *plan) error {
	if err := w.head(p); err != nil {
		return err
	}
	for _, g := range p.groups {
		for _, i := range g.files {
			if w.ctx != nil && w.ctx.Err() != nil {
				return w.ctx.Err()
			}
			if err := w.content(i); err != nil {
				return err
			}
		}
		if err := w.seek(g.meta); err != nil {
			return err
		}
		for _, i := range g.files {
			if err := w.inode(p, i); err != nil {
				return err
			}
			i.tail = nil
		}
		if err := w.seek(g.end); err != nil {
			return err
		}
	}
	return w.seek(p.end)
}

// head writes all but the files. The first block is made in memory: its
// checksum stands in the super block. All these inodes are known without
// reading files.
func (w *writer) head(p *plan) error {
	for _, i := range p.special {
		if i.node.IsDir() && i.tailN > 0 {
			data := dirData(i.ents)
			i.tail = data[i.blocks*BlockSize:]
		}
	}
	head := &sliceWriter{}
	hw := &writer{w: bufio.NewWriterSize(head, 64<<10)}
	if err := hw.seek(superOffset + superSize); err != nil {
		return err
	}
	for _, i := range p.special {
		if err := hw.inode(p, i); err != nil {
			return err
		}
	}
	if err := hw.seek(p.meta); err != nil {
		return err
	}
	if err := hw.w.Flush(); err != nil {
		return err
	}
	super(head.b[:BlockSize], p)
	if err := w.write(head.b); err != nil {
		return err
	}
	for _, i := range p.dirs {
		if err := w.seek(uint64(i.block) * BlockSize); err != nil {
			return err
		}
		data := []byte(i.node.Target)
		if i.node.IsDir() {
			data = dirData(i.ents)
		}
		if err := w.write(data[:min(uint64(len(data)), i.blocks*BlockSize)]); err != nil {
			return err
		}
	}
	return nil
}

type sliceWriter struct{ b []byte }

func (s *sliceWriter) Write(b []byte) (int, error) {
	s.b = append(s.b, b...)
	return len(b), nil
}

// content writes a file's whole blocks and keeps its tail.
func (w *writer) content(i *inode) error {
	if i.size == 0 {
		return nil
	}
	if i.blocks > 0 {
		if err := w.seek(uint64(i.block) * BlockSize); err != nil {
			return err
		}
	}
	outside := min(i.size, i.blocks*BlockSize)
	if i.node.Content != nil || i.node.Patch != nil {
		return w.foreign(i, outside)
	}
	if i.node.Host == "" {
		if uint64(len(i.node.Data)) != i.size {
			return fmt.Errorf("%s: its size is %d but its content %d bytes", i.path, i.size, len(i.node.Data))
		}
		i.tail = i.node.Data[outside:]
		return w.write(i.node.Data[:outside])
	}
	f, err := os.Open(i.node.Host)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := w.copy(f, outside); err != nil {
		return changed(i, err)
	}
	i.tail = make([]byte, i.tailN)
	if _, err := io.ReadFull(f, i.tail); err != nil {
		return changed(i, err)
	}
	return nil
}

// foreign is content for what is part of something else.
func (w *writer) foreign(i *inode, outside uint64) error {
	r, err := i.node.Open()
	if err != nil {
		return fmt.Errorf("%s: %w", i.path, err)
	}
	defer r.Close()
	if w.buf == nil {
		w.buf = make([]byte, copyBuffer)
	}
	n, err := io.CopyBuffer(onlyWriter{w.w}, io.LimitReader(r, int64(outside)), w.buf)
	w.pos += uint64(n)
	if err == nil && uint64(n) < outside {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		i.tail = make([]byte, i.tailN)
		_, err = io.ReadFull(r, i.tail)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", i.path, err)
	}
	return nil
}

func changed(i *inode, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s became shorter while it was read", i.node.Host)
	}
	return err
}

// copy copies n bytes of a file. Long ones go past the buffer, file to file,
// which lets the host share or splice them.
func (w *writer) copy(f *os.File, n uint64) error {
	if n == 0 {
		return nil
	}
	var dst io.Writer = w.w
	if out, ok := w.raw.(*os.File); ok && n >= 256<<10 {
		if err := w.w.Flush(); err != nil {
			return err
		}
		dst = out
	} else if w.buf == nil {
		w.buf = make([]byte, copyBuffer)
	}
	var m int64
	var err error
	if dst == w.w {
		m, err = io.CopyBuffer(onlyWriter{dst}, io.LimitReader(f, int64(n)), w.buf)
	} else {
		m, err = io.CopyN(dst, f, int64(n))
	}
	w.pos += uint64(m)
	if err == nil && uint64(m) < n {
		err = io.ErrUnexpectedEOF
	}
	return err
}

const copyBuffer = 256 << 10

// onlyWriter hides bufio's ReadFrom, so that CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }

// inode writes one inode with its attributes and inline data at its place.
func (w *writer) inode(p *plan, i *inode) error {
	if err := w.seek(i.nid * slot); err != nil {
		return err
	}
	le := binary.LittleEndian
	n := i.node
	var b [extendedSize]byte
	size := compactSize
	format := i.layout << 1
	if i.wide {
		format |= 1
		size = extendedSize
	}
	u := i.block
	switch n.Mode & sysroot.TypeMask {
	case sysroot.TypeChr, sysroot.TypeBlk:
		u = n.Minor&0xff | n.Major<<8 | n.Minor&^0xff<<12
	case sysroot.TypeFifo, sysroot.TypeSock:
		u = 0
	}
	if u == noBlock && i.size == 0 {
		u = 0
	}
	le.PutUint16(b[0:], format)
	if len(i.xattr) > 0 {
		le.PutUint16(b[2:], uint16((len(i.xattr)-xattrHeader)/4+1))
	}
	le.PutUint16(b[4:], uint16(n.Mode))
	if i.wide {
		le.PutUint64(b[8:], i.size)
		le.PutUint32(b[16:], u)
		le.PutUint32(b[20:], i.ino)
		le.PutUint32(b[24:], n.UID)
		le.PutUint32(b[28:], n.GID)
		sec, ns := seconds(n.Mtime)
		le.PutUint64(b[32:], uint64(sec))
		le.PutUint32(b[40:], ns)
		le.PutUint32(b[44:], i.nlink)
	} else {
		le.PutUint16(b[6:], uint16(i.nlink))
		le.PutUint32(b[8:], uint32(i.size))
		le.PutUint32(b[16:], u)
		le.PutUint32(b[20:], i.ino)
		le.PutUint16(b[24:], uint16(n.UID))
		le.PutUint16(b[26:], uint16(n.GID))
	}
	if err := w.write(b[:size]); err != nil {
		return err
	}
	if err := w.write(i.xattr); err != nil {
		return err
	}
	if len(i.tail) < i.tailN {
		return fmt.Errorf("internal error: %s has lost its tail", i.path)
	}
	return w.write(i.tail[:i.tailN])
}

// seconds splits nanoseconds since 1970, also before it.
func seconds(ns int64) (int64, uint32) {
	s, r := ns/1e9, ns%1e9
	if r < 0 {
		s, r = s-1, r+1e9
	}
	return s, uint32(r)
}

// super fills the super block into the first block and adds its checksum:
// CRC-32C, not inverted at the end, of the block from the super block on.
func super(block []byte, p *plan) {
	le := binary.LittleEndian
	b := block[superOffset:]
	sec, ns := seconds(p.when)
	le.PutUint32(b[0:], superMagic)
	le.PutUint32(b[8:], compatChecksum|compatMtime)
	b[12] = 12 // log2 of the block size
	le.PutUint16(b[14:], uint16(p.root.nid))
	le.PutUint64(b[16:], uint64(p.inodes))
	le.PutUint64(b[24:], uint64(sec))
	le.PutUint32(b[32:], ns)
	le.PutUint32(b[36:], uint32(p.end/BlockSize))
	copy(b[64:80], "husk")
	le.PutUint32(b[4:], ^crc32.Checksum(b, castagnoli))
}

// Extended attributes: a header of 12 bytes, then entries of 4 bytes with the
// name behind its prefix's index and the value, each padded to 4.
const xattrHeader = 12

var xattrPrefixes = []struct {
	index  uint8
	prefix string
}{
	{2, "system.posix_acl_access"},
	{3, "system.posix_acl_default"},
	{1, "user."},
	{4, "trusted."},
	{6, "security."},
}

func encodeXattrs(x map[string][]byte) ([]byte, error) {
	if len(x) == 0 {
		return nil, nil
	}
	b := make([]byte, xattrHeader)
	for _, name := range slices.Sorted(maps.Keys(x)) {
		value := x[name]
		index, rest := uint8(0), name
		for _, p := range xattrPrefixes {
			if r, ok := strings.CutPrefix(name, p.prefix); ok {
				index, rest = p.index, r
				break
			}
		}
		if index == 0 {
			return nil, fmt.Errorf("the extended attribute %q has an unknown prefix", name)
		}
		if len(rest) > 255 || len(value) > 65535 {
			return nil, fmt.Errorf("the extended attribute %q is too long", name)
		}
		b = append(b, byte(len(rest)), index, byte(len(value)), byte(len(value)>>8))
		b = append(append(b, rest...), value...)
		b = append(b, zeros[:-len(b)&3]...)
	}
	if (len(b)-xattrHeader)/4+1 > 65535 {
		return nil, errors.New("the extended attributes are too long")
	}
	return b, nil
}
