package oci

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"husk/host/store"
)

// maxWindow bounds the memory that a zstd frame may ask for.
const maxWindow = 128 << 20

// decompress gives the content behind any of the compressions that images and
// tars come in, told by their first bytes. It reports whether there was one.
func decompress(r io.Reader) (io.ReadCloser, bool, error) {
	b := bufio.NewReaderSize(r, 256<<10)
	head, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, true, fmt.Errorf("the gzip data is damaged: %w", err)
		}
		return z, true, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		z, err := zstd.NewReader(b, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, true, fmt.Errorf("the zstd data is damaged: %w", err)
		}
		return z.IOReadCloser(), true, nil
	case bytes.HasPrefix(head, xzMagic):
		z, err := newXzReader(b)
		if err != nil {
			return nil, true, err
		}
		return io.NopCloser(z), true, nil
	case bytes.HasPrefix(head, []byte("BZh")):
		return io.NopCloser(bzip2.NewReader(b)), true, nil
	}
	return io.NopCloser(b), false, nil
}

var errTooLarge = errors.New("refused: the archive unpacks to more than may be (see --max-size)")

// spools are temporary files that live until a tree has been written.
type spools struct {
	ctx   context.Context
	u     *store.Use
	files []*store.TempFile
	left  int64 // bytes that may still be written
}

func (s *spools) close() {
	for _, f := range s.files {
		f.Close()
	}
}

// file writes all that r gives into a new file.
func (s *spools) file(r io.Reader, also io.Writer) (*store.TempFile, int64, error) {
	f, err := s.u.Temp()
	if err != nil {
		return nil, 0, err
	}
	s.files = append(s.files, f)
	var w io.Writer = f
	if also != nil {
		w = io.MultiWriter(f, also)
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{&cancelable{s.ctx, w}}, struct{ io.Reader }{io.LimitReader(r, s.left+1)}, make([]byte, 1<<20))
	if err != nil {
		return nil, 0, err
	}
	if s.left -= n; s.left < 0 {
		return nil, 0, errTooLarge
	}
	return f, n, nil
}

// Decompress gives the content behind any of the compressions that images are
// in, told by their first bytes, or the content itself.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	d, _, err := decompress(r)
	return d, err
}
