package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Path is where a blob is, or would be.
func (s *Store) Path(h v1.Hash) string { return s.path("blobs", h.Algorithm, h.Hex) }

// Has reports whether a blob of this size is there; -1 is any size.
func (s *Store) Has(h v1.Hash, size int64) bool {
	st, err := os.Stat(s.Path(h))
	return err == nil && st.Mode().IsRegular() && (size < 0 || st.Size() == size)
}

// maxSmall bounds manifests and configs.
const maxSmall = 8 << 20

// ReadBlob reads a small blob and checks its digest.
func (s *Store) ReadBlob(h v1.Hash) ([]byte, error) {
	f, err := os.Open(s.Path(h))
	if err != nil {
		return nil, fmt.Errorf("the image store has no %s: %w", h, errors.Unwrap(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSmall {
		return nil, fmt.Errorf("%s is too long for a manifest", h)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != h.Hex {
		return nil, fmt.Errorf("%s is damaged: its content has another digest (see 'husk image verify')", h)
	}
	return b, nil
}

// Blob is a blob being written. It becomes visible with Commit only.
type Blob struct {
	s    *Store
	f    *os.File
	h    hash.Hash
	n    int64
	err  error
	buf  []byte
	free chan []byte
	full chan []byte
	done chan struct{}
}

const blobBuffer = 1 << 20

// Create begins a blob.
func (u *Use) Create() (*Blob, error) {
	f, err := os.CreateTemp(u.path("tmp"), "blob-*")
	if err != nil {
		return nil, fmt.Errorf("write to the image store: %w", full(err))
	}
	b := &Blob{
		s: u.Store, f: f, h: sha256.New(), buf: make([]byte, 0, blobBuffer),
		free: make(chan []byte, 2), full: make(chan []byte, 2), done: make(chan struct{}),
	}
	for range cap(b.free) {
		b.free <- make([]byte, 0, blobBuffer)
	}
	// The digest is computed beside the writing: this goroutine ends with
	// Commit or Abort.
	go func() {
		for p := range b.full {
			b.h.Write(p)
			b.free <- p[:0]
		}
		close(b.done)
	}()
	return b, nil
}

// Write implements io.Writer.
func (b *Blob) Write(p []byte) (int, error) {
	n := 0
	for len(p) > 0 && b.err == nil {
		m := copy(b.buf[len(b.buf):cap(b.buf)], p)
		b.buf, p = b.buf[:len(b.buf)+m], p[m:]
		n += m
		if len(b.buf) == cap(b.buf) {
			b.flush()
		}
	}
	return n, b.err
}

func (b *Blob) flush() {
	if b.err != nil || len(b.buf) == 0 {
		return
	}
	m, err := b.f.Write(b.buf)
	b.n += int64(m)
	if err != nil {
		b.err = fmt.Errorf("write to the image store: %w", full(err))
		return
	}
	b.full <- b.buf
	b.buf = <-b.free
}

func (b *Blob) close() {
	close(b.full)
	<-b.done
	b.f.Close()
}

// Abort forgets the blob.
func (b *Blob) Abort() {
	if b.f == nil {
		return
	}
	b.close()
	os.Remove(b.f.Name())
	b.f = nil
}

// Commit makes the blob visible, if it has the digest that was wanted (the
// zero Hash wants none).
func (b *Blob) Commit(want v1.Hash, media types.MediaType) (v1.Descriptor, error) {
	if b.f == nil {
		return v1.Descriptor{}, errors.New("internal error: blob committed twice")
	}
	defer b.Abort()
	b.flush()
	if b.err != nil {
		return v1.Descriptor{}, b.err
	}
	if err := b.f.Sync(); err != nil {
		return v1.Descriptor{}, fmt.Errorf("write to the image store: %w", full(err))
	}
	name := b.f.Name()
	b.close()
	b.f = nil
	d := v1.Descriptor{MediaType: media, Size: b.n, Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(b.h.Sum(nil))}}
	if want != (v1.Hash{}) && want != d.Digest {
		os.Remove(name)
		return d, fmt.Errorf("the content of %s has the digest %s: it is damaged", want, d.Digest)
	}
	if b.s.Has(d.Digest, d.Size) {
		os.Remove(name)
		return d, nil
	}
	if err := os.Rename(name, b.s.Path(d.Digest)); err != nil {
		os.Remove(name)
		return d, fmt.Errorf("write to the image store: %w", full(err))
	}
	return d, nil
}

// Put stores bytes.
func (u *Use) Put(b []byte, media types.MediaType) (v1.Descriptor, error) {
	return u.Copy(bytes.NewReader(b), v1.Hash{}, media)
}

// Copy stores what r has, if it has the digest that was wanted.
func (u *Use) Copy(r io.Reader, want v1.Hash, media types.MediaType) (v1.Descriptor, error) {
	b, err := u.Create()
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer b.Abort()
	if _, err := io.Copy(b, r); err != nil {
		return v1.Descriptor{}, err
	}
	return b.Commit(want, media)
}

// full makes one clear line of a full disk.
func full(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("the disk is full (free some space; 'husk image prune' removes what nothing refers to): %w", syscall.ENOSPC)
	case errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("there is no more room for this user: %w", syscall.EDQUOT)
	case errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("no file may be that large here (see 'ulimit -f'): %w", syscall.EFBIG)
	}
	return err
}

// Temp makes a file for a while, in the store's file system. It is gone when
// it is closed, and at the latest with the next prune.
func (u *Use) Temp() (*TempFile, error) {
	f, err := os.CreateTemp(u.path("tmp"), "spool-*")
	if err != nil {
		return nil, fmt.Errorf("write to the image store: %w", full(err))
	}
	return &TempFile{f}, nil
}

// TempFile is a file that ends with Close.
type TempFile struct{ f *os.File }

// ReadAt implements io.ReaderAt.
func (t *TempFile) ReadAt(b []byte, off int64) (int, error) { return t.f.ReadAt(b, off) }

// Name is where it is.
func (t *TempFile) Name() string { return t.f.Name() }

// Write tells a full disk in the store's words.
func (t *TempFile) Write(b []byte) (int, error) {
	n, err := t.f.Write(b)
	if err != nil {
		err = fmt.Errorf("write to the image store: %w", full(err))
	}
	return n, err
}

// Close closes and removes the file.
func (t *TempFile) Close() error {
	err := t.f.Close()
	return errors.Join(err, os.Remove(t.f.Name()))
}
