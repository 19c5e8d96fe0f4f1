// Package store keeps images by content: an OCI image layout
// (https://github.com/opencontainers/image-spec, image-layout.md) under
// $XDG_DATA_HOME/husk/images.
//
//	oci-layout       the layout's version
//	index.json       references: a name or none, and a manifest's digest
//	blobs/sha256/…   manifests, configs and layers, each named by its digest
//	partial/…        downloads that go on where they ended
//	tmp/…            what is being written
//	lock, index.lock see below
//	spare            room to take references away when the disk is full
//
// Everything appears by rename and is never changed, so that any number of
// husks may use one store and nothing half-written has a name. Who adds or
// uses blobs holds lock shared (Begin), who removes any holds it exclusively:
// what was just written and has no reference yet cannot be taken away.
// index.lock is held exclusively while index.json is read and replaced.
// The order is lock, index.lock.
package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Store is one store. It has no state in memory.
type Store struct {
	Dir string
}

// Open is the user's store, made if need be.
func Open() (*Store, error) {
	dir, err := DataDir()
	if err != nil {
		return nil, err
	}
	return At(filepath.Join(dir, "images"))
}

// DataDir is where husk keeps what the user made: $XDG_DATA_HOME/husk.
func DataDir() (string, error) {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "husk"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a place for images: %w (set XDG_DATA_HOME)", err)
	}
	switch runtime.GOOS {
	case "darwin":
		return filepath.Join(home, "Library", "Application Support", "husk"), nil
	case "windows":
		if dir, err := os.UserConfigDir(); err == nil {
			return filepath.Join(dir, "husk"), nil
		}
	}
	return filepath.Join(home, ".local", "share", "husk"), nil
}

// At is the store in a directory, made if need be.
func At(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{Dir: dir}
	for _, d := range []string{"blobs/sha256", "partial", "tmp"} {
		if err := os.MkdirAll(s.path(d), 0o700); err != nil {
			return nil, fmt.Errorf("make the image store: %w", err)
		}
	}
	if _, err := os.Stat(s.path("oci-layout")); errors.Is(err, fs.ErrNotExist) {
		if err := s.replace("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
			return nil, fmt.Errorf("make the image store: %w", full(err))
		}
	}
	return s, nil
}

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.Dir}, parts...)...)
}

// replace makes a small file appear whole.
func (s *Store) replace(name string, data []byte) error {
	f, err := os.CreateTemp(s.path("tmp"), "file-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.path(name))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// Entry is one reference.
type Entry struct {
	Name   string // familiar, with tag; "" for an image that lost its name
	Digest v1.Hash
	Desc   v1.Descriptor
}

// index reads index.json; without one the store is empty.
func (s *Store) index() (*v1.IndexManifest, error) {
	b, err := os.ReadFile(s.path("index.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return &v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the image store: %w", err)
	}
	x, err := v1.ParseIndexManifest(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("read the image store: %s: %w", s.path("index.json"), err)
	}
	return x, nil
}

// AnnotationName holds an image's name in an index, as the image
// specification has it.
const AnnotationName = "org.opencontainers.image.ref.name"

// List gives all references, sorted by name and digest.
func (s *Store) List() ([]Entry, error) {
	x, err := s.index()
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, d := range x.Manifests {
		out = append(out, Entry{d.Annotations[AnnotationName], d.Digest, d})
	}
	slices.SortStableFunc(out, func(a, b Entry) int {
		if a.Name != b.Name {
			return strings.Compare(a.Name, b.Name)
		}
		return strings.Compare(a.Digest.Hex, b.Digest.Hex)
	})
	return out, nil
}

// edit changes the references.
func (s *Store) edit(f func(x *v1.IndexManifest) error) error {
	l, err := lock(s.path("index.lock"), true, waitIndex)
	if err != nil {
		return err
	}
	defer l.Close()
	x, err := s.index()
	if err != nil {
		return err
	}
	before := len(x.Manifests)
	if err := f(x); err != nil {
		return err
	}
	b, err := json.Marshal(x)
	if err != nil {
		return err
	}
	err = s.replace("index.json", b)
	switch {
	case err == nil:
		s.keepSpare()
	case errors.Is(err, syscall.ENOSPC) && len(x.Manifests) <= before && os.Remove(s.path("spare")) == nil:
		// So that images can be removed: that is what makes room.
		err = s.replace("index.json", b)
	}
	if err != nil {
		return fmt.Errorf("write the image store's index: %w", full(err))
	}
	return nil
}

// keepSpare holds back some room; without it only the full disk is worse.
func (s *Store) keepSpare() {
	if _, err := os.Stat(s.path("spare")); err != nil {
		_ = s.replace("spare", bytes.Repeat([]byte("husk"), 64<<10/4))
	}
}

// How long to wait for another husk.
const (
	waitIndex  = 30 * time.Second
	waitRemove = 2 * time.Second
)

// Use is a right to rely on what is in the store. Close ends it.
type Use struct {
	*Store
	l io.Closer
}

// Begin keeps everything in the store from being removed.
func (s *Store) Begin() (*Use, error) {
	l, err := lock(s.path("lock"), false, waitIndex)
	if err != nil {
		return nil, err
	}
	return &Use{s, l}, nil
}

// Close ends the use.
func (u *Use) Close() error { return u.l.Close() }

// Tag gives a manifest in the store a name; who had it before keeps the image
// without a name. An empty name adds an image without one.
func (u *Use) Tag(name string, d v1.Descriptor) error {
	return u.edit(func(x *v1.IndexManifest) error { return tag(x, name, d) })
}

func tag(x *v1.IndexManifest, name string, d v1.Descriptor) error {
	named := map[v1.Hash]int{}
	for _, m := range x.Manifests {
		if m.Annotations[AnnotationName] != "" && m.Annotations[AnnotationName] != name {
			named[m.Digest]++
		}
	}
	if name != "" {
		named[d.Digest]++
	}
	var out []v1.Descriptor
	for _, m := range x.Manifests {
		n := m.Annotations[AnnotationName]
		if n == name && name != "" {
			n = "" // moves to d
		}
		if n == "" && (named[m.Digest] > 0 || m.Digest == d.Digest) {
			continue // has a name, or is added below
		}
		if n == "" {
			m.Annotations = nil
		}
		out = append(out, m)
	}
	d.Annotations, d.URLs, d.Data = nil, nil, nil
	switch {
	case name != "":
		d.Annotations = map[string]string{AnnotationName: name}
		out = append(out, d)
	case named[d.Digest] == 0:
		out = append(out, d)
	}
	x.Manifests = out
	return nil
}
