package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
)

const (
	maxSockaddr   = 128 // sizeof(struct sockaddr_storage)
	maxControl    = 131072
	maxOption     = 65536
	msghdrSize    = 56
	mmsghdrSize   = 64
	maxMessages   = 1024 // UIO_MAXIOV bounds sendmmsg and recvmmsg
	waitForOne    = 0x10000
	cmsgCloexec   = 0x40000000
	msgNamelen    = 8 // offsets in struct msghdr
	msgControllen = 40
	msgFlags      = 48
)

// socket makes a socket (socket(2)).
func (t Thread) socket(domain, typ, protocol int32) (int, error) {
	f, err := socket.New(t.Thread, int(domain), int(typ), int(protocol))
	if err != nil {
		return 0, err
	}
	return t.install(f, typ&unix.SOCK_CLOEXEC != 0)
}

// socketpair makes two connected sockets.
func (t Thread) socketpair(domain, typ, protocol int32, sv mm.Addr) error {
	f, g, err := socket.Pair(t.Thread, int(domain), int(typ), int(protocol))
	if err != nil {
		return err
	}
	return t.installPair(sv, f, g, typ&unix.SOCK_CLOEXEC != 0)
}

// sock returns the socket of fd and its file, with a reference.
func (t Thread) sock(fd int32) (*vfs.File, socket.Socket, error) {
	f, err := t.file(fd)
	if err != nil {
		return nil, nil, err
	}
	s, err := socket.Of(f)
	if err != nil {
		f.Put()
		return nil, nil, err
	}
	return f, s, nil
}

// socketOf returns the socket behind a file.
func socketOf(f *vfs.File) (socket.Socket, error) {
	if f.IsPath() {
		return nil, unix.EBADF
	}
	return socket.Of(f)
}

// sockaddrIn reads an address argument.
func (t Thread) sockaddrIn(a mm.Addr, n int32) ([]byte, error) {
	if n < 0 || n > maxSockaddr {
		return nil, unix.EINVAL
	}
	p := make([]byte, n)
	return p, t.copyIn(p, a)
}

// sockaddrOut writes an address and its full length where the length of the
// room for it stood.
func (t Thread) sockaddrOut(a, lenp mm.Addr, raw []byte) error {
	var b [4]byte
	if err := t.copyIn(b[:], lenp); err != nil {
		return err
	}
	n := int32(le.Uint32(b[:]))
	if n < 0 {
		return unix.EINVAL
	}
	if err := t.copyOut(a, raw[:min(int(n), len(raw))]); err != nil {
		return err
	}
	return t.store32(lenp, uint32(len(raw)))
}

