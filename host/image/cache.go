package image

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"husk/host/rootfs"
	"husk/host/sysroot"
)

// Cache keeps images. It is a directory with two kinds of files:
//
//	DIGEST.erofs     an image, named after the tree it was made of
//	KEY.manifest     for one question (a program and the options that
//	                 matter): which image answers it, and all of the host's
//	                 files that the answer depends on
//
// A question asked again costs one stat for each of those. Files appear by
// rename and are never changed, so that any number of processes may use one
// cache.
type Cache struct {
	Dir      string
	MaxBytes int64         // of images; what was not used for longest goes first
	MaxAge   time.Duration // since the last use
}

const (
	defaultMaxBytes = 8 << 30
	defaultMaxAge   = 30 * 24 * time.Hour
	// inUse is how long after its last use an image is surely not removed:
	// a machine that was just told its path may not have opened it yet.
	inUse = time.Hour
	// touchEvery keeps hits from writing.
	touchEvery = 10 * time.Minute
)

// OpenCache opens the user's cache, $XDG_CACHE_HOME/husk/images.
func OpenCache() (*Cache, error) {
	dir := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(dir) {
		var err error
		if dir, err = os.UserCacheDir(); err != nil {
			return nil, fmt.Errorf("find a place for cached images: %w (set XDG_CACHE_HOME)", err)
		}
	}
	return &Cache{Dir: filepath.Join(dir, "husk", "images"), MaxBytes: defaultMaxBytes, MaxAge: defaultMaxAge}, nil
}

// Result is an image of a program's root file system.
type Result struct {
	Path     string   // of the image file
	Program  string   // at which path the program stands in it
	Warnings []string // of the gathering
	Hit      bool     // it was there already
}

// Cached is the image of one program from the user's cache, made if need be.
func Cached(ctx context.Context, o rootfs.Options) (Result, error) {
	c, err := OpenCache()
	if err != nil {
		return Result{}, err
	}
	return c.Get(ctx, o)
}

// Get returns the image of one program, made if need be.
func (c *Cache) Get(ctx context.Context, o rootfs.Options) (Result, error) {
	key, err := keyOf(o)
	if err != nil {
		return Result{}, err
	}
	file := filepath.Join(c.Dir, key+".manifest")
	if m, err := readManifest(file); err == nil {
		img := filepath.Join(c.Dir, m.image)
		if c.usable(img, m.size) && fresh(m.seen) {
			c.touch(img, file)
			return Result{img, m.program, m.warnings, true}, nil
		}
	}
	for try := 0; ; try++ {
		t, err := rootfs.Build(o)
		if err != nil {
			return Result{}, err
		}
		img, err := c.Put(ctx, t)
		if err != nil {
			return Result{}, err
		}
		// What changed while it was read may be in the image half old, half
		// new: once more, and then without remembering.
		if !fresh(t.Seen) && try < 2 {
			if try == 0 {
				os.Remove(img)
			}
			continue
		}
		st, err := os.Stat(img)
		if err != nil {
			return Result{}, err
		}
		m := &manifest{image: filepath.Base(img), size: st.Size(), program: t.Program, warnings: t.Warnings, seen: t.Seen}
		if try < 2 {
			if err := c.create(file, func(w io.Writer) error { _, err := w.Write(m.encode()); return err }, false); err != nil {
				return Result{}, err
			}
		}
		c.prune(time.Now())
		return Result{img, t.Program, t.Warnings, false}, nil
	}
}

// Put returns the image of a tree, written unless the cache has it.
func (c *Cache) Put(ctx context.Context, t *rootfs.Tree) (string, error) {
	size, err := Size(t)
	if err != nil {
		return "", err
	}
	img := filepath.Join(c.Dir, t.Digest()[:40]+".erofs")
	if c.usable(img, int64(size)) {
		c.touch(img)
		return img, nil
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return "", err
	}
	err = c.create(img, func(w io.Writer) error {
		return Write(w, t, Options{Context: ctx})
	}, true)
	if err != nil {
		return "", fmt.Errorf("write image: %w", err)
	}
	return img, nil
}

