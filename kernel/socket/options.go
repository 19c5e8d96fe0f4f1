package socket

import (
	"encoding/binary"
	"math"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/bpf"
	"husk/kernel/vfs"
)

// The sizes of buffers, in bytes as getsockopt shows them: what is set is
// doubled, as socket(7) says.
const (
	minSendBuffer = 4608
	minRecvBuffer = 2304
)

// The settings in /proc/sys/net/core; read and written with package atomic.
var (
	ReadDefault  int64 = 212992
	WriteDefault int64 = 212992
	ReadMax      int64 = 4194304
	WriteMax     int64 = 4194304
	BacklogMax   int64 = 4096 // somaxconn
)

// Options of level SOL_SOCKET that every socket has. They are atomic because
// the calls that use them take no common lock.
type Options struct {
	Domain, Type, Protocol int // never change

	Inode atomic.Uint64            // of its file; 0 before it has one
	file  atomic.Pointer[vfs.File] // the same, without a reference

	SendBuffer, RecvBuffer   atomic.Int32
	PassCred                 atomic.Bool
	Listening                atomic.Bool
	recvTimeout, sendTimeout atomic.Int64 // nanoseconds, 0: never
	lowat                    atomic.Int32
	linger                   atomic.Int64 // seconds<<1 | on
	err                      atomic.Int32 // SO_ERROR
	flags                    atomic.Uint64
	priority, mark, peekOff  atomic.Int32
	timestamping             atomic.Int32
	sendLocked, recvLocked   atomic.Bool
	cpu                      atomic.Int32 // SO_INCOMING_CPU
	filter                   atomic.Pointer[[]bpf.Instruction]
}

// Inherit takes over what a connection has from the socket that listened.
func (o *Options) Inherit(l *Options) {
	o.Domain, o.Type, o.Protocol = l.Domain, l.Type, l.Protocol
	o.SendBuffer.Store(l.SendBuffer.Load())
	o.RecvBuffer.Store(l.RecvBuffer.Load())
	o.sendLocked.Store(l.sendLocked.Load())
	o.recvLocked.Store(l.recvLocked.Load())
	o.PassCred.Store(l.PassCred.Load())
	o.recvTimeout.Store(l.recvTimeout.Load())
	o.sendTimeout.Store(l.sendTimeout.Load())
	o.lowat.Store(l.lowat.Load())
	o.linger.Store(l.linger.Load())
	o.flags.Store(l.flags.Load())
	o.priority.Store(l.priority.Load())
	o.mark.Store(l.mark.Load())
	o.peekOff.Store(l.peekOff.Load())
	o.timestamping.Store(l.timestamping.Load())
	o.filter.Store(l.filter.Load())
}

// Linger is SO_LINGER: whether it is on, and for how many seconds.
func (o *Options) Linger() (on bool, seconds int) {
	l := o.linger.Load()
	return l&1 != 0, int(l >> 1)
}

// Lowat is SO_RCVLOWAT.
func (o *Options) Lowat() int { return int(o.lowat.Load()) }

// SendLocked and RecvLocked report whether the program has chosen the size of
// a buffer.
func (o *Options) SendLocked() bool { return o.sendLocked.Load() }

// RecvLocked is described at SendLocked.
func (o *Options) RecvLocked() bool { return o.recvLocked.Load() }

// Mark is SO_MARK, Priority SO_PRIORITY.
func (o *Options) Mark() int32 { return o.mark.Load() }

// Priority is SO_PRIORITY.
func (o *Options) Priority() int32 { return o.priority.Load() }

// Timestamping is SO_TIMESTAMPING.
func (o *Options) Timestamping() int32 { return o.timestamping.Load() }

// SetPriority sets SO_PRIORITY, as IP_TOS does.
func (o *Options) SetPriority(n int32) { o.priority.Store(n) }

// ReceiveTimeout is SO_RCVTIMEO, for calls of a family of its own.
func (o *Options) ReceiveTimeout() int64 { return o.recvTimeout.Load() }

// Init sets what a fresh socket has.
func (o *Options) Init(domain, typ, protocol int) {
	o.Domain, o.Type, o.Protocol = domain, typ, protocol
	o.SendBuffer.Store(int32(atomic.LoadInt64(&WriteDefault)))
	o.RecvBuffer.Store(int32(atomic.LoadInt64(&ReadDefault)))
	o.lowat.Store(1)
	o.peekOff.Store(-1)
	o.cpu.Store(-1)
}

// SignalUrgent sends SIGURG to the owner of a file (F_SETOWN). The kernel sets
// it at boot.
var SignalUrgent func(*vfs.File)

// Urgent tells the socket's owner of urgent data. No lock is held.
func (o *Options) Urgent() {
	if f := o.file.Load(); f != nil && SignalUrgent != nil && f.Owner() != nil {
		SignalUrgent(f)
	}
}

// SetError stores an error that the next call or SO_ERROR reports.
func (o *Options) SetError(e unix.Errno) { o.err.Store(int32(e)) }

