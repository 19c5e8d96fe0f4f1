package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Partial is a download: a file that stays when a download ends early, and
// goes on where it was. One husk at a time has it. Its file is not embedded:
// that file's ReadFrom would let io.Copy go around Write.
type Partial struct {
	f    *os.File
	u    *Use
	hash v1.Hash
	Have int64 // bytes that are there
}

// waitPartial is how long another husk's download of the same is waited for.
const waitPartial = 24 * time.Hour

// Partial opens the download of a blob, waiting for who has it.
func (u *Use) Partial(h v1.Hash) (*Partial, error) {
	if h.Algorithm != "sha256" || len(h.Hex) != 2*sha256.Size {
		return nil, fmt.Errorf("the digest %s is no SHA-256", h)
	}
	for {
		l, err := lock(u.path("partial", h.Hex), true, waitPartial)
		if err != nil {
			return nil, err
		}
		f := l.(*os.File)
		st, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		// Who had it before us may have finished it and taken it away.
		if now, err := os.Stat(u.path("partial", h.Hex)); err != nil || !os.SameFile(st, now) {
			f.Close()
			continue
		}
		return &Partial{f, u, h, st.Size()}, nil
	}
}

// Restart forgets what is there.
func (p *Partial) Restart() error {
	p.Have = 0
	return p.f.Truncate(0)
}

// ReadAt implements io.ReaderAt.
func (p *Partial) ReadAt(b []byte, off int64) (int, error) { return p.f.ReadAt(b, off) }

// Close gives the download back; what is there stays.
func (p *Partial) Close() error { return p.f.Close() }

// Write appends.
func (p *Partial) Write(b []byte) (int, error) {
	n, err := p.f.WriteAt(b, p.Have)
	p.Have += int64(n)
	if err != nil {
		err = fmt.Errorf("write to the image store: %w", full(err))
	}
	return n, err
}

// Check reads all of it and compares the digest. What has another is
// forgotten: going on with it could not help.
func (p *Partial) Check() error {
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, io.NewSectionReader(p.f, 0, p.Have), make([]byte, 1<<20)); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != p.hash.Hex {
		return errors.Join(fmt.Errorf("the content of %s has another digest: it is damaged", p.hash), p.Restart())
	}
	return nil
}

// Keep makes a checked download a blob of the store.
func (p *Partial) Keep() error {
	if err := p.f.Sync(); err != nil {
		return fmt.Errorf("write to the image store: %w", full(err))
	}
	return os.Rename(p.f.Name(), p.u.Path(p.hash))
}

// Drop removes a download that is of no more use.
func (p *Partial) Drop() error { return os.Remove(p.f.Name()) }
