// Package ipc is System V interprocess communication, sysvipc(7): shared
// memory segments, semaphore arrays and message queues, each kind in a table
// of its own. Package syscalls turns registers and user memory into its calls;
// package proc renders its tables.
//
// A segment's memory is a page cache without a store, as that of a tmpfs
// file, and an attachment is a mapping of it: what keeps the segment alive and
// counts its attachments is the reference of each mapping (mm.Mappable).
//
// Locks: each table has one mutex, which guards the table and all objects in
// it. No two of them are held together, and nothing of package mm is called
// with one held, for mm calls Get and Put with its own locks. wait.Queue comes
// after them.
package ipc

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/cred"
	"husk/kernel/vfs"
)

var le = binary.LittleEndian

// Flags and commands of ipc.h that golang.org/x/sys/unix lacks.
const (
	ipcNoWait = 0o4000

	modeDest   = 0o1000 // SHM_DEST: to be destroyed on last detach
	modeLocked = 0o2000 // SHM_LOCKED
)

// An identifier is an index into the table and above it a sequence number,
// so that one which is gone is not taken for its successor.
const (
	indexBits = 15
	maxIndex  = 1 << indexBits
	maxSeq    = 1<<(31-indexBits) - 1
	minCycle  = 64 // indexes are used in turn up to here at least
)

// Perm is what every object has: its names, owner and permissions (struct
// ipc_perm). The table's lock guards it.
type Perm struct {
	Key, ID              int32
	UID, GID, CUID, CGID uint32
	Mode                 uint32
	seq                  uint16
	gone                 bool
}

// object is one of *Segment, *semArray and *queue.
type object interface{ perm() *Perm }

// table is all objects of one kind.
type table struct {
	mu    sync.Mutex
	slots []object
	keys  map[int32]object // of those with a key that is not IPC_PRIVATE
	inUse int
	last  int // the index given last, one more
	seq   uint16
}

// create makes an object with make unless the key has one already, by the
// rules of the get calls. check looks at an object that exists. Both are called with mu
// held.
func (t *table) create(c vfs.Caller, key int32, flags uint32, check func(object) error, make func() (object, error)) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if key != unix.IPC_PRIVATE {
		if o := t.keys[key]; o != nil {
			if flags&(unix.IPC_CREAT|unix.IPC_EXCL) == unix.IPC_CREAT|unix.IPC_EXCL {
				return 0, unix.EEXIST
			}
			if err := check(o); err != nil {
				return 0, err
			}
			return int(o.perm().ID), o.perm().allows(c, flags)
		}
		if flags&unix.IPC_CREAT == 0 {
			return 0, unix.ENOENT
		}
	}
	if cpu.KernelShort() {
		return 0, unix.ENOMEM
	}
	o, err := make()
	if err != nil {
		return 0, err
	}
	cr := c.Cred()
	p := o.perm()
	p.Key, p.Mode = key, flags&0o777
	p.UID, p.GID = uint32(cr.EUID), uint32(cr.EGID)
	p.CUID, p.CGID = p.UID, p.GID
	t.enter(o)
	return int(p.ID), nil
}

// enter gives o its identifier. mu is held and there is room.
func (t *table) enter(o object) {
	cycle := min(max(t.inUse*3/2, minCycle), maxIndex)
	at := -1
	for i := range cycle {
		if n := (t.last + i) % cycle; n >= len(t.slots) || t.slots[n] == nil {
			at = n
			break
		}
	}
	for at >= len(t.slots) {
		t.slots = append(t.slots, nil)
	}
	if at < t.last {
		t.seq = (t.seq + 1) % maxSeq
	}
	t.last = at + 1
	t.slots[at] = o
	t.inUse++
	p := o.perm()
	p.seq = t.seq
	p.ID = int32(t.seq)<<indexBits | int32(at)
	if p.Key != unix.IPC_PRIVATE {
		if t.keys == nil {
			t.keys = make(map[int32]object)
		}
		t.keys[p.Key] = o
	}
}

// remove takes o out of the table. mu is held.
func (t *table) remove(o object) {
	p := o.perm()
	if p.gone {
		return
	}
	p.gone = true
	t.unkey(o)
	t.slots[p.ID%maxIndex] = nil
	t.inUse--
}