// HasError reports whether there is one, without taking it.
func (o *Options) HasError() bool { return o.err.Load() != 0 }

// TakeError returns and clears it; nil if there is none.
func (o *Options) TakeError() error {
	if o.err.Load() == 0 {
		return nil
	}
	if e := o.err.Swap(0); e != 0 {
		return unix.Errno(e)
	}
	return nil
}

// ReadTimeout and WriteTimeout make read(2) and write(2) honour SO_RCVTIMEO
// and SO_SNDTIMEO (vfs.Timeouts).
func (o *Options) ReadTimeout() int64 { return o.recvTimeout.Load() }

// WriteTimeout is SO_SNDTIMEO in nanoseconds.
func (o *Options) WriteTimeout() int64 { return o.sendTimeout.Load() }

// Flag reports whether a boolean option (SO_REUSEADDR …) is on.
func (o *Options) Flag(name int) bool { return name < 64 && o.flags.Load()>>name&1 != 0 }

// The options that are kept as a bit each. All have numbers below 64.
const boolean = 1<<unix.SO_REUSEADDR | 1<<unix.SO_DONTROUTE | 1<<unix.SO_BROADCAST | 1<<unix.SO_KEEPALIVE |
	1<<unix.SO_OOBINLINE | 1<<unix.SO_NO_CHECK | 1<<unix.SO_REUSEPORT | 1<<unix.SO_TIMESTAMP |
	1<<unix.SO_PASSSEC | 1<<unix.SO_TIMESTAMPNS | 1<<unix.SO_RXQ_OVFL | 1<<unix.SO_WIFI_STATUS |
	1<<unix.SO_NOFCS | 1<<unix.SO_LOCK_FILTER | 1<<unix.SO_SELECT_ERR_QUEUE | 1<<unix.SO_ZEROCOPY

const (
	soRcvTimeoNew = 66
	soSndTimeoNew = 67
)

// Set serves setsockopt(2) at SOL_SOCKET; ENOPROTOOPT for what it does not
// know.
func (o *Options) Set(c vfs.Caller, name int, v []byte) error {
	switch name {
	case unix.SO_RCVTIMEO, soRcvTimeoNew:
		return setTimeout(&o.recvTimeout, v)
	case unix.SO_SNDTIMEO, soSndTimeoNew:
		return setTimeout(&o.sendTimeout, v)
	case unix.SO_BINDTODEVICE:
		return unix.ENOPROTOOPT
	}
	if is, err := o.setFilter(c, name, v); is {
		return err
	}
	if len(v) < 4 {
		return unix.EINVAL
	}
	n := int32(binary.NativeEndian.Uint32(v))
	if name >= 0 && name < 64 && uint64(boolean)>>name&1 != 0 {
		if name == unix.SO_ZEROCOPY {
			return unix.EOPNOTSUPP // sent data is always copied here
		}
		if name == unix.SO_REUSEPORT && n != 0 && o.Domain != unix.AF_INET && o.Domain != unix.AF_INET6 {
			return unix.EOPNOTSUPP
		}
		if name == unix.SO_LOCK_FILTER && n == 0 && o.Flag(name) {
			return unix.EPERM
		}
		o.setFlag(name, n != 0)
		return nil
	}
	admin := c.Cred().Has(unix.CAP_NET_ADMIN)
	switch name {
	case unix.SO_DEBUG:
		if n != 0 && !admin {
			return unix.EACCES
		}
		o.setFlag(name, n != 0)
	case unix.SO_TYPE, unix.SO_PROTOCOL, unix.SO_DOMAIN, unix.SO_ERROR:
		return unix.ENOPROTOOPT
	case unix.SO_SNDBUF, unix.SO_SNDBUFFORCE:
		if name == unix.SO_SNDBUFFORCE {
			if !admin {
				return unix.EPERM
			}
			n = max(n, 0)
		}
		o.SendBuffer.Store(bufferSize(n, minSendBuffer, &WriteMax, name == unix.SO_SNDBUFFORCE))
		o.sendLocked.Store(true)
	case unix.SO_RCVBUF, unix.SO_RCVBUFFORCE:
		if name == unix.SO_RCVBUFFORCE {
			if !admin {
				return unix.EPERM
			}
			n = max(n, 0)
		}
		o.RecvBuffer.Store(bufferSize(n, minRecvBuffer, &ReadMax, name == unix.SO_RCVBUFFORCE))
		o.recvLocked.Store(true)
	case unix.SO_PRIORITY:
		if (n < 0 || n > 6) && !admin && !c.Cred().Has(unix.CAP_NET_RAW) {
			return unix.EPERM
		}
		o.priority.Store(n)
	case unix.SO_MARK:
		if !admin && !c.Cred().Has(unix.CAP_NET_RAW) {
			return unix.EPERM
		}
		o.mark.Store(n)
	case unix.SO_LINGER:
		if len(v) < 8 {
			return unix.EINVAL
		}
		if n == 0 {
			o.linger.Store(0)
		} else {
			o.linger.Store(int64(binary.NativeEndian.Uint32(v[4:]))<<1 | 1)
		}
	case unix.SO_PASSCRED:
		o.PassCred.Store(n != 0)
	case unix.SO_RCVLOWAT:
		if n < 0 {
			n = math.MaxInt32
		}
		o.lowat.Store(max(n, 1))
	case unix.SO_PEEK_OFF:
		o.peekOff.Store(n)
	case unix.SO_INCOMING_CPU:
		o.cpu.Store(n)
	case unix.SO_BSDCOMPAT: // obsolete and ignored
	case unix.SO_TIMESTAMPING:
		o.timestamping.Store(n)
	default:
		return unix.ENOPROTOOPT
	}
	return nil
}

