package image

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
	"os"

	"husk/host/rootfs"
)

// A large image is stored in parts, whose concatenation is the image. The
// first part is all metadata: super block, directories, inodes and the tails
// of small files. Each further part holds the whole blocks of some files, one
// after the other in the order of their paths, and nothing that depends on
// where in the image it stands. A file that changes therefore changes the
// first part and its own; all others keep their digests, need not be read
// again to build, and not be sent again to a registry.
//
// Where a part ends depends on the paths and sizes of the files about there
// only, so that a file that comes or goes moves no distant border.

// SplitSize is from which size on an image is split.
const SplitSize = 128 << 20

const (
	partTarget = 32 << 20 // the mean size of a part, of images up to maxParts of them
	maxParts   = 128
)

// part is a run of files' blocks.
type part struct {
	start, size uint64
	files       []*inode
}

// Plan is an image that is known but for the content of its files.
type Plan struct{ p *plan }

// NewPlan plans an image in parts; a small one has one part.
func NewPlan(t *rootfs.Tree, o Options) (*Plan, error) {
	splitSize, target := uint64(SplitSize), uint64(partTarget)
	if o.SplitSize > 0 {
		splitSize = uint64(o.SplitSize)
		target = max(splitSize/8, BlockSize)
	}
	when := int64(0)
	if o.Pin != nil {
		when = o.Pin.Mtime
		o.Pin.Apply(t)
	}
	p, files, err := survey(t, when)
	if err != nil {
		return nil, err
	}
	var total uint64
	for _, i := range files {
		total += roundUp(i.size)
	}
	if total < splitSize {
		return &Plan{p}, p.assign(files)
	}
	return &Plan{p}, p.split(files, total, target)
}

// split is assign for an image in parts.
func (p *plan) split(files []*inode, total, target uint64) error {
	pos := p.assignSpecial()
	for _, i := range files {
		p.shape(i)
		pos = place(i, pos)
	}
	pos = roundUp(pos)
	p.first, p.files = pos, files
	for total/target > maxParts {
		target *= 2
	}
	open := false
	for _, i := range files {
		if i.blocks == 0 {
			continue
		}
		size := i.blocks * BlockSize
		if !open {
			p.parts = append(p.parts, part{start: pos})
			open = true
		}
		last := &p.parts[len(p.parts)-1]
		i.part, i.block = len(p.parts)-1, uint32(pos/BlockSize)
		last.files = append(last.files, i)
		last.size += size
		pos += size
		if pos/BlockSize >= noBlock {
			return fmt.Errorf("the files are too large for one image (16 TiB)")
		}
		open = !ends(i.path, size, last.size, target)
	}
	p.end = pos
	return nil
}

// ends decides whether a part ends behind a file: with a probability by the
// file's size, so that parts have the target's size in the mean, and never
// far from it.
func ends(path string, size, sum, target uint64) bool {
	switch {
	case sum < target/4:
		return false
	case sum >= 2*target || size >= target:
		return true
	}
	h := fnv.New64a()
	io.WriteString(h, path)
	v := h.Sum64() * 0x9e3779b97f4a7c15 // FNV's upper bits alone are poor
	limit, _ := bits.Div64(size, 0, target)
	return v < limit
}

// Size is how long the image will be.
func (pl *Plan) Size() int64 { return int64(pl.p.end) }

// Part is a part of a planned image behind the first.
type Part struct {
	Size int64
	// Key, unless zero, names the bytes without their having been read: by
	// the identity of the host's files.
	Key [sha256.Size]byte
	// Changed is when the last of these files changed.
	Changed int64
}

// Parts lists the parts behind the first.
func (pl *Plan) Parts() []Part {
	out := make([]Part, len(pl.p.parts))
	for n, q := range pl.p.parts {
		h := sha256.New()
		known := true
		var b [5 * 8]byte
		for _, i := range q.files {
			id, ok := i.node.Identity()
			known = known && ok
			for k, v := range id {
				binary.LittleEndian.PutUint64(b[8*k:], uint64(v))
			}
			h.Write(b[:])
			h.Write(i.node.Patch)
			out[n].Changed = max(out[n].Changed, i.node.Changed())
		}
		out[n].Size = int64(q.size)
		if known {
			h.Sum(out[n].Key[:0])
		}
	}
	return out
}

// Tails calls f for each file that has bytes in the first part: where, and
// how many.
func (pl *Plan) Tails(f func(n *rootfs.Node, off int64, size int)) {
	for _, i := range pl.p.files {
		if i.tailN > 0 {
			f(i.node, int64(i.nid*slot)+int64(i.headSize()), i.tailN)
		}
	}
}

// Output is where an image in parts goes.
type Output struct {
	First io.Writer
	// Part gives the writer for a further part, or nil when that part is
	// there already; the one before is complete then.
	Part func(n int) (io.Writer, error)
	// Tail, unless nil, may know the last bytes of a file from an earlier
	// image.
	Tail func(n *rootfs.Node, buf []byte) bool
}

// Write writes the image, front to back in each part, reading every file once.
func (pl *Plan) Write(ctx context.Context, out Output) error {
	p := pl.p
	first := &writer{w: bufio.NewWriterSize(out.First, 1<<20), raw: out.First, ctx: ctx}
	if len(p.files) == 0 {
		if err := first.image(p); err != nil {
			return err
		}
		return first.w.Flush()
	}
	if err := first.head(p); err != nil {
		return err
	}
	var data *writer // nil: the part at hand exists
	cur := -1
	finish := func() error {
		if data == nil {
			return nil
		}
		if err := data.seek(p.parts[cur].start + p.parts[cur].size); err != nil {
			return err
		}
		return data.w.Flush()
	}
	for _, i := range p.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i.blocks > 0 && i.part != cur {
			if err := finish(); err != nil {
				return err
			}
			cur = i.part
			w, err := out.Part(cur)
			if err != nil {
				return err
			}
			if data = nil; w != nil {
				data = &writer{w: bufio.NewWriterSize(w, 256<<10), pos: p.parts[cur].start}
			}
		}
		switch {
		case i.blocks > 0 && data != nil:
			if err := data.content(i); err != nil {
				return err
			}
		case i.tailN > 0:
			if err := i.readTail(out.Tail); err != nil {
				return err
			}
		}
		if err := first.inode(p, i); err != nil {
			return err
		}
		i.tail = nil
	}
	if err := finish(); err != nil {
		return err
	}
	if err := first.seek(p.first); err != nil {
		return err
	}
	return first.w.Flush()
}

// readTail reads only what stands beside the inode.
func (i *inode) readTail(known func(*rootfs.Node, []byte) bool) error {
	i.tail = make([]byte, i.tailN)
	if known != nil && known(i.node, i.tail) {
		return nil
	}
	off := int64(i.blocks * BlockSize)
	n := i.node
	if n.Content == nil && n.Host != "" && n.Patch == nil {
		f, err := os.Open(n.Host)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.ReadAt(i.tail, off); err != nil {
			return changed(i, err)
		}
		return nil
	}
	r, err := n.Open()
	if err == nil {
		defer r.Close()
		if _, err = io.CopyN(io.Discard, r, off); err == nil {
			_, err = io.ReadFull(r, i.tail)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", i.path, err)
	}
	return nil
}