// unkey makes o nameless. mu is held.
func (t *table) unkey(o object) {
	if p := o.perm(); p.Key != unix.IPC_PRIVATE {
		delete(t.keys, p.Key)
		p.Key = unix.IPC_PRIVATE
	}
}

// find returns the object with an identifier: EINVAL when there is none. mu
// is held.
func (t *table) find(id int) (object, error) {
	if id < 0 {
		return nil, unix.EINVAL
	}
	o, err := t.index(id % maxIndex)
	if err != nil {
		return nil, err
	}
	if int(o.perm().ID) != id {
		return nil, unix.EINVAL
	}
	return o, nil
}

// index returns the object at an index, which is what the STAT commands take.
// mu is held.
func (t *table) index(n int) (object, error) {
	n %= maxIndex
	if n < 0 || n >= len(t.slots) || t.slots[n] == nil {
		return nil, unix.EINVAL
	}
	return t.slots[n], nil
}

// highest is the highest index in use, 0 when there is none. mu is held.
func (t *table) highest() int {
	for i := len(t.slots) - 1; i > 0; i-- {
		if t.slots[i] != nil {
			return i
		}
	}
	return 0
}

// allows checks the permission bits of flags, given for any of owner, group
// and others: EACCES.
func (p *Perm) allows(c vfs.Caller, flags uint32) error {
	cr := c.Cred()
	wanted := flags>>6 | flags>>3 | flags
	granted := p.Mode
	switch e := uint32(cr.EUID); {
	case e == p.CUID || e == p.UID:
		granted >>= 6
	case inGroup(cr, p.CGID) || inGroup(cr, p.GID):
		granted >>= 3
	}
	if wanted&^granted&7 != 0 && !cr.Has(unix.CAP_IPC_OWNER) {
		return unix.EACCES
	}
	return nil
}

// inGroup is Linux's in_egroup_p.
func inGroup(c *cred.Cred, g uint32) bool {
	if uint32(c.EGID) == g {
		return true
	}
	for _, s := range c.Groups {
		if uint32(s) == g {
			return true
		}
	}
	return false
}

// owned checks that c may change or remove the object: EPERM.
func (p *Perm) owned(c vfs.Caller) error {
	cr := c.Cred()
	if e := uint32(cr.EUID); e == p.CUID || e == p.UID || cr.Has(unix.CAP_SYS_ADMIN) {
		return nil
	}
	return unix.EPERM
}

// Sizes of the structures that the control calls exchange.
const (
	permSize  = 48
	ShmidSize = 112 // struct shmid64_ds
	SemidSize = 104 // struct semid64_ds
	MsqidSize = 120 // struct msqid64_ds
)

// put writes struct ipc64_perm.
func (p *Perm) put(b []byte) {
	le.PutUint32(b, uint32(p.Key))
	le.PutUint32(b[4:], p.UID)
	le.PutUint32(b[8:], p.GID)
	le.PutUint32(b[12:], p.CUID)
	le.PutUint32(b[16:], p.CGID)
	le.PutUint32(b[20:], p.Mode)
	le.PutUint16(b[24:], p.seq)
}

// set takes what IPC_SET changes from struct ipc64_perm: EINVAL for owners
// that nobody can be.
func (p *Perm) set(b []byte) error {
	uid, gid := le.Uint32(b[4:]), le.Uint32(b[8:])
	if uid == ^uint32(0) || gid == ^uint32(0) {
		return unix.EINVAL
	}
	p.UID, p.GID = uid, gid
	p.Mode = p.Mode&^0o777 | le.Uint32(b[20:])&0o777
	return nil
}

// seconds is the time that the structures show.
func seconds() int64 {
	ns, _ := clock.Read(unix.CLOCK_REALTIME)
	return ns / clock.Second
}

// command is what the control calls of all kinds have in common: which object
// an identifier or index stands for.
func (t *table) named(c vfs.Caller, id int, byIndex, anybody bool) (object, error) {
	var o object
	var err error
	if byIndex {
		o, err = t.index(id)
	} else {
		o, err = t.find(id)
	}
	if err != nil || anybody {
		return o, err
	}
	return o, o.perm().allows(c, 0o444)
}