func bufferSize(n, least int32, limit *int64, force bool) int32 {
	most := int32(min(atomic.LoadInt64(limit), math.MaxInt32/2))
	if force {
		most = math.MaxInt32 / 2
	}
	// A negative size is a great unsigned one.
	if n < 0 {
		n = most
	}
	return max(2*min(n, most), least)
}

func (o *Options) setFlag(name int, on bool) {
	for {
		old := o.flags.Load()
		n := old &^ (1 << name)
		if on {
			n |= 1 << name
		}
		if o.flags.CompareAndSwap(old, n) {
			return
		}
	}
}

func setTimeout(t *atomic.Int64, v []byte) error {
	if len(v) < 16 {
		return unix.EINVAL
	}
	sec, usec := int64(binary.NativeEndian.Uint64(v)), int64(binary.NativeEndian.Uint64(v[8:]))
	if usec < 0 || usec >= 1_000_000 {
		return unix.EDOM
	}
	switch {
	case sec < 0:
		t.Store(1) // Linux: do not wait at all
	case sec >= math.MaxInt64/1_000_000_000-1:
		t.Store(0)
	default:
		t.Store(sec*1_000_000_000 + usec*1000)
	}
	return nil
}

// Get serves getsockopt(2) at SOL_SOCKET: it writes the value into v, which
// may be shorter, and returns the value's length; ENOPROTOOPT for what it
// does not know.
func (o *Options) Get(name int, v []byte) (int, error) {
	var n int32
	switch name {
	case unix.SO_RCVTIMEO, soRcvTimeoNew:
		return putTimeout(v, o.recvTimeout.Load()), nil
	case unix.SO_SNDTIMEO, soSndTimeoNew:
		return putTimeout(v, o.sendTimeout.Load()), nil
	case unix.SO_LINGER:
		var p [8]byte
		l := o.linger.Load()
		binary.NativeEndian.PutUint32(p[:], uint32(l&1))
		binary.NativeEndian.PutUint32(p[4:], uint32(l>>1))
		return copy(v, p[:]), nil
	case unix.SO_TYPE:
		n = int32(o.Type)
	case unix.SO_DOMAIN:
		n = int32(o.Domain)
	case unix.SO_PROTOCOL:
		n = int32(o.Protocol)
	case unix.SO_ERROR:
		n = o.err.Swap(0)
	case unix.SO_ACCEPTCONN:
		n = truth(o.Listening.Load())
	case unix.SO_SNDBUF:
		n = o.SendBuffer.Load()
	case unix.SO_RCVBUF:
		n = o.RecvBuffer.Load()
	case unix.SO_PRIORITY:
		n = o.priority.Load()
	case unix.SO_MARK:
		n = o.mark.Load()
	case unix.SO_PASSCRED:
		n = truth(o.PassCred.Load())
	case unix.SO_RCVLOWAT:
		n = o.lowat.Load()
	case unix.SO_SNDLOWAT:
		n = 1
	case unix.SO_PEEK_OFF:
		n = o.peekOff.Load()
	case unix.SO_INCOMING_CPU:
		n = o.cpu.Load()
	case unix.SO_BUSY_POLL, unix.SO_BSDCOMPAT:
	case unix.SO_TIMESTAMPING:
		n = o.timestamping.Load()
	case unix.SO_DEBUG:
		n = truth(o.Flag(name))
	default:
		if name < 0 || name >= 64 || uint64(boolean)>>name&1 == 0 {
			return 0, unix.ENOPROTOOPT
		}
		n = truth(o.Flag(name))
	}
	return PutInt(v, n), nil
}

// PutInt writes an int option into v, cut to v's length.
func PutInt(v []byte, n int32) int {
	var p [4]byte
	binary.NativeEndian.PutUint32(p[:], uint32(n))
	return copy(v, p[:])
}

func truth(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

func putTimeout(v []byte, ns int64) int {
	var p [16]byte
	binary.NativeEndian.PutUint64(p[:], uint64(ns/1_000_000_000))
	binary.NativeEndian.PutUint64(p[8:], uint64(ns%1_000_000_000/1000))
	return copy(v, p[:])
}
