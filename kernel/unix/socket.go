// Package unix is unix(7): stream, datagram and sequenced-packet sockets
// within the machine, with abstract names, names in the file system and pairs.
//
// Data lies in the receiver: who sends takes the lock of the receiving
// socket, copies user memory into its queue, and wakes it. There is no
// goroutine and one lock in that path.
//
// Locks: graph guards who is bound, connected to and listening where, for
// all sockets; sock.mu guards one receive queue; flight the sockets that are
// in messages (cycles.go). Order: graph, sock.mu, flight, wait.Queue. Files
// that die with a message are released without locks.
package unix

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/proc"
	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// graph is the lock described above.
var graph sync.Mutex

// states of a socket.
const (
	idle = iota
	listening
	connected
)

// What Shutdown has closed.
const (
	noRecv = 1 << iota
	noSend
)

var everything = wait.Readable | wait.Writable | wait.Err | wait.Hup | wait.RdHup | wait.RdBand | wait.WrBand | wait.Pri

type sock struct {
	vfs.BaseOps
	socket.Options

	// Written under graph and mu, read under either or as a hint.
	state    atomic.Int32
	shutdown atomic.Uint32
	dead     atomic.Bool
	// peer is the other end of a connection, or where a datagram socket
	// sends. Written under graph.
	peer atomic.Pointer[sock]
	addr atomic.Pointer[address]

	// Guarded by graph.
	peerCreds  socket.Creds // as of connect, listen or pair
	peerGroups []byte
	backlog    int
	pending    []*sock // connections to accept

	mu         sync.Mutex
	head, tail *message
	urgent     *message // the byte of MSG_OOB that nobody has read, in the queue
	count      int
	spare      *message
	blocked    []*sock // datagram senders that found this queue full

	// inFlight is what this socket has sent and nobody has received, in bytes.
	inFlight atomic.Int64
	queue    wait.Queue
}

// A message is one entry of a receive queue: a datagram or a part of a
// stream.
type message struct {
	next   *message
	from   *sock
	data   []byte
	off    int // of the first byte not received
	cost   int
	rights []*vfs.File
	creds  socket.Creds
}

const (
	overhead = 768   // what a message costs beside its data
	chunk    = 32768 // the most of a stream in one message
	smallest = 4096  // the buffer of a short message of a stream
)

// dgramQueue is how many datagrams of others may wait in a socket
// (net.unix.max_dgram_qlen); read and written with package atomic.
var dgramQueue int64 = 10

func queueMost() int { return int(atomic.LoadInt64(&dgramQueue)) }

// siocAtMark asks whether the next byte is the urgent one.
const siocAtMark = 0x8905