// create makes a file appear whole or not at all.
func (c *Cache) create(name string, write func(io.Writer) error, sync bool) error {
	f, err := os.CreateTemp(c.Dir, "new-*")
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil && sync {
		// After a crash of the host a name must not lead to half an image.
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func (c *Cache) usable(img string, size int64) bool {
	st, err := os.Stat(img)
	return err == nil && st.Size() == size && st.Mode().IsRegular()
}

// touch marks files as used.
func (c *Cache) touch(files ...string) {
	now := time.Now()
	for _, f := range files {
		if st, err := os.Stat(f); err == nil && now.Sub(st.ModTime()) > touchEvery {
			_ = os.Chtimes(f, now, now) // only makes it look unused for longer
		}
	}
}

// prune removes what is old and, oldest first, what is too much.
func (c *Cache) prune(now time.Time) {
	ents, err := os.ReadDir(c.Dir)
	if err != nil {
		return
	}
	var images []fs.FileInfo
	var total int64
	for _, e := range ents {
		st, err := e.Info()
		if err != nil || !st.Mode().IsRegular() {
			continue
		}
		age := now.Sub(st.ModTime())
		switch {
		case strings.HasPrefix(e.Name(), "new-"):
			if age > inUse {
				os.Remove(filepath.Join(c.Dir, e.Name()))
			}
		case strings.HasSuffix(e.Name(), ".manifest"):
			if age > c.MaxAge {
				os.Remove(filepath.Join(c.Dir, e.Name()))
			}
		case strings.HasSuffix(e.Name(), ".erofs"):
			images = append(images, st)
			total += st.Size()
		}
	}
	slices.SortFunc(images, func(a, b fs.FileInfo) int { return cmp.Compare(a.ModTime().UnixNano(), b.ModTime().UnixNano()) })
	for _, st := range images {
		age := now.Sub(st.ModTime())
		if age <= inUse || age <= c.MaxAge && total <= c.MaxBytes {
			continue
		}
		if os.Remove(filepath.Join(c.Dir, st.Name())) == nil {
			total -= st.Size()
		}
	}
}

// keyOf names a question.
func keyOf(o rootfs.Options) (string, error) {
	h := sha256.New()
	program, root := o.Program, o.Sysroot
	var err error
	if strings.ContainsRune(program, filepath.Separator) || strings.Contains(program, "/") {
		if program, err = filepath.Abs(program); err != nil {
			return "", err
		}
	}
	if root != "" {
		if root, err = filepath.Abs(root); err != nil {
			return "", err
		}
	}
	parts := []string{manifestMagic, rootfs.Version, program, root, o.Cwd, strconv.Itoa(int(o.Machine))}
	for _, name := range rootfs.Relevant {
		for _, kv := range o.Env {
			if strings.HasPrefix(kv, name+"=") {
				parts = append(parts, kv)
			}
		}
	}
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:40], nil
}

// fresh reports whether everything still is as it was seen.
func fresh(seen []sysroot.Seen) bool {
	const piece = 256
	workers := min(runtime.GOMAXPROCS(0), 4, (len(seen)+piece-1)/piece)
	if workers <= 1 {
		for i := range seen {
			if !seen[i].Fresh() {
				return false
			}
		}
		return true
	}
	var next atomic.Int64
	var stale atomic.Bool
	done := make(chan struct{})
	for range workers {
		go func() {
			defer func() { done <- struct{}{} }()
			for !stale.Load() {
				from := int(next.Add(piece)) - piece
				if from >= len(seen) {
					return
				}
				for i := from; i < min(from+piece, len(seen)); i++ {
					if !seen[i].Fresh() {
						stale.Store(true)
						return
					}
				}
			}
		}()
	}
	for range workers {
		<-done
	}
	return !stale.Load()
}
