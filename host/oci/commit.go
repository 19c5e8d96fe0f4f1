// Package oci makes OCI images of trees and trees of OCI images: building,
// importing what other tools write, exporting for them, and speaking to
// registries. The store (host/store) is where images live in between.
//
// What flows in is a rootfs.Tree, from a directory, from a program's needs,
// from packages, or from an image's layers with their whiteouts applied, and an
// OCI image configuration. What flows out is a manifest in the store whose
// layers are an EROFS file system.
package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"husk/host/image"
	"husk/host/rootfs"
	"husk/host/store"
)

// CommitOptions steer Commit.
type CommitOptions struct {
	// Pin, when not nil, replaces owners, times and, if it says so, modes.
	Pin *image.Pin
	// Record, when not "", is a file that remembers what host files the
	// image was made of, and lets the next Commit with the same Record leave
	// unread what has not changed. It is a cache: losing it costs time only.
	Record string
	// Annotations of the manifest.
	Annotations map[string]string

	splitSize int64 // for tests: parts of small images
}

// Committed is a new image.
type Committed struct {
	v1.Descriptor
	FSSize int64 // of the file system
	Parts  int   // layers, and how many of them were there already
	Reused int
}

// Commit writes a tree as an image into the store. The config's platform is
// linux/amd64 unless set; its RootFS is replaced, its times too unless they
// are set. The image has no name yet: see store.Use.Tag. Equal trees, configs
// and options give equal digests.
func Commit(ctx context.Context, u *store.Use, t *rootfs.Tree, cfg v1.ConfigFile, o CommitOptions) (Committed, error) {
	var c Committed
	start := time.Now()
	plan, err := image.NewPlan(t, image.Options{Pin: o.Pin, SplitSize: o.splitSize})
	if err != nil {
		return c, err
	}
	rec := readRecord(o.Record)
	layers, err := c.write(ctx, u, plan, rec)
	if err != nil {
		return c, err
	}
	c.FSSize, c.Parts = plan.Size(), len(layers)
	if o.Record != "" {
		newRecord(plan, layers, start).write(o.Record)
	}
	if cfg.OS == "" {
		cfg.OS = "linux"
	}
	if cfg.Architecture == "" {
		cfg.Architecture = "amd64"
	}
	cfg.RootFS = v1.RootFS{Type: "layers"}
	for i := range cfg.History {
		cfg.History[i].EmptyLayer = true // what was a layer of its own is one no more
	}
	for i, l := range layers {
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, l.Digest)
		comment := "EROFS"
		if len(layers) > 1 {
			comment += " part " + strconv.Itoa(i+1)
		}
		cfg.History = append(cfg.History, v1.History{Created: cfg.Created, CreatedBy: "husk", Comment: comment})
	}
	b, err := json.Marshal(cfg)
	if err != nil {
		return c, err
	}
	config, err := u.Put(b, types.OCIConfigJSON)
	if err != nil {
		return c, err
	}
	b, err = json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: config, Layers: layers, Annotations: o.Annotations,
	})
	if err != nil {
		return c, err
	}
	if c.Descriptor, err = u.Put(b, types.OCIManifestSchema1); err != nil {
		return c, err
	}
	c.Platform = &v1.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant}
	return c, nil
}

// write puts the parts into the store.
func (c *Committed) write(ctx context.Context, u *store.Use, plan *image.Plan, rec *record) ([]v1.Descriptor, error) {
	parts := plan.Parts()
	layers := make([]v1.Descriptor, 1+len(parts))
	first, err := u.Create()
	if err != nil {
		return nil, err
	}
	defer first.Abort()
	var cur *store.Blob
	at := 0
	// The disk finishes a part while the next is read. One at a time: more
	// would only wait for the same disk.
	busy := make(chan error, 1)
	busy <- nil
	commit := func() error {
		if cur == nil {
			return nil
		}
		if err := <-busy; err != nil {
			busy <- err
			return err
		}
		go func(b *store.Blob, n int) {
			var err error
			layers[n], err = b.Commit(v1.Hash{}, store.MediaErofs)
			busy <- err
		}(cur, 1+at)
		cur = nil
		return nil
	}
	defer func() {
		if cur != nil {
			cur.Abort()
		}
	}()
	tail, done := rec.tails(u)
	defer done()
	err = plan.Write(ctx, image.Output{
		First: first,
		Tail:  tail,
		Part: func(n int) (io.Writer, error) {
			if err := commit(); err != nil {
				return nil, err
			}
			at = n
			if d, ok := rec.part(parts[n]); ok && u.Has(d.Digest, d.Size) {
				layers[1+n] = d
				c.Reused++
				return nil, nil
			}
			if cur, err = u.Create(); err != nil {
				return nil, err
			}
			return cur, nil
		},
	})
	if err == nil {
		err = commit()
	}
	if last := <-busy; err == nil {
		err = last
	}
	if err != nil {
		return nil, err
	}
	layers[0], err = first.Commit(v1.Hash{}, store.MediaErofs)
	return layers, err
}

// Epoch is the time that files and images get when it is pinned:
// SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/),
// or 1970.
func Epoch() (time.Time, error) {
	s := os.Getenv("SOURCE_DATE_EPOCH")
	if s == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<35 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%s: not a number of seconds since 1970", s)
	}
	return time.Unix(n, 0).UTC(), nil
}
