package store

import (
	"fmt"
	"os"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Touch notes that a blob was used, for Expire.
func (s *Store) Touch(h v1.Hash) {
	now := time.Now()
	_ = os.Chtimes(s.Path(h), now, now) // only makes it stay longer
}

// Expire is for stores that are caches, without references: it removes what
// was not used since a time, and what was used the longest ago until no more
// than a number of bytes is left. It gives ErrBusy if the store is in use for
// longer than it may wait.
func (s *Store) Expire(since time.Time, limit int64, wait time.Duration) (Freed, error) {
	var freed Freed
	l, err := lock(s.path("lock"), true, wait)
	if err != nil {
		return freed, err
	}
	defer l.Close()
	type file struct {
		name string
		used time.Time
		size int64
	}
	var all []file
	var total int64
	for _, dir := range []string{"blobs/sha256", "tmp", "partial", "releases"} {
		ents, err := os.ReadDir(s.path(dir))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return freed, err
		}
		for _, e := range ents {
			info, err := e.Info()
			if err != nil {
				continue
			}
			all = append(all, file{s.path(dir, e.Name()), info.ModTime(), info.Size()})
			total += info.Size()
		}
	}
	slices.SortFunc(all, func(a, b file) int { return a.used.Compare(b.used) })
	for _, f := range all {
		if total <= limit && !f.used.Before(since) {
			break
		}
		if err := os.RemoveAll(f.name); err != nil {
			return freed, fmt.Errorf("prune %s: %w", s.Dir, err)
		}
		total -= f.size
		freed.Blobs++
		freed.Bytes += f.size
	}
	return freed, nil
}
