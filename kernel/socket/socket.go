// Package socket is what all sockets share: the interface that the socket
// calls use, the table of address families, the options of level SOL_SOCKET,
// control messages, and the waiting of blocking calls. The families
// themselves (packages unix, inet) register here.
package socket

import (
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/clock"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// Socket is one socket: the FileOps of its file and what the socket calls
// need beside them. No method waits but Connect; EAGAIN means that the call
// may be tried again after an event of the file's queue (In for Accept and
// Recv, Out for Send). MSG_DONTWAIT in flags says that it will not be.
type Socket interface {
	vfs.FileOps
	// Common returns the options that all sockets share.
	Common() *Options
	// Bind and Connect take a raw sockaddr. Connect waits unless nonblock.
	Bind(c vfs.Caller, addr []byte) error
	Connect(c vfs.Caller, addr []byte, nonblock bool) error
	Listen(c vfs.Caller, backlog int) error
	// Accept returns the next connection; EAGAIN, too, if nonblock is not set.
	Accept(c vfs.Caller, nonblock bool) (Socket, error)
	// Name and PeerName return raw sockaddrs.
	Name() ([]byte, error)
	PeerName() ([]byte, error)
	// Shutdown takes SHUT_RD, SHUT_WR or SHUT_RDWR, already checked.
	Shutdown(how int) error
	// m is nil when nothing goes with the data or nobody wants to know it.
	// Send sends b with what m holds; a stream that took only a part returns
	// it with EAGAIN, as FileOps.Write does. It takes m.Rights with the first
	// byte and leaves nil there.
	Send(c vfs.Caller, b *mm.Buffer, m *Message, flags int) (int, error)
	// Recv receives into b and fills in m.
	Recv(c vfs.Caller, b *mm.Buffer, m *Message, flags int) (int, error)
	// SetOption and Option serve levels other than SOL_SOCKET, and of that
	// level what Options does not know: ENOPROTOOPT. Option writes into v
	// and returns how long the value is.
	SetOption(c vfs.Caller, level, name int, v []byte) error
	Option(c vfs.Caller, level, name int, v []byte) (int, error)
}

// Noticer is a Socket that wants to be told of options of SOL_SOCKET that
// Options has set.
type Noticer interface {
	OptionSet(name int)
}

// Message is what comes with the data of one send or receive.
type Message struct {
	// Name is the destination or the source, nil for none.
	Name []byte
	// Rights are the files of SCM_RIGHTS, each with a reference.
	Rights []*vfs.File
	// Creds is SCM_CREDENTIALS: given explicitly when sending; when
	// receiving what is to be shown, nil for nothing.
	Creds *Creds
	// Control is other control messages, encoded, that were received, or
	// that were sent and are not SOL_SOCKET's.
	Control []byte
	// Flags is msg_flags after receiving (MSG_TRUNC, MSG_CTRUNC, MSG_EOR).
	Flags int
}

// Drop gives up the references that m holds.
func (m *Message) Drop() {
	for _, f := range m.Rights {
		f.Put()
	}
	m.Rights = nil
}

// Creds is struct ucred.
type Creds struct {
	PID      int32
	UID, GID uint32
}

// Nobody are the credentials of a message that has none.
var Nobody = Creds{0, 65534, 65534}

// CredsOf returns the effective credentials of c, as SO_PEERCRED shows them.
func CredsOf(c vfs.Caller) Creds {
	cr := c.Cred()
	return Creds{int32(c.TGID()), uint32(cr.EUID), uint32(cr.EGID)}
}

// A Family makes sockets of one address family. typ is SOCK_* without flags.
type Family struct {
	New func(c vfs.Caller, typ, protocol int) (Socket, error)
	// Pair may be nil: EOPNOTSUPP.
	Pair func(c vfs.Caller, typ, protocol int) (Socket, Socket, error)
}

// maxFamily is AF_MAX of Linux 6.x.
const maxFamily = 46

// families is filled while the machine boots.
var families struct {
	mu    sync.RWMutex
	table [maxFamily]*Family
}

// Register installs a family.
func Register(family int, f *Family) {
	families.mu.Lock()
	families.table[family] = f
	families.mu.Unlock()
}

func find(family, typ int) (*Family, error) {
	if family < 0 || family >= maxFamily {
		return nil, unix.EAFNOSUPPORT
	}
	if typ < 0 || typ > unix.SOCK_PACKET {
		return nil, unix.EINVAL
	}
	families.mu.RLock()
	f := families.table[family]
	families.mu.RUnlock()
	if f == nil {
		return nil, unix.EAFNOSUPPORT
	}
	return f, nil
}

// typeFlags are the flags that socket(2), socketpair(2) and accept4(2) take.
const typeFlags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC

// New serves socket(2); typ holds the type and its flags.
func New(c vfs.Caller, family, typ, protocol int) (*vfs.File, error) {
	flags := typ &^ 0xf
	typ &= 0xf
	if flags&^typeFlags != 0 {
		return nil, unix.EINVAL
	}
	f, err := find(family, typ)
	if err != nil {
		return nil, err
	}
	s, err := f.New(c, typ, protocol)
	if err != nil {
		return nil, err
	}
	return NewFile(s, flags), nil
}

// Pair serves socketpair(2).
func Pair(c vfs.Caller, family, typ, protocol int) (*vfs.File, *vfs.File, error) {
	flags := typ &^ 0xf
	typ &= 0xf
	if flags&^typeFlags != 0 {
		return nil, nil, unix.EINVAL
	}
	f, err := find(family, typ)
	if err != nil {
		return nil, nil, err
	}
	if f.Pair == nil {
		return nil, nil, unix.EOPNOTSUPP
	}
	a, b, err := f.Pair(c, typ, protocol)
	if err != nil {
		return nil, nil, err
	}
	return NewFile(a, flags), NewFile(b, flags), nil
}

// DeviceIoctl serves the requests about network interfaces, which every socket
// knows (netdevice(7)). Package inet sets it at boot.
var DeviceIoctl func(c vfs.Caller, request uint32, arg uintptr) (uintptr, error)

// NewFile makes the open file of a socket; of flags SOCK_NONBLOCK counts.
func NewFile(s Socket, flags int) *vfs.File {
	f := vfs.NewFile(vfs.NewAnonPath("socket:", unix.S_IFSOCK|0o777), unix.O_RDWR|uint32(flags&unix.SOCK_NONBLOCK), s)
	s.Common().Inode.Store(f.Inode.Ino)
	s.Common().file.Store(f)
	if p, ok := s.(vfs.Plain); ok && s.Common().Type == unix.SOCK_STREAM {
		f.PlainReader, f.PlainWriter, f.Socket = p, p, true
	}
	return f
}

// Of returns the socket behind f, or ENOTSOCK.
func Of(f *vfs.File) (Socket, error) {
	s, ok := f.Ops.(Socket)
	if !ok {
		return nil, unix.ENOTSOCK
	}
	return s, nil
}

// Send serves sendmsg(2): it waits, unless f or flags say otherwise, until
// everything is sent. What is left in m.Rights is the caller's to drop.
func Send(c vfs.Caller, f *vfs.File, s Socket, b *mm.Buffer, m *Message, flags int) (int, error) {
	if f.NonBlock() {
		flags |= unix.MSG_DONTWAIT
	}
	n, err := s.Send(c, b, m, flags)
	if err != unix.EAGAIN || flags&unix.MSG_DONTWAIT != 0 {
		return result(n, err)
	}
	timeout := s.Common().sendTimeout.Load()
	err = block(c, s.Queue(f), wait.Out|wait.WrNorm, timeout, func() error {
		k, err := s.Send(c, b, m, flags)
		n += k
		return err
	})
	return result(n, err)
}

// Recv serves recvmsg(2): it waits, unless f or flags say otherwise, for
// data, and with MSG_WAITALL for all that a stream is asked for. m may be nil
// when nobody wants to know where data came from.
func Recv(c vfs.Caller, f *vfs.File, s Socket, b *mm.Buffer, m *Message, flags int) (int, error) {
	if f.NonBlock() {
		flags |= unix.MSG_DONTWAIT
	}
	n, err := s.Recv(c, b, m, flags)
	all := flags&unix.MSG_WAITALL != 0 && flags&unix.MSG_PEEK == 0 && s.Common().Type == unix.SOCK_STREAM
	more := all && err == nil && n > 0 && b.Len() > 0 && (m == nil || m.Rights == nil)
	if (err != unix.EAGAIN && !more) || flags&unix.MSG_DONTWAIT != 0 {
		return result(n, err)
	}
	timeout := s.Common().recvTimeout.Load()
	err = block(c, s.Queue(f), wait.In|wait.RdNorm|wait.RdHup, timeout, func() error {
		for {
			k, err := s.Recv(c, b, m, flags)
			n += k
			// What came meanwhile may have been announced already.
			if err != nil || k == 0 || !all || b.Len() == 0 || m != nil && m.Rights != nil {
				return err
			}
		}
	})
	return result(n, err)
}

// Accept serves accept4(2); flags are SOCK_NONBLOCK and SOCK_CLOEXEC.
func Accept(c vfs.Caller, f *vfs.File, s Socket, flags int) (*vfs.File, Socket, error) {
	if flags&^typeFlags != 0 {
		return nil, nil, unix.EINVAL
	}
	n, err := s.Accept(c, f.NonBlock())
	if err == unix.EAGAIN && !f.NonBlock() {
		err = block(c, s.Queue(f), wait.In|wait.RdNorm, s.Common().recvTimeout.Load(), func() error {
			var err error
			n, err = s.Accept(c, f.NonBlock())
			return err
		})
	}
	if err != nil {
		return nil, nil, err
	}
	return NewFile(n, flags), n, nil
}

// result lets what was transferred count more than the error.
func result(n int, err error) (int, error) {
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// block calls try until it does something else than to return EAGAIN. After
// timeout nanoseconds (0: never) EAGAIN stays; a call with a timeout is not
// restarted after a signal (signal(7)).
func block(c vfs.Caller, q *wait.Queue, ev wait.Events, timeout int64, try func() error) error {
	var w *wait.Waiter
	if o, ok := c.(waiterOwner); ok {
		w = o.Waiter()
	}
	if w == nil {
		w = &wait.Waiter{Sleeper: c}
	}
	w.Mask = ev
	deadline := wait.NoDeadline
	if timeout > 0 {
		deadline = clock.Now() + timeout
	}
	q.Add(w)
	var err error
	for {
		if err = try(); err != unix.EAGAIN {
			break
		}
		if err = c.Sleep(deadline); err != nil {
			switch {
			case err == unix.ETIMEDOUT:
				err = unix.EAGAIN
			case timeout > 0 && err == abi.ErrRestartSys:
				err = unix.EINTR
			}
			break
		}
	}
	q.Remove(w)
	return err
}

// waiterOwner is a Caller that keeps a registration for its blocking calls,
// with itself as the Sleeper, so that none need be made for each.
type waiterOwner interface {
	// Waiter returns it, or nil when it is in use.
	Waiter() *wait.Waiter
}
