package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Tag gives the image that ref names another name as well.
func (s *Store) Tag(ref, to string) error {
	f, err := Familiar(to)
	if err != nil {
		return err
	}
	if strings.Contains(f, "@") {
		return fmt.Errorf("%q is a digest, not a name to give", to)
	}
	u, err := s.Begin()
	if err != nil {
		return err
	}
	defer u.Close()
	e, err := s.Resolve(ref)
	if err != nil {
		return err
	}
	return u.Tag(f, e.Desc)
}

// Remove takes a name away, or an image by its digest with all its names. What
// nothing refers to then is deleted, unless another husk is at work: then the
// next prune does it. It tells the names that are gone, and whether the image is.
func (s *Store) Remove(ref string) (gone []string, deleted bool, err error) {
	e, err := s.Resolve(ref)
	if err != nil {
		return nil, false, err
	}
	u, err := s.Begin()
	if err != nil {
		return nil, false, err
	}
	f, err := Familiar(ref)
	byName := err == nil && f == e.Name
	err = s.edit(func(x *v1.IndexManifest) error {
		gone = nil
		var out []v1.Descriptor
		for _, d := range x.Manifests {
			n := d.Annotations[AnnotationName]
			if byName && n == e.Name || !byName && d.Digest == e.Digest {
				if n == "" {
					n = Short(d.Digest)
				}
				gone = append(gone, n)
				continue
			}
			out = append(out, d)
		}
		x.Manifests = out
		return nil
	})
	u.Close()
	if err != nil {
		return nil, false, err
	}
	if _, err := s.sweep(false); err != nil && !errors.Is(err, ErrBusy) {
		return gone, false, err
	}
	return gone, !s.Has(e.Digest, -1), nil
}

// Freed is what a prune has removed.
type Freed struct {
	Images, Blobs int
	Bytes         int64
}

// Prune removes images without a name, blobs that no image refers to, and
// the remains of writes and downloads that came to no end.
func (s *Store) Prune() (Freed, error) { return s.sweep(true) }

func (s *Store) sweep(all bool) (Freed, error) {
	var freed Freed
	l, err := lock(s.path("lock"), true, waitRemove)
	if err != nil {
		return freed, err
	}
	defer l.Close()
	if all {
		err := s.edit(func(x *v1.IndexManifest) error {
			var out []v1.Descriptor
			for _, d := range x.Manifests {
				if d.Annotations[AnnotationName] == "" {
					freed.Images++
					continue
				}
				out = append(out, d)
			}
			x.Manifests = out
			return nil
		})
		if err != nil {
			return freed, err
		}
	}
	keep, err := s.referenced()
	if err != nil {
		// Deleting on half the knowledge would make it worse.
		return freed, err
	}
	dirs := []string{"blobs/sha256", "tmp"}
	if all {
		dirs = append(dirs, "partial")
	}
	for _, dir := range dirs {
		ents, err := os.ReadDir(s.path(dir))
		if err != nil {
			return freed, err
		}
		for _, e := range ents {
			if keep[v1.Hash{Algorithm: "sha256", Hex: e.Name()}] && dir == "blobs/sha256" {
				continue
			}
			info, err := e.Info()
			if err != nil {
				continue
			}
			if err := os.RemoveAll(s.path(dir, e.Name())); err != nil {
				return freed, fmt.Errorf("prune the image store: %w", err)
			}
			freed.Blobs++
			freed.Bytes += info.Size()
		}
	}
	return freed, nil
}

// referenced are all blobs that the references lead to.
func (s *Store) referenced() (map[v1.Hash]bool, error) {
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	keep := map[v1.Hash]bool{}
	for _, e := range all {
		if keep[e.Digest] {
			continue
		}
		keep[e.Digest] = true
		b, err := s.ReadBlob(e.Digest)
		if err != nil {
			return nil, err
		}
		m, err := v1.ParseManifest(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("image %s: its manifest: %w", e.Title(), err)
		}
		keep[m.Config.Digest] = true
		for _, l := range m.Layers {
			keep[l.Digest] = true
		}
	}
	return keep, nil
}

// Problem is one thing that Verify found wrong.
type Problem struct {
	What string
	Err  error
}

func (p Problem) String() string { return p.What + ": " + p.Err.Error() }

// Verified is what Verify looked at.
type Verified struct {
	Images, Blobs int
	Bytes         int64
	Problems      []Problem
}

// Verify reads every blob and compares it with its name, and follows every
// reference to its end.
func (s *Store) Verify(ctx context.Context) (Verified, error) {
	var v Verified
	u, err := s.Begin()
	if err != nil {
		return v, err
	}
	defer u.Close()
	bad := func(what string, err error) { v.Problems = append(v.Problems, Problem{what, err}) }
	ents, err := os.ReadDir(s.path("blobs", "sha256"))
	if err != nil {
		return v, err
	}
	sizes := map[string]int64{}
	for _, e := range ents {
		if err := ctx.Err(); err != nil {
			return v, err
		}
		sum, n, err := digestFile(s.path("blobs", "sha256", e.Name()))
		v.Blobs++
		v.Bytes += n
		switch {
		case err != nil:
			bad("blob sha256:"+e.Name(), err)
		case sum != e.Name():
			bad("blob sha256:"+e.Name(), fmt.Errorf("its content has the digest sha256:%s", sum))
		default:
			sizes[e.Name()] = n
		}
	}
	all, err := s.List()
	if err != nil {
		return v, err
	}
	for _, e := range all {
		v.Images++
		if err := s.check(e, sizes); err != nil {
			bad("image "+e.Title(), err)
		}
	}
	return v, nil
}

func (s *Store) check(e Entry, sizes map[string]int64) error {
	resolve := func(what string, d v1.Descriptor) error {
		n, ok := sizes[d.Digest.Hex]
		if !ok {
			return fmt.Errorf("its %s %s is missing or damaged", what, d.Digest)
		}
		if n != d.Size {
			return fmt.Errorf("its %s %s has %d bytes, not %d", what, d.Digest, n, d.Size)
		}
		return nil
	}
	if err := resolve("manifest", e.Desc); err != nil {
		return err
	}
	b, err := s.ReadBlob(e.Digest)
	if err != nil {
		return err
	}
	m, err := v1.ParseManifest(bytes.NewReader(b))
	if err != nil {
		return err
	}
	if err := resolve("config", m.Config); err != nil {
		return err
	}
	for _, l := range m.Layers {
		if err := resolve("layer", l); err != nil {
			return err
		}
	}
	im, err := s.Load(e)
	if err != nil {
		return err
	}
	defer im.Close()
	if len(im.Config.RootFS.DiffIDs) != len(m.Layers) {
		return errors.New("its config and its manifest disagree on the layers")
	}
	for i, l := range m.Layers {
		if im.Config.RootFS.DiffIDs[i] != l.Digest {
			return errors.New("its config and its manifest disagree on the layers")
		}
	}
	r, err := im.FS()
	if err != nil {
		return err
	}
	_, err = r.Tree()
	return err
}

func digestFile(name string) (string, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.CopyBuffer(h, f, make([]byte, 1<<20))
	return hex.EncodeToString(h.Sum(nil)), n, err
}