// Register installs the address family.
func Register() {
	socket.Register(unix.AF_UNIX, &socket.Family{
		New: func(_ vfs.Caller, typ, protocol int) (socket.Socket, error) {
			s, err := newSocket(typ, protocol)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		Pair: pair,
	})
	proc.RegisterSettings([]proc.Setting{{Path: "net/unix/max_dgram_qlen", Words: []*int64{&dgramQueue}}})
}

func newSocket(typ, protocol int) (*sock, error) {
	if protocol != 0 && protocol != unix.AF_UNIX {
		return nil, unix.EPROTONOSUPPORT
	}
	switch typ {
	case unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET:
	case unix.SOCK_RAW: // Linux: believed to be a datagram socket
		typ = unix.SOCK_DGRAM
	default:
		return nil, unix.ESOCKTNOSUPPORT
	}
	s := new(sock)
	s.Init(unix.AF_UNIX, typ, 0)
	s.peerCreds = socket.Creds{PID: 0, UID: ^uint32(0), GID: ^uint32(0)}
	return s, nil
}

func pair(c vfs.Caller, typ, protocol int) (socket.Socket, socket.Socket, error) {
	a, err := newSocket(typ, protocol)
	if err != nil {
		return nil, nil, err
	}
	b, _ := newSocket(typ, protocol)
	for _, s := range []*sock{a, b} {
		s.state.Store(connected)
		s.peerCreds, s.peerGroups = socket.CredsOf(c), groups(c)
	}
	a.peer.Store(b)
	b.peer.Store(a)
	return a, b, nil
}

func groups(c vfs.Caller) []byte {
	var p []byte
	for _, g := range c.Cred().Groups {
		p = binary.NativeEndian.AppendUint32(p, uint32(g))
	}
	return p
}

func (s *sock) stream() bool { return s.Type == unix.SOCK_STREAM }
func (s *sock) dgram() bool  { return s.Type == unix.SOCK_DGRAM }

// Common returns the options of SOL_SOCKET.
func (s *sock) Common() *socket.Options { return &s.Options }

// Queue announces every change.
func (s *sock) Queue(*vfs.File) *wait.Queue { return &s.queue }

// writable is Linux's rule: at most a quarter of the buffer is in flight.
func (s *sock) writable() bool {
	return s.state.Load() != listening && s.inFlight.Load()*4 <= int64(s.SendBuffer.Load())
}

// Poll is unix_poll and unix_dgram_poll of Linux.
func (s *sock) Poll(*vfs.File) wait.Events {
	var ev wait.Events
	if s.HasError() {
		ev |= wait.Err
	}
	down := s.shutdown.Load()
	if down == noRecv|noSend {
		ev |= wait.Hup
	}
	if down&noRecv != 0 {
		ev |= wait.RdHup | wait.Readable
	}
	state := s.state.Load()
	if state == listening {
		graph.Lock()
		if len(s.pending) > 0 {
			ev |= wait.Readable
		}
		graph.Unlock()
	} else if data, urgent := s.hasData(); data {
		ev |= wait.Readable
		if urgent {
			ev |= wait.Pri
		}
	}
	if !s.dgram() && state == idle {
		ev |= wait.Hup
	}
	if s.writable() && !s.peerFull() {
		ev |= wait.Writable | wait.WrBand
	}
	return ev
}

func (s *sock) hasData() (data, urgent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head != nil, s.urgent != nil
}

// peerFull reports whether the receiver to which a datagram socket is
// connected has too many datagrams of others, and asks to be told when not.
func (s *sock) peerFull() bool {
	if s.stream() {
		return false
	}
	p := s.peer.Load()
	if p == nil || p == s || p.peer.Load() == s {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count <= queueMost() || p.dead.Load() {
		return false
	}
	p.block(s)
	return true
}

// block notes that s waits for room in p's queue. p.mu is held.
func (p *sock) block(s *sock) {
	for _, b := range p.blocked {
		if b == s {
			return
		}
	}
	p.blocked = append(p.blocked, s)
}

// Read and Write are Recv and Send without anything beside the data.
func (s *sock) Read(c vfs.Caller, f *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	flags := 0
	if f.NonBlock() {
		flags = unix.MSG_DONTWAIT
	}
	return s.receive(c, b, nil, flags)
}

// Write sends.
func (s *sock) Write(c vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, int64, error) {
	n, err := s.send(c, b, nil, 0)
	return n, 0, err
}

// Ioctl serves SIOCINQ and SIOCOUTQ.
func (s *sock) Ioctl(c vfs.Caller, _ *vfs.File, request uint32, arg uintptr) (uintptr, error) {
	var n int
	switch request {
	case unix.TIOCINQ:
		if s.state.Load() == listening {
			return 0, unix.EINVAL
		}
		s.mu.Lock()
		for m := s.head; m != nil; m = m.next {
			n += len(m.data) - m.off
			if s.dgram() {
				break
			}
		}
		s.mu.Unlock()
	case unix.TIOCOUTQ:
		n = int(s.inFlight.Load())
	case siocAtMark:
		s.mu.Lock()
		if e := s.head; e != nil && (e == s.urgent || e.off == len(e.data)) && s.stream() {
			n = 1
		}
		s.mu.Unlock()
	default:
		if socket.DeviceIoctl != nil {
			return socket.DeviceIoctl(c, request, arg)
		}
		return 0, unix.ENOTTY
	}
	return 0, c.AddressSpace().Store32(mm.Addr(arg), uint32(n))
}

// Option serves what Options does not know.
func (s *sock) Option(_ vfs.Caller, level, name int, v []byte) (int, error) {
	if level != unix.SOL_SOCKET {
		return 0, unix.EOPNOTSUPP
	}
	graph.Lock()
	defer graph.Unlock()
	switch name {
	case unix.SO_PEERCRED:
		var p [12]byte
		binary.NativeEndian.PutUint32(p[:], uint32(s.peerCreds.PID))
		binary.NativeEndian.PutUint32(p[4:], s.peerCreds.UID)
		binary.NativeEndian.PutUint32(p[8:], s.peerCreds.GID)
		return copy(v, p[:]), nil
	case unix.SO_PEERGROUPS:
		if s.state.Load() == idle {
			return 0, unix.ENODATA
		}
		if len(v) < len(s.peerGroups) {
			return len(s.peerGroups), unix.ERANGE
		}
		return copy(v, s.peerGroups), nil
	}
	return 0, unix.ENOPROTOOPT
}

// SetOption knows no option.
func (s *sock) SetOption(_ vfs.Caller, level, _ int, _ []byte) error {
	if level != unix.SOL_SOCKET {
		return unix.EOPNOTSUPP
	}
	return unix.ENOPROTOOPT
}

// Shutdown closes one or both directions, and those of the other end.
func (s *sock) Shutdown(how int) error {
	bits := uint32(how) + 1 // SHUT_RD, SHUT_WR, SHUT_RDWR
	graph.Lock()
	s.shutdown.Or(bits)
	p := s.peer.Load()
	if p != nil && !s.dgram() {
		p.shutdown.Or(bits>>1 | bits<<1&noSend)
	} else {
		p = nil
	}
	graph.Unlock()
	s.queue.Notify(everything)
	if p != nil {
		p.queue.Notify(everything)
	}
	return nil
}

// Release closes the socket: its name goes, what waits in it is lost, and
// the other end of a connection sees the end.
func (s *sock) Release(*vfs.File) {
	s.close(false)
	collect()
}

func (s *sock) close(embryo bool) {
	graph.Lock()
	was := s.state.Load()
	s.unbind()
	pending := s.pending
	s.pending = nil
	// The other end's pointer stays, for PeerName: a dead socket takes nothing.
	p := s.peer.Load()
	s.peer.Store(nil)
	s.mu.Lock()
	s.dead.Store(true)
	s.state.Store(idle)
	s.shutdown.Store(noRecv | noSend)
	unread := s.head
	s.head, s.tail, s.urgent, s.count, s.spare = nil, nil, nil, 0, nil
	blocked := s.blocked
	s.blocked = nil
	s.mu.Unlock()
	if p != nil && !s.dgram() {
		p.mu.Lock()
		p.shutdown.Store(noRecv | noSend)
		p.mu.Unlock()
		// An empty message in front does not count (Linux: it may be what is
		// left of urgent data).
		first := unread
		if first != nil && first.off == len(first.data) {
			first = first.next
		}
		if first != nil || embryo {
			p.SetError(unix.ECONNRESET)
		}
	}
	graph.Unlock()
	for _, b := range blocked {
		b.queue.Notify(wait.Writable)
	}
	if p != nil && !s.dgram() {
		p.queue.Notify(everything)
	}
	for m := unread; m != nil; m = m.next {
		m.discard()
	}
	for _, e := range pending {
		e.close(true)
	}
	if was == listening {
		s.queue.Notify(everything)
	}
}

// discard gives up a message that nobody will receive. No lock is held.
func (m *message) discard() {
	if len(m.rights) > 0 {
		received(m.rights)
	}
	for _, f := range m.rights {
		f.Put()
	}
	m.settle()
}

// settle gives its cost back to the sender.
func (m *message) settle() {
	if m.from.inFlight.Add(int64(-m.cost))*4 <= int64(m.from.SendBuffer.Load()) {
		m.from.queue.Notify(wait.Writable | wait.WrBand)
	}
}
