package vfs

import (
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
)

// Dentry is a name in a directory, and the cache of a look-up.
//
// The cache is a hash table whose chains are read without a lock. What hangs
// in a chain is not the dentry but its place, which never changes: a rename
// gives the dentry a new place and unlinks the old one, so a reader is never
// carried from one chain into another. A reader may miss an entry that is
// being moved; a miss is always repeated under the directory's lock.
type Dentry struct {
	place atomic.Pointer[place]
	inode atomic.Pointer[Inode] // nil: negative
	flags atomic.Uint32

	// children counts the cached dentries below; mounted the mounts on it.
	// Either keeps the dentry in the cache.
	children atomic.Int32
	mounted  atomic.Int32

	// seed makes equal names in different directories hash differently.
	seed uint32

	first      place   // the first place, to save an allocation
	prev, next *Dentry // the pruning list, under dcache.mu
	listed     bool    // under dcache.mu
}

// place is where a dentry is: immutable but for the chain.
type place struct {
	parent *Dentry // nil for the root of a superblock
	name   string
	hash   uint32
	dentry *Dentry
	chain  atomic.Pointer[place]
}

// The flags of a dentry.
const (
	dentryDeleted    = 1 << iota // unlinked, or renamed over
	dentryReferenced             // looked up since the pruner last came by
	dentryRevalidate             // its inode, or if negative its parent's, is a Revalidator
	dentryAnon                   // of a pseudo file system: its name is the whole path
	dentryTmpfile                // made by O_TMPFILE and may still be linked
	dentryFound                  // the recorder was told that it exists
	dentryMissed                 // the recorder was told that it does not
)

// Inode returns the dentry's inode; nil when the name does not exist.
func (d *Dentry) Inode() *Inode { return d.inode.Load() }

// Name returns the last component.
func (d *Dentry) Name() string { return d.place.Load().name }

// Parent returns the directory's dentry; nil for a root.
func (d *Dentry) Parent() *Dentry { return d.place.Load().parent }

// Deleted reports whether the name is gone: unlinked or renamed over.
func (d *Dentry) Deleted() bool { return d.flags.Load()&dentryDeleted != 0 }

func (d *Dentry) set(flag uint32) {
	if d.flags.Load()&flag != flag {
		d.flags.Or(flag)
	}
}

const (
	dcacheBuckets = 4096

	// A dentry and its inodes take about a KiB. Unless SetDentryLimit says
	// otherwise, those that nobody uses get a sixteenth of the memory.
	dentryBytes = 1024
	dentryShare = 16
)

func defaultDentries() int {
	total, _ := cpu.FrameStats()
	return max(256, min(int(total)*(cpu.PageSize/dentryBytes)/dentryShare, 1<<16))
}

// dcache is the one dentry cache. mu guards the chains against other
// writers, the pruning list and count. It is a leaf.
var dcache struct {
	buckets [dcacheBuckets]atomic.Pointer[place]
	seed    atomic.Uint32

	mu         sync.Mutex
	head, tail *Dentry
	count      int
	limit      int
}

// SetDentryLimit bounds the number of cached dentries that nobody uses.
func SetDentryLimit(n int) {
	dcache.mu.Lock()
	dcache.limit = max(n, 64)
	dcache.mu.Unlock()
}

// CachedDentries is the number of dentries in the cache.
func CachedDentries() int {
	dcache.mu.Lock()
	defer dcache.mu.Unlock()
	return dcache.count
}

func hashName(seed uint32, name string) uint32 {
	h := seed
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619 // FNV-1a
	}
	return h ^ h>>15
}

func newDentry(parent *Dentry, name string, hash uint32, i *Inode) *Dentry {
	d := &Dentry{seed: dcache.seed.Add(0x9e3779b9) | 1}
	d.first = place{parent: parent, name: name, hash: hash, dentry: d}
	d.place.Store(&d.first)
	d.bind(i)
	return d
}

