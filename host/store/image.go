package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"husk/host/image"
)

// MediaErofs is the media type of a layer that is an EROFS file system image
// or a part of one: the concatenation of all layers of an image, in the order
// of its manifest, is the file system that husk boots. Block size 4096, no
// compression, one device.
const MediaErofs types.MediaType = "application/vnd.husk.image.layer.v1.erofs"

// ErrNotFound is wrapped by the error of a reference that names nothing here.
var ErrNotFound = errors.New("no such image here")

// Familiar is a reference as people write it, complete with its tag: without
// the registry and the folder that are meant when none are named.
func Familiar(ref string) (string, error) {
	// podman and buildah put localhost/ before what has no registry.
	r, err := Reference(strings.TrimPrefix(ref, "localhost/"))
	if err != nil {
		return "", err
	}
	for part := range strings.SplitSeq(r.Context().RepositoryStr(), "/") {
		if part == "" || strings.Trim(part[:1]+part[len(part)-1:], "._-") != part[:1]+part[len(part)-1:] {
			return "", fmt.Errorf("%q is not an image's name: each part begins and ends with a letter or a digit", ref)
		}
	}
	s := strings.TrimPrefix(r.Name(), name.DefaultRegistry+"/")
	return strings.TrimPrefix(s, "library/"), nil
}

// Reference reads an image's name or digest in a registry.
func Reference(ref string, opts ...name.Option) (name.Reference, error) {
	full := ref
	if !strings.Contains(ref, "/") {
		// Only so may it have a single letter.
		full = "library/" + ref
	}
	opts = append(opts, name.WeakValidation)
	r, err := name.ParseReference(full, opts...)
	if err == nil {
		return r, nil
	}
	// That error does not give the reason; this does, with the name again
	// behind a colon.
	if _, why := name.NewTag(full, opts...); why != nil && !strings.Contains(full, "@") {
		err = why
	}
	why, _, _ := strings.Cut(err.Error(), ": ")
	return nil, fmt.Errorf("%q is not an image's name: %s", ref, why)
}

// Resolve finds an image by its name, its digest or the beginning of that.
func (s *Store) Resolve(ref string) (Entry, error) {
	all, err := s.List()
	if err != nil {
		return Entry{}, err
	}
	if f, err := Familiar(ref); err == nil {
		for _, e := range all {
			if e.Name == f {
				return e, nil
			}
		}
	}
	hex := strings.TrimPrefix(ref, "sha256:")
	if _, after, ok := strings.Cut(ref, "@sha256:"); ok {
		hex = after
	}
	var found *Entry
	if len(hex) >= 4 && strings.Trim(hex, "0123456789abcdef") == "" {
		for i, e := range all {
			if !strings.HasPrefix(e.Digest.Hex, hex) {
				continue
			}
			if found != nil && found.Digest != e.Digest {
				return Entry{}, fmt.Errorf("image %s: two images here begin like that", ref)
			}
			found = &all[i]
		}
	}
	if found != nil {
		return *found, nil
	}
	if _, err := Familiar(ref); err != nil {
		return Entry{}, err
	}
	return Entry{}, fmt.Errorf("image %s: %w (see 'husk image ls'; get it with 'husk image pull' or 'husk image import')", ref, ErrNotFound)
}

// Image is an image in the store, ready to be looked into.
type Image struct {
	Entry
	Manifest *v1.Manifest
	Config   *v1.ConfigFile

	s     *Store
	files []*os.File
}

// Load opens an image. Close it.
func (s *Store) Load(e Entry) (*Image, error) {
	b, err := s.ReadBlob(e.Digest)
	if err != nil {
		return nil, err
	}
	im := &Image{Entry: e, s: s}
	if im.Manifest, err = v1.ParseManifest(bytes.NewReader(b)); err != nil {
		return nil, fmt.Errorf("image %s: its manifest: %w", e.Title(), err)
	}
	if b, err = s.ReadBlob(im.Manifest.Config.Digest); err != nil {
		return nil, fmt.Errorf("image %s: %w", e.Title(), err)
	}
	if im.Config, err = v1.ParseConfigFile(bytes.NewReader(b)); err != nil {
		return nil, fmt.Errorf("image %s: its config: %w", e.Title(), err)
	}
	for _, l := range im.Manifest.Layers {
		if l.MediaType != MediaErofs {
			return nil, fmt.Errorf("image %s has a layer of the type %s, not husk's: import it again", e.Title(), l.MediaType)
		}
		if !s.Has(l.Digest, l.Size) {
			return nil, fmt.Errorf("image %s: its layer %s is not in the store, or damaged (see 'husk image verify')", e.Title(), l.Digest)
		}
	}
	if len(im.Manifest.Layers) == 0 {
		return nil, fmt.Errorf("image %s has no layers", e.Title())
	}
	return im, nil
}

// Find is Resolve and Load.
func (s *Store) Find(ref string) (*Image, error) {
	e, err := s.Resolve(ref)
	if err != nil {
		return nil, err
	}
	return s.Load(e)
}

// Title names the entry for people.
func (e *Entry) Title() string {
	if e.Name != "" {
		return e.Name
	}
	return Short(e.Digest)
}

// Short is a digest as lists show it.
func Short(h v1.Hash) string { return h.Hex[:min(12, len(h.Hex))] }

// Close ends the use of the image's content.
func (im *Image) Close() error {
	for _, f := range im.files {
		f.Close()
	}
	im.files = nil
	return nil
}

// Size is how long the file system is.
func (im *Image) Size() (n int64) {
	for _, l := range im.Manifest.Layers {
		n += l.Size
	}
	return n
}

// BlobPath is where one of the image's blobs is.
func (im *Image) BlobPath(h v1.Hash) string { return im.s.Path(h) }

// Paths are the files whose concatenation is the file system.
func (im *Image) Paths() []string {
	var out []string
	for _, l := range im.Manifest.Layers {
		out = append(out, im.s.Path(l.Digest))
	}
	return out
}

// FS opens the file system, until Close.
func (im *Image) FS() (*image.Reader, error) {
	r, err := im.ReaderAt()
	if err != nil {
		return nil, err
	}
	return image.NewReader(r, im.Size(), im.Title())
}

// ReaderAt reads the file system's bytes, until Close.
func (im *Image) ReaderAt() (io.ReaderAt, error) {
	var c concat
	for _, p := range im.Paths() {
		f, err := os.Open(p)
		if err != nil {
			return nil, err
		}
		im.files = append(im.files, f)
		st, err := f.Stat()
		if err != nil {
			return nil, err
		}
		c.parts = append(c.parts, f)
		c.ends = append(c.ends, st.Size()+c.size())
	}
	if len(c.parts) == 1 {
		return c.parts[0], nil
	}
	return &c, nil
}

// concat is several readers one behind the other.
type concat struct {
	parts []io.ReaderAt
	ends  []int64
}

func (c *concat) size() int64 {
	if len(c.ends) == 0 {
		return 0
	}
	return c.ends[len(c.ends)-1]
}

// ReadAt implements io.ReaderAt.
func (c *concat) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	start := int64(0)
	for i, end := range c.ends {
		if off < end && len(b) > 0 {
			m := int(min(int64(len(b)), end-off))
			k, err := c.parts[i].ReadAt(b[:m], off-start)
			n += k
			if k < m {
				return n, err
			}
			b, off = b[m:], off+int64(m)
		}
		start = end
	}
	if len(b) > 0 {
		return n, io.EOF
	}
	return n, nil
}
