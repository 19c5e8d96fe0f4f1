package pseudo

import "sync"

// Disk is a block device as proc and sysfs show it.
type Disk struct {
	Name         string
	Major, Minor uint32
	Sectors      uint64 // of 512 bytes
	ReadOnly     bool
}

// disks are registered while the machine boots.
var disks struct {
	sync.RWMutex
	list []Disk
}

// RegisterDisk makes a block device appear in both.
func RegisterDisk(d Disk) {
	disks.Lock()
	disks.list = append(disks.list, d)
	disks.Unlock()
}

// Disks returns the block devices; the slice must not be changed.
func Disks() []Disk {
	disks.RLock()
	defer disks.RUnlock()
	return disks.list[:len(disks.list):len(disks.list)]
}
