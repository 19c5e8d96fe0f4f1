package vfs

import (
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// FSType makes superblocks: a file system that mount(2) knows by name.
type FSType struct {
	Name string
	// NoDevice says that the source is not a block device ("nodev" in
	// /proc/filesystems).
	NoDevice bool
	// Mount makes an instance. data is mount(2)'s option string.
	Mount func(c Caller, source string, flags uint32, data string) (*Superblock, error)
}

var fsTypes struct {
	sync.RWMutex
	list []*FSType
}

// RegisterFS makes a file system known; a later one of the same name replaces
// the earlier.
func RegisterFS(t *FSType) {
	fsTypes.Lock()
	defer fsTypes.Unlock()
	for i, o := range fsTypes.list {
		if o.Name == t.Name {
			fsTypes.list[i] = t
			return
		}
	}
	fsTypes.list = append(fsTypes.list, t)
}

// FSTypes returns the registered file systems in the order of registration.
func FSTypes() []*FSType {
	fsTypes.RLock()
	defer fsTypes.RUnlock()
	return slices.Clone(fsTypes.list)
}

// FindFS returns the file system type called name, ENODEV when there is none.
func FindFS(name string) (*FSType, error) {
	fsTypes.RLock()
	defer fsTypes.RUnlock()
	for _, t := range fsTypes.list {
		if t.Name == name {
			return t, nil
		}
	}
	return nil, unix.ENODEV
}

var devNumbers atomic.Uint64

// AllocDev returns a device number for a file system without a device, as
// Linux gives out: major 0.
func AllocDev() uint64 { return unix.Mkdev(0, uint32(devNumbers.Add(1))+20) }
