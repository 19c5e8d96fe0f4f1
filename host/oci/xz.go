package oci

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// xzReader reads xz streams (https://tukaani.org/xz/xz-file-format.txt). The
// library reads what is in a block; it would take whatever memory a block's
// header asks for, up to 4 GiB, and has no way to bound that.
type xzReader struct {
	in     *countedReader
	block  io.Reader // nil between blocks
	start  int64     // of the block's data
	sum    hash.Hash // of its content
	check  byte
	blocks uint64 // of this stream so far
	err    error
}

// maxDictionary is twice what xz -9 uses.
const maxDictionary = 128 << 20

var (
	errXz       = errors.New("the xz data is damaged")
	errXzFilter = errors.New("the xz data needs a filter that husk does not have")
	errXzMemory = fmt.Errorf("refused: the xz data asks for a dictionary of more than %d MiB", maxDictionary>>20)
)

func newXzReader(r *bufio.Reader) (*xzReader, error) {
	x := &xzReader{in: &countedReader{r: r}}
	return x, x.header()
}

type countedReader struct {
	r *bufio.Reader
	n int64
}

func (c *countedReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

func (c *countedReader) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// take reads exactly n bytes.
func (x *xzReader) take(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(x.in, b); err != nil {
		return nil, tooEarly(err)
	}
	return b, nil
}

func tooEarly(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

var xzMagic = []byte{0xfd, '7', 'z', 'X', 'Z', 0}

// header reads a stream's header.
func (x *xzReader) header() error {
	b, err := x.take(12)
	if err != nil {
		return err
	}
	if !bytes.Equal(b[:6], xzMagic) || b[6] != 0 || b[7] > 15 || crc32.ChecksumIEEE(b[6:8]) != binary.LittleEndian.Uint32(b[8:]) {
		return errXz
	}
	x.check, x.blocks = b[7], 0
	return nil
}

// Read implements io.Reader.
func (x *xzReader) Read(p []byte) (int, error) {
	for x.err == nil {
		if x.block == nil {
			if x.err = x.next(); x.err != nil {
				break
			}
		}
		n, err := x.block.Read(p)
		if x.sum != nil {
			x.sum.Write(p[:n])
		}
		switch {
		case err == io.EOF:
			x.err = x.endBlock()
		case err == io.ErrUnexpectedEOF:
			x.err = err
		case err != nil:
			x.err = fmt.Errorf("%w: %w", errXz, err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, x.err
}

var crc64Table = crc64.MakeTable(crc64.ECMA)

// next begins a block, maybe of a next stream, or gives io.EOF.
func (x *xzReader) next() error {
	for {
		size, err := x.in.ReadByte()
		if err != nil {
			return tooEarly(err)
		}
		if size != 0 {
			return x.begin(size)
		}
		if err := x.index(); err != nil {
			return err
		}
		if err := x.padding(); err != nil {
			return err
		}
		if err := x.header(); err != nil {
			return err
		}
	}
}

// begin reads the header of a block.
func (x *xzReader) begin(size byte) error {
	b, err := x.take((int(size)+1)*4 - 1)
	if err != nil {
		return err
	}
	head := append([]byte{size}, b[:len(b)-4]...)
	if crc32.ChecksumIEEE(head) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return errXz
	}
	flags, d := head[1], bytes.NewReader(head[2:])
	if flags&0x3c != 0 {
		return errXz
	}
	if flags&3 != 0 {
		return errXzFilter
	}
	for _, there := range []bool{flags&0x40 != 0, flags&0x80 != 0} {
		// Sizes, which the data tells as well.
		if there {
			if _, err := binary.ReadUvarint(d); err != nil {
				return errXz
			}
		}
	}
	id, err := binary.ReadUvarint(d)
	if err != nil {
		return errXz
	}
	if id != 0x21 { // LZMA2
		return errXzFilter
	}
	n, err := binary.ReadUvarint(d)
	bits, err2 := d.ReadByte()
	if err != nil || err2 != nil || n != 1 || bits > 40 {
		return errXz
	}
	dictionary := int64(2|bits&1) << (bits/2 + 11)
	if dictionary > maxDictionary {
		return errXzMemory
	}
	x.start = x.in.n
	r, err := lzma.Reader2Config{DictCap: int(max(dictionary, lzma.MinDictCap))}.NewReader2(x.in)
	if err != nil {
		return fmt.Errorf("%w: %w", errXz, err)
	}
	x.block, x.sum = r, nil
	switch x.check {
	case 1:
		x.sum = crc32.NewIEEE()
	case 4:
		x.sum = crc64.New(crc64Table)
	case 10:
		x.sum = sha256.New()
	}
	x.blocks++
	return nil
}

// checkSizes are those of the checks by their number.
var checkSizes = [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}

func (x *xzReader) endBlock() error {
	x.block = nil
	pad := int(-(x.in.n - x.start) & 3)
	b, err := x.take(pad + checkSizes[x.check])
	if err != nil {
		return err
	}
	if len(bytes.Trim(b[:pad], "\x00")) > 0 {
		return errXz
	}
	if x.sum == nil {
		return nil // none, or one that nobody uses
	}
	want, got := b[pad:], x.sum.Sum(nil)
	if x.check != 10 {
		// CRCs are stored the other way round.
		for i := range len(got) / 2 {
			got[i], got[len(got)-1-i] = got[len(got)-1-i], got[i]
		}
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: its checksum does not match", errXz)
	}
	return nil
}

// index reads the end of a stream, from behind the index's first byte.
func (x *xzReader) index() error {
	start := x.in.n - 1
	n, err := binary.ReadUvarint(x.in)
	if err != nil {
		return tooEarly(err)
	}
	if n != x.blocks {
		return errXz
	}
	for range 2 * n {
		if _, err := binary.ReadUvarint(x.in); err != nil {
			return tooEarly(err)
		}
	}
	pad := int(-(x.in.n - start) & 3)
	if _, err := x.take(pad + 4); err != nil { // and its CRC32: the blocks had theirs
		return err
	}
	size := x.in.n - start
	b, err := x.take(12)
	if err != nil {
		return err
	}
	if string(b[10:]) != "YZ" || crc32.ChecksumIEEE(b[4:10]) != binary.LittleEndian.Uint32(b) ||
		(int64(binary.LittleEndian.Uint32(b[4:]))+1)*4 != size || b[8] != 0 || b[9] != x.check {
		return errXz
	}
	return nil
}

// padding reads up to another stream; io.EOF is the end of all.
func (x *xzReader) padding() error {
	for {
		b, err := x.in.r.Peek(4)
		switch {
		case len(b) == 0 && errors.Is(err, io.EOF):
			return io.EOF
		case len(b) == 4 && b[0] == 0 && b[1] == 0 && b[2] == 0 && b[3] == 0:
			if _, err := x.in.r.Discard(4); err != nil {
				return err
			}
		case len(b) > 0 && len(b) < 4 || len(b) == 4 && b[0] == 0:
			return errXz
		case err != nil:
			return err
		default:
			return nil
		}
	}
}
