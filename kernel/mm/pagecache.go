package mm

// PageCache holds the pages of one file (Linux's struct address_space): the
// one home of file data that read, write, mmap, exec and sendfile share.
type PageCache struct {
	store Store
}

// Store is where the pages of a PageCache come from and go to: a file
// system's inode. Calls for different pages may come concurrently.
type Store interface {
	// ReadPages fills consecutive pages starting at page index; each element
	// is one page of memory. What lies past the end of the file is zeroed.
	ReadPages(index uint64, pages [][]byte) error
	// WritePages stores consecutive pages (writeback of shared mappings).
	WritePages(index uint64, pages [][]byte) error
	// Size is the file's size in bytes: mapping past it raises SIGBUS.
	Size() uint64
}

// NewPageCache returns an empty cache over s. A nil-store cache is anonymous
// memory that is its own home (tmpfs, memfd, shared anonymous mappings):
// pages appear zeroed and are never dropped but by Truncate.
func NewPageCache(s Store) *PageCache { return &PageCache{store: s} }

// ReadAt copies file data from off into b, up to size bytes of file (the
// caller's notion of the end). It is the body of read(2) and sendfile(2).
func (c *PageCache) ReadAt(b *Buffer, off, size uint64) (int, error) { return 0, nil }

// WriteAt copies from b into the pages at off, allocating or reading pages as
// needed, and marks them dirty. The caller extends the file's size.
func (c *PageCache) WriteAt(b *Buffer, off uint64) (int, error) { return 0, nil }

// Truncate drops all pages wholly past size and zeroes the tail of the last
// one, unmapping them everywhere.
func (c *PageCache) Truncate(size uint64) {}

// PunchHole drops or zeroes [off, off+n), unmapping what it drops.
func (c *PageCache) PunchHole(off, n uint64) {}

// Resident is the number of pages held.
func (c *PageCache) Resident() uint64 { return 0 }

// Release drops every page; the file is gone.
func (c *PageCache) Release() {}
