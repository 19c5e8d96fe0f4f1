package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"husk/host/manifest"
	"husk/host/rootfs"
)

// HasFiles reports whether Place may add anything. A nil configuration has no
// files.
func (c *Config) HasFiles() bool {
	return c != nil && (len(c.Files)+len(c.Dirs)+len(c.MapDirs) > 0 || c.Manifest != "" || c.copyArgs && len(c.Args) > 0)
}

// Place puts the files that the configuration names into a tree.
func (c *Config) Place(t *rootfs.Tree) error {
	for _, f := range c.Files {
		if err := c.place(t, "files", f, false); err != nil {
			return err
		}
	}
	if c.copyArgs {
		for _, a := range c.Args {
			if info, err := os.Stat(c.filePath(a)); err != nil || !info.Mode().IsRegular() {
				continue // an argument like any other
			}
			if err := c.place(t, "args", a, false); err != nil {
				return err
			}
		}
	}
	for _, d := range c.Dirs {
		if err := c.place(t, "dirs", d, true); err != nil {
			return err
		}
	}
	for from, to := range c.MapDirs {
		if err := c.mapDir(t, from, to); err != nil {
			return fmt.Errorf("mapdirs: %s: %w", from, err)
		}
	}
	if c.Manifest != "" {
		return c.placeManifest(t)
	}
	return nil
}

// filePath is where one of Files, Dirs or Args lies.
func (c *Config) filePath(p string) string {
	if c.filesDir != "" && !filepath.IsAbs(p) {
		return filepath.Join(c.Path(c.filesDir), p)
	}
	return c.Path(p)
}

// place puts a host path at the same path of the tree. What leads out of a
// relative path's own directory ("../x") stands at / as well.
func (c *Config) place(t *rootfs.Tree, what, name string, all bool) error {
	host := c.filePath(name)
	guest := path.Clean("/" + filepath.ToSlash(strings.TrimPrefix(name, filepath.VolumeName(name))))
	info, err := os.Stat(host)
	switch {
	case err != nil:
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			err = pe.Err
		}
		return fmt.Errorf("%s: %s: %w", what, host, err)
	case all && !info.IsDir():
		return fmt.Errorf("%s: %s is not a directory", what, host)
	case !all && info.IsDir():
		return fmt.Errorf("%s: %s is a directory", what, host)
	case !all:
		err = put(t, guest, host, true)
	default:
		err = below(t, host, guest, func(string) bool { return true })
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// mapDir puts what matches a pattern's last component, or all of a directory,
// below another directory. A pattern takes matching files at every depth, as
// in OPS.
func (c *Config) mapDir(t *rootfs.Tree, from, to string) error {
	host := c.Path(from)
	dir, pattern := filepath.Split(host)
	if !strings.ContainsAny(pattern, "*?[") {
		if _, err := os.Stat(host); err != nil {
			return err
		}
		return below(t, host, to, func(string) bool { return true })
	}
	if _, err := filepath.Match(pattern, ""); err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	return below(t, filepath.Clean(dir), to, func(name string) bool {
		ok, _ := filepath.Match(pattern, name)
		return ok
	})
}

// below puts the files below a directory whose names are wanted, and the
// directories that lead to them.
func below(t *rootfs.Tree, host, guest string, wanted func(name string) bool) error {
	return filepath.WalkDir(host, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(host, p)
		if err != nil {
			return err
		}
		to := path.Join(guest, filepath.ToSlash(rel))
		if rel == "." {
			return t.Mkdir(to, 0o755)
		}
		if d.IsDir() || wanted(d.Name()) {
			return put(t, to, p, false)
		}
		return nil
	})
}

func put(t *rootfs.Tree, guest, host string, follow bool) error {
	n, err := rootfs.HostFile(host, follow)
	if err != nil {
		return err
	}
	return t.Put(guest, n)
}

func (c *Config) placeManifest(t *rootfs.Tree) error {
	entries, err := manifest.Read(c.Path(c.Manifest), nil)
	if err != nil {
		return err
	}
	return manifest.Place(t, entries)
}
