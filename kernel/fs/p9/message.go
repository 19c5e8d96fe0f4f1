package p9

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Message types of 9P2000.L as Linux and QEMU speak it (the numbers of the
// requests; each answer is one more).
const (
	tlerror      = 6
	tstatfs      = 8
	tlopen       = 12
	tlcreate     = 14
	tsymlink     = 16
	tmknod       = 18
	treadlink    = 22
	tgetattr     = 24
	tsetattr     = 26
	txattrwalk   = 30
	txattrcreate = 32
	treaddir     = 40
	tfsync       = 50
	tlink        = 70
	tmkdir       = 72
	trenameat    = 74
	tunlinkat    = 76
	tversion     = 100
	tattach      = 104
	twalk        = 110
	tread        = 116
	twrite       = 118
	tclunk       = 120

	rlerror = tlerror + 1

	headerSize = 7  // size[4] type[1] tag[2]
	dataHeader = 11 // header and count[4], before the data of Rread and Rreaddir
	writeHead  = 23 // before the data of Twrite
	ioHeader   = 24 // what a message with data needs beside it
	noTag      = 0xffff
	noFid      = ^uint32(0)
	anyUser    = ^uint32(0)

	// Bits of Tgetattr's mask: everything but btime, gen and data_version.
	getattrBasic = 0x7ff

	setMode     = 1 << 0
	setUID      = 1 << 1
	setGID      = 1 << 2
	setSize     = 1 << 3
	setAtime    = 1 << 4
	setMtime    = 1 << 5
	setAtimeNow = 1 << 7 // ATIME_SET: the time is in the message
	setMtimeNow = 1 << 8
)

// call is one request and its answer. tx and rx are a page each that a
// device may access. It is used by one goroutine at a time.
type call struct {
	tag      uint16
	tx, rx   []byte
	n        int  // bytes of tx
	overflow bool // the message does not fit

	in  []byte // what is left of the answer
	bad bool   // the answer was shorter than it should be
}

func (k *call) begin(kind byte) {
	k.n = headerSize
	k.overflow, k.bad, k.in = false, false, nil
	k.tx[4] = kind
	binary.LittleEndian.PutUint16(k.tx[5:], k.tag)
}

// room returns the next n bytes of the request to fill.
func (k *call) room(n int) []byte {
	if k.n+n > len(k.tx) {
		k.overflow = true
		return make([]byte, n)
	}
	k.n += n
	return k.tx[k.n-n : k.n]
}

func (k *call) u16(v uint16) { binary.LittleEndian.PutUint16(k.room(2), v) }
func (k *call) u32(v uint32) { binary.LittleEndian.PutUint32(k.room(4), v) }
func (k *call) u64(v uint64) { binary.LittleEndian.PutUint64(k.room(8), v) }

func (k *call) str(s string) {
	if len(s) > 0xffff {
		k.overflow = true
		return
	}
	k.u16(uint16(len(s)))
	copy(k.room(len(s)), s)
}

// take returns the next n bytes of the answer.
func (k *call) take(n int) []byte {
	if n > len(k.in) {
		k.bad, k.in = true, nil
		return zeros[:min(n, len(zeros))]
	}
	p := k.in[:n]
	k.in = k.in[n:]
	return p
}

var zeros [64]byte

func (k *call) r8() uint8   { return k.take(1)[0] }
func (k *call) r16() uint16 { return binary.LittleEndian.Uint16(k.take(2)) }
func (k *call) r32() uint32 { return binary.LittleEndian.Uint32(k.take(4)) }
func (k *call) r64() uint64 { return binary.LittleEndian.Uint64(k.take(8)) }

// rstr reads a string; one that is longer than the answer is empty and bad.
func (k *call) rstr() string {
	n := int(k.r16())
	if n > len(k.in) {
		k.bad, k.in = true, nil
		return ""
	}
	return string(k.take(n))
}

// qid is the server's identification of a file: path is unique among all
// files, version changes with the contents.
type qid struct {
	kind    uint8
	version uint32
	path    uint64
}

func (k *call) rqid() qid { return qid{k.r8(), k.r32(), k.r64()} }

// attributes is the answer to Tgetattr.
type attributes struct {
	qid                 qid
	mode, uid, gid      uint32
	nlink, rdev         uint64
	size, blksize       uint64
	blocks              uint64
	atime, mtime, ctime unix.Timespec
}

func (k *call) rattributes() (a attributes) {
	k.r64() // valid: the basic members always are
	a.qid = k.rqid()
	a.mode, a.uid, a.gid = k.r32(), k.r32(), k.r32()
	a.nlink, a.rdev = k.r64(), k.r64()
	a.size, a.blksize, a.blocks = k.r64(), k.r64(), k.r64()
	a.atime, a.mtime, a.ctime = k.rtime(), k.rtime(), k.rtime()
	return a
}

func (k *call) rtime() unix.Timespec {
	sec, nsec := int64(k.r64()), int64(k.r64())
	if nsec < 0 || nsec >= 1e9 {
		nsec = 0
	}
	return unix.Timespec{Sec: sec, Nsec: nsec}
}

// entry is one entry of a directory as Rreaddir gives it.
type entry struct {
	name string
	ino  uint64
	kind uint8 // DT_*
}

// parseEntries appends the entries in the data of an Rreaddir to list and
// returns the offset to continue at; ok is false when the data is malformed.
func parseEntries(data []byte, list []entry) (all []entry, next uint64, ok bool) {
	k := call{in: data}
	for len(k.in) > 0 {
		q := k.rqid()
		off := k.r64()
		kind := k.r8()
		name := k.rstr()
		if k.bad {
			return list, next, false
		}
		next = off
		if !validName(name) {
			continue
		}
		list = append(list, entry{name: name, ino: q.path, kind: kind})
	}
	return list, next, true
}

// validName reports whether a directory entry of the server may be shown.
func validName(s string) bool {
	if s == "" || len(s) > unix.NAME_MAX {
		return false
	}
	for i := range len(s) {
		if s[i] == '/' || s[i] == 0 {
			return false
		}
	}
	return true
}