// bind makes d stand for i, nil for a negative dentry.
func (d *Dentry) bind(i *Inode) {
	var ops InodeOps
	if i != nil {
		ops = i.Ops
	} else if p := d.Parent(); p != nil {
		if dir := p.Inode(); dir != nil {
			ops = dir.Ops
		}
	}
	_, ok := ops.(Revalidator)
	if o, has := ops.(interface{ Dynamic() bool }); ok && has {
		ok = o.Dynamic()
	}
	if ok {
		d.flags.Or(dentryRevalidate)
	} else if d.flags.Load()&dentryRevalidate != 0 {
		d.flags.And(^uint32(dentryRevalidate))
	}
	d.inode.Store(i)
}

// RootDentry returns the dentry of the superblock's root directory, which all
// its mounts share.
func (sb *Superblock) RootDentry() *Dentry {
	if d := sb.root.Load(); d != nil {
		return d
	}
	sb.root.CompareAndSwap(nil, newDentry(nil, "/", 0, sb.Root))
	return sb.root.Load()
}

// cached looks name up in the cache only; it takes no lock.
func (d *Dentry) cached(name string, hash uint32) *Dentry {
	for p := dcache.buckets[hash%dcacheBuckets].Load(); p != nil; p = p.chain.Load() {
		if p.hash == hash && p.parent == d && p.name == name {
			return p.dentry
		}
	}
	return nil
}

// child returns the dentry of name in directory d; it may be negative. The
// common case takes no lock and allocates nothing.
func (d *Dentry) child(c Caller, name string) (*Dentry, error) {
	hash := hashName(d.seed, name)
	if e := d.cached(name, hash); e != nil && e.valid() {
		e.set(dentryReferenced)
		return e, nil
	}
	dir := d.Inode()
	dir.DirMu.RLock()
	defer dir.DirMu.RUnlock()
	return d.lookup(c, name, hash)
}

// childLocked is child for callers that hold the directory's DirMu.
func (d *Dentry) childLocked(c Caller, name string) (*Dentry, error) {
	return d.lookup(c, name, hashName(d.seed, name))
}

func (d *Dentry) lookup(c Caller, name string, hash uint32) (*Dentry, error) {
	if e := d.cached(name, hash); e != nil && e.valid() {
		return e, nil
	}
	if d.Deleted() {
		return nil, unix.ENOENT
	}
	if len(name) > unix.NAME_MAX {
		return nil, unix.ENAMETOOLONG
	}
	dir := d.Inode()
	i, err := dir.Ops.Lookup(c, dir, name)
	if err != nil && err != unix.ENOENT {
		return nil, err
	}
	if err != nil {
		i = nil
	}
	e := newDentry(d, strings.Clone(name), hash, i)
	if i == nil && dir.FS != nil && dir.FS.NoNegative {
		return e, nil // known to nobody else; made positive it is inserted
	}
	if i != nil {
		if t, ok := i.Ops.(Transient); ok && t.Transient() {
			return e, nil
		}
	}
	return dcacheInsert(e), nil
}

// valid asks a file system whose names may go stale; a stale dentry is
// dropped from the cache.
func (d *Dentry) valid() bool {
	if d.flags.Load()&dentryRevalidate == 0 {
		return true
	}
	i := d.Inode()
	if i == nil {
		i = d.Parent().Inode()
	}
	if r, ok := i.Ops.(Revalidator); !ok || r.Revalidate(d) {
		return true
	}
	if d.mounted.Load() != 0 {
		return true
	}
	dcache.mu.Lock()
	d.unhash()
	dcache.mu.Unlock()
	return false
}

// dcacheInsert makes e findable, unless another dentry of the same name was
// faster: that one is returned then.
func dcacheInsert(e *Dentry) *Dentry {
	var dropped [8]*Inode
	n := 0
	p := e.place.Load()
	dcache.mu.Lock()
	if other := p.parent.cached(p.name, p.hash); other != nil {
		dcache.mu.Unlock()
		return other
	}
	e.hash()
	if dcache.limit == 0 {
		dcache.limit = defaultDentries()
	}
	for tries := 0; dcache.count > dcache.limit && tries < 32 && n < len(dropped); tries++ {
		d := dcache.head
		if d == e {
			break
		}
		dcacheUnlist(d)
		i := d.Inode()
		if d.flags.Load()&dentryReferenced != 0 {
			d.flags.And(^uint32(dentryReferenced))
			dcacheList(d)
			continue
		}
		if d.children.Load() != 0 || d.mounted.Load() != 0 || i != nil && (i.refs.Load() > 0 || i.watch.Load() != nil) {
			dcacheList(d)
			continue
		}
		d.unhash()
		if i != nil {
			dropped[n] = i
			n++
		}
	}
	dcache.mu.Unlock()
	for _, i := range dropped[:n] {
		if f, ok := i.Ops.(Forgetter); ok {
			f.Forget(i)
		}
	}
	return e
}