// bind gives a socket its name.
func (t Thread) bind(fd int32, addr mm.Addr, addrlen int32) error {
	f, s, err := t.sock(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	raw, err := t.sockaddrIn(addr, addrlen)
	if err != nil {
		return err
	}
	return s.Bind(t.Thread, raw)
}

// connect connects a socket.
func (t Thread) connect(fd int32, addr mm.Addr, addrlen int32) error {
	f, s, err := t.sock(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	raw, err := t.sockaddrIn(addr, addrlen)
	if err != nil {
		return err
	}
	return s.Connect(t.Thread, raw, f.NonBlock())
}

// listen makes a socket accept connections.
func (t Thread) listen(fd, backlog int32) error {
	f, s, err := t.sock(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	return s.Listen(t.Thread, int(backlog))
}

// accept returns the next connection.
func (t Thread) accept(fd int32, addr, addrlen mm.Addr) (int, error) {
	return t.accept4(fd, addr, addrlen, 0)
}

// accept4 is accept with flags.
func (t Thread) accept4(fd int32, addr, addrlen mm.Addr, flags int32) (int, error) {
	f, s, err := t.sock(fd)
	if err != nil {
		return 0, err
	}
	defer f.Put()
	n, ns, err := socket.Accept(t.Thread, f, s, int(flags))
	if err != nil {
		return 0, err
	}
	if addr != 0 {
		raw, err := ns.PeerName()
		if err != nil {
			raw = []byte{byte(s.Common().Domain), 0}
		}
		if err := t.sockaddrOut(addr, addrlen, raw); err != nil {
			n.Put()
			return 0, err
		}
	}
	return t.install(n, flags&unix.SOCK_CLOEXEC != 0)
}

// getsockname returns a socket's own name.
func (t Thread) getsockname(fd int32, addr, addrlen mm.Addr) error {
	f, s, err := t.sock(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	raw, err := s.Name()
	if err != nil {
		return err
	}
	return t.sockaddrOut(addr, addrlen, raw)
}

// getpeername returns the name of the other end.
func (t Thread) getpeername(fd int32, addr, addrlen mm.Addr) error {
	f, s, err := t.sock(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	raw, err := s.PeerName()
	if err != nil {
		return err
	}
	return t.sockaddrOut(addr, addrlen, raw)
}

// shutdown closes directions of a connection.
func (t Thread) shutdown(fd, how int32) error {
	f, s, err := t.sock(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	if how < 0 || how > unix.SHUT_RDWR {
		return unix.EINVAL
	}
	return s.Shutdown(int(how))
}

// sendto sends data.
func (t Thread) sendto(fd int32, buf mm.Addr, length uint64, flags int32, addr mm.Addr, addrlen int32) (int, error) {
	plain := inUser(buf, length)
	if !plain {
		if _, err := t.userBuffer(buf, length); err != nil {
			return 0, err
		}
	}
	f, err := t.Files().Get(int(fd))
	if err != nil {
		return 0, err
	}
	if plain && f.Socket && f.PlainWriter != nil && addr == 0 && flags&^(unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL) == 0 {
		if n := f.PlainWriter.WritePlain(t.Thread, t.AddressSpace(), buf, int(length)); n > 0 {
			f.WasWritten()
			f.Put()
			return n, nil
		}
	}
	n, err := t.sendMessage(f, buf, length, flags, addr, addrlen)
	f.Put()
	return n, err
}

// sendMessage is sendto for all that is not plain.
func (t Thread) sendMessage(f *vfs.File, buf mm.Addr, length uint64, flags int32, addr mm.Addr, addrlen int32) (int, error) {
	s, err := socketOf(f)
	if err != nil {
		return 0, err
	}
	b, err := t.userBuffer(buf, length)
	if err != nil {
		return 0, err
	}
	var m *socket.Message // only for who has something to say in it
	if addr != 0 {
		m = new(socket.Message)
		if m.Name, err = t.sockaddrIn(addr, addrlen); err != nil {
			return 0, err
		}
	}
	return socket.Send(t.Thread, f, s, b, m, int(flags))
}

// recvfrom receives data.
func (t Thread) recvfrom(fd int32, buf mm.Addr, length uint64, flags int32, addr, addrlen mm.Addr) (int, error) {
	plain := inUser(buf, length)
	if !plain {
		if _, err := t.userBuffer(buf, length); err != nil {
			return 0, err
		}
	}
	f, err := t.Files().Get(int(fd))
	if err != nil {
		return 0, err
	}
	if plain && f.Socket && f.PlainReader != nil && addr == 0 && flags&^unix.MSG_NOSIGNAL == 0 {
		w := t.plainWaiter(f)
		if n := f.PlainReader.ReadPlain(t.AddressSpace(), buf, int(length), w); n > 0 {
			f.WasRead()
			f.Put()
			return n, nil
		}
		if w != nil && w.Registered() {
			return t.Leave(f, readAgain)
		}
	}
	n, err := t.recvMessage(f, buf, length, flags, addr, addrlen)
	f.Put()
	return n, err
}

// recvMessage is recvfrom for all that is not plain.
func (t Thread) recvMessage(f *vfs.File, buf mm.Addr, length uint64, flags int32, addr, addrlen mm.Addr) (int, error) {
	s, err := socketOf(f)
	if err != nil {
		return 0, err
	}
	b, err := t.userBuffer(buf, length)
	if err != nil {
		return 0, err
	}
	var m *socket.Message
	if addr != 0 || b.Len() == 0 {
		m = new(socket.Message)
	}
	n, err := socket.Recv(t.Thread, f, s, b, m, int(flags))
	if m != nil {
		m.Drop()
	}
	if err == nil && addr != 0 {
		err = t.sockaddrOut(addr, addrlen, m.Name)
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// msghdr is struct msghdr as far as it is read.
type msghdr struct {
	name, iov, control mm.Addr
	namelen            int32
	iovlen, controllen uint64
}

func (t Thread) msghdrIn(a mm.Addr) (h msghdr, err error) {
	var b [msghdrSize]byte
	if err := t.copyIn(b[:], a); err != nil {
		return h, err
	}
	h = msghdr{
		name: mm.Addr(le.Uint64(b[:])), namelen: int32(le.Uint32(b[msgNamelen:])),
		iov: mm.Addr(le.Uint64(b[16:])), iovlen: le.Uint64(b[24:]),
		control: mm.Addr(le.Uint64(b[32:])), controllen: le.Uint64(b[msgControllen:]),
	}
	if h.name == 0 {
		h.namelen = 0
	}
	if h.namelen < 0 {
		return h, unix.EINVAL
	}
	h.namelen = min(h.namelen, maxSockaddr)
	if h.iovlen > maxIOV {
		return h, unix.EMSGSIZE
	}
	return h, nil
}

// sendmsg sends data with an address and control messages.
func (t Thread) sendmsg(fd int32, msg mm.Addr, flags int32) (int, error) {
	f, s, err := t.sock(fd)
	if err != nil {
		return 0, err
	}
	defer f.Put()
	return t.doSendmsg(f, s, msg, int(flags))
}

func (t Thread) doSendmsg(f *vfs.File, s socket.Socket, msg mm.Addr, flags int) (int, error) {
	h, err := t.msghdrIn(msg)
	if err != nil {
		return 0, err
	}
	var m socket.Message
	if h.namelen > 0 {
		if m.Name, err = t.sockaddrIn(h.name, h.namelen); err != nil {
			return 0, err
		}
	}
	b, err := t.vector(h.iov, int32(h.iovlen))
	if err != nil {
		return 0, err
	}
	if h.controllen > maxControl {
		return 0, unix.ENOBUFS
	}
	if h.controllen > 0 {
		control := make([]byte, h.controllen)
		if err := t.copyIn(control, h.control); err != nil {
			return 0, err
		}
		if err := socket.ParseControl(t.Thread, t.Files(), control, &m); err != nil {
			return 0, err
		}
	}
	n, err := socket.Send(t.Thread, f, s, b, &m, flags)
	m.Drop()
	return n, err
}

// recvmsg receives data with its address and control messages.
func (t Thread) recvmsg(fd int32, msg mm.Addr, flags int32) (int, error) {
	f, s, err := t.sock(fd)
	if err != nil {
		return 0, err
	}
	defer f.Put()
	return t.doRecvmsg(f, s, msg, int(flags))
}

func (t Thread) doRecvmsg(f *vfs.File, s socket.Socket, msg mm.Addr, flags int) (int, error) {
	h, err := t.msghdrIn(msg)
	if err != nil {
		return 0, err
	}
	b, err := t.vector(h.iov, int32(h.iovlen))
	if err != nil {
		return 0, err
	}
	m := socket.Message{Flags: flags & cmsgCloexec}
	n, err := socket.Recv(t.Thread, f, s, b, &m, flags)
	if err != nil {
		m.Drop()
		return 0, err
	}
	room := 0
	if h.control != 0 {
		room = int(min(h.controllen, maxControl))
	}
	control := socket.EncodeControl(t.Files(), &m, room, flags&cmsgCloexec != 0, t.fdLimit())
	if h.name != 0 {
		if err := t.copyOut(h.name, m.Name[:min(len(m.Name), int(h.namelen))]); err != nil {
			return 0, err
		}
		if err := t.store32(msg+msgNamelen, uint32(len(m.Name))); err != nil {
			return 0, err
		}
	}
	if err := t.copyOut(h.control, control); err != nil {
		return 0, err
	}
	var tail [12]byte // msg_controllen and msg_flags lie side by side
	le.PutUint64(tail[:], uint64(len(control)))
	le.PutUint32(tail[8:], uint32(m.Flags))
	if err := t.copyOut(msg+msgControllen, tail[:]); err != nil {
		return 0, err
	}
	return n, nil
}

// sendmmsg sends several messages.
func (t Thread) sendmmsg(fd int32, msgvec mm.Addr, vlen uint32, flags int32) (int, error) {
	f, s, err := t.sock(fd)
	if err != nil {
		return 0, err
	}
	defer f.Put()
	for i := range min(vlen, maxMessages) {
		a := msgvec + mm.Addr(i*mmsghdrSize)
		n, err := t.doSendmsg(f, s, a, int(flags))
		if err == nil {
			err = t.store32(a+msghdrSize, uint32(n))
		}
		if err != nil {
			if i > 0 {
				return int(i), nil
			}
			return 0, err
		}
	}
	return int(min(vlen, maxMessages)), nil
}

// recvmmsg receives several messages; the timeout is looked at between them.
func (t Thread) recvmmsg(fd int32, msgvec mm.Addr, vlen uint32, flags int32, timeout mm.Addr) (int, error) {
	deadline, err := t.deadlineIn(timeout)
	if err != nil {
		return 0, err
	}
	f, s, err := t.sock(fd)
	if err != nil {
		return 0, err
	}
	defer f.Put()
	if err := s.Common().TakeError(); err != nil {
		return 0, err
	}
	done := 0
	use := int(flags) &^ waitForOne
	for i := range min(vlen, maxMessages) {
		a := msgvec + mm.Addr(i*mmsghdrSize)
		var n int
		if n, err = t.doRecvmsg(f, s, a, use); err != nil {
			break
		}
		if err = t.store32(a+msghdrSize, uint32(n)); err != nil {
			break
		}
		done++
		if flags&waitForOne != 0 {
			use |= unix.MSG_DONTWAIT
		}
		if timeout != 0 && clock.Now() >= deadline {
			break
		}
	}
	if timeout != 0 && done > 0 {
		if err := t.timespecOut(timeout, remaining(deadline)); err != nil {
			return 0, err
		}
	}
	if done == 0 {
		return 0, err
	}
	if errno, ok := err.(unix.Errno); ok && err != unix.EAGAIN && errno < 512 {
		s.Common().SetError(errno) // for the next call
	}
	return done, nil
}

// setsockopt sets an option.
func (t Thread) setsockopt(fd, level, name int32, val mm.Addr, length int32) error {
	if length < 0 {
		return unix.EINVAL
	}
	f, s, err := t.sock(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	var few [128]byte
	v := few[:]
	if int(length) > len(few) {
		v = make([]byte, min(length, maxOption))
	}
	v = v[:min(length, maxOption)]
	if err := t.copyIn(v, val); err != nil {
		return err
	}
	if level == unix.SOL_SOCKET {
		if err := s.Common().Set(t.Thread, int(name), v); err != unix.ENOPROTOOPT {
			if n, ok := s.(socket.Noticer); ok && err == nil {
				n.OptionSet(int(name))
			}
			return err
		}
	}
	return s.SetOption(t.Thread, int(level), int(name), v)
}

// getsockopt shows an option.
func (t Thread) getsockopt(fd, level, name int32, val, lenp mm.Addr) error {
	f, s, err := t.sock(fd)
	if err != nil {
		return err
	}
	defer f.Put()
	var b [4]byte
	if err := t.copyIn(b[:], lenp); err != nil {
		return err
	}
	length := int32(le.Uint32(b[:]))
	if length < 0 {
		return unix.EINVAL
	}
	if level == unix.SOL_SOCKET && name == unix.SO_ATTACH_FILTER { // SO_GET_FILTER
		return t.getFilter(s, val, lenp, int(length))
	}
	v := make([]byte, min(length, maxOption))
	if level == unix.SOL_PACKET { // PACKET_HDRLEN has a question there
		if err := t.copyIn(v, val); err != nil {
			return err
		}
	}
	n, err := 0, error(unix.ENOPROTOOPT)
	if level == unix.SOL_SOCKET {
		n, err = s.Common().Get(int(name), v)
	}
	if err == unix.ENOPROTOOPT {
		n, err = s.Option(t.Thread, int(level), int(name), v)
	}
	if err == unix.ERANGE {
		if e := t.store32(lenp, uint32(n)); e != nil {
			return e
		}
	}
	if err != nil {
		return err
	}
	if err := t.copyOut(val, v[:min(n, len(v))]); err != nil {
		return err
	}
	return t.store32(lenp, uint32(n))
}

// getFilter shows a socket's filter. Its length is counted in instructions.
func (t Thread) getFilter(s socket.Socket, val, lenp mm.Addr, length int) error {
	prog := s.Common().FilterProgram()
	n := len(prog) / 8
	if length != 0 && n > 0 {
		if length < n {
			return unix.EINVAL
		}
		if err := t.copyOut(val, prog); err != nil {
			return err
		}
	}
	return t.store32(lenp, uint32(n))
}
