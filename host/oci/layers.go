package oci

import (
	"context"
	"fmt"
	"io"

	"husk/host/rootfs"
	"husk/host/store"
)

// Layers makes a tree of tars, each put above those before: the layers of an
// image, or the contents of packages. The tree's files have their content in
// temporary files of the store until Close, so that it is committed before.
type Layers struct {
	Tree *rootfs.Tree
	x    *unpacker
	sp   *spools
}

// NewLayers begins with an empty tree.
func NewLayers(ctx context.Context, u *store.Use, limits Limits) *Layers {
	sp := &spools{ctx: ctx, u: u, left: limits.Bytes + limits.Bytes/8}
	m := &importer{ImportOptions: ImportOptions{Limits: limits}, ctx: ctx, u: u, sp: sp}
	x := m.unpacker()
	return &Layers{x.tree, x, sp}
}

// Apply puts a tar above the tree, which may be compressed with anything that
// images are. What is hostile is refused; the name is for the error.
func (l *Layers) Apply(r io.Reader, name string) error {
	d, _, err := decompress(r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer d.Close()
	f, n, err := l.sp.file(d, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", name, unreadable(err))
	}
	l.x.tree = l.Tree
	if err := l.x.layer(f, n, name); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Warnings tell what was left out.
func (l *Layers) Warnings() []string { return l.x.Warnings }

// Close removes the temporary files.
func (l *Layers) Close() { l.sp.close() }