// hash enters d's place into the table and the pruning list. dcache.mu is held.
func (d *Dentry) hash() {
	p := d.place.Load()
	b := &dcache.buckets[p.hash%dcacheBuckets]
	p.chain.Store(b.Load())
	b.Store(p)
	p.parent.children.Add(1)
	dcacheList(d)
}

// unhash takes d's place out of the table and the pruning list; the place
// keeps its chain for readers that stand on it. dcache.mu is held.
func (d *Dentry) unhash() {
	p := d.place.Load()
	if d.listed {
		dcacheUnlist(d)
	}
	link := &dcache.buckets[p.hash%dcacheBuckets]
	for q := link.Load(); q != nil; q = link.Load() {
		if q == p {
			link.Store(p.chain.Load())
			p.parent.children.Add(-1)
			return
		}
		link = &q.chain
	}
}

func dcacheList(d *Dentry) {
	d.listed, d.prev, d.next = true, dcache.tail, nil
	if dcache.tail != nil {
		dcache.tail.next = d
	} else {
		dcache.head = d
	}
	dcache.tail = d
	dcache.count++
}

func dcacheUnlist(d *Dentry) {
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		dcache.head = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	} else {
		dcache.tail = d.prev
	}
	d.listed, d.prev, d.next = false, nil, nil
	dcache.count--
}

// instantiate makes a negative dentry stand for i, which was just created
// under its name. The directory's DirMu is held for writing.
func (d *Dentry) instantiate(i *Inode) {
	d.bind(i)
	dcache.mu.Lock()
	if !d.listed {
		d.hash()
	}
	dcache.mu.Unlock()
}

// kill ends a name: who holds the dentry keeps its inode, nobody finds it
// any more. The directory's DirMu is held for writing.
func (d *Dentry) kill() {
	d.flags.Or(dentryDeleted)
	dcache.mu.Lock()
	if d.listed {
		d.unhash()
	}
	dcache.mu.Unlock()
}

// Forget drops the cached look-up of name below directory d, for file systems
// whose directories change by themselves.
func (d *Dentry) Forget(name string) {
	if e := d.cached(name, hashName(d.seed, name)); e != nil && e.mounted.Load() == 0 {
		e.kill()
	}
}

// move gives d a new place, ending what is there. Both directories' DirMu are
// held for writing.
func (d *Dentry) move(parent *Dentry, name string, target *Dentry) {
	if target != nil && target != d {
		target.kill()
	}
	dcache.mu.Lock()
	if d.listed {
		d.unhash()
	}
	d.place.Store(&place{parent: parent, name: strings.Clone(name), hash: hashName(parent.seed, name), dentry: d})
	d.hash()
	dcache.mu.Unlock()
}

// exchange swaps the places of two dentries.
func exchange(a, b *Dentry) {
	dcache.mu.Lock()
	pa, pb := a.place.Load(), b.place.Load()
	a.unhash()
	b.unhash()
	a.place.Store(&place{parent: pb.parent, name: pb.name, hash: pb.hash, dentry: a})
	b.place.Store(&place{parent: pa.parent, name: pa.name, hash: pa.hash, dentry: b})
	a.hash()
	b.hash()
	dcache.mu.Unlock()
}

// under reports whether d is ancestor or lies below it.
func (d *Dentry) under(ancestor *Dentry) bool {
	for ; d != nil; d = d.Parent() {
		if d == ancestor {
			return true
		}
	}
	return false
}
