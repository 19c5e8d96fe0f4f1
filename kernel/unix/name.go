package unix

import (
	"encoding/binary"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// An address is a bound name.
type address struct {
	raw   []byte // sockaddr_un as getsockname(2) returns it
	inode *vfs.Inode
}

// abstract maps abstract names to their sockets. Guarded by graph.
var (
	abstract map[string]*sock
	nextAuto uint32
)

var unnamed = []byte{unix.AF_UNIX, 0}

// maxName is sizeof(struct sockaddr_un).
const maxName = 110

// parseName splits a sockaddr_un into its abstract name (with the leading
// NUL) or its path; both are empty for the unnamed address.
func parseName(raw []byte) (name, path string, err error) {
	if len(raw) < 2 || len(raw) > maxName || binary.NativeEndian.Uint16(raw) != unix.AF_UNIX {
		return "", "", unix.EINVAL
	}
	p := raw[2:]
	if len(p) == 0 {
		return "", "", nil
	}
	if p[0] == 0 {
		return string(p), "", nil
	}
	for i, b := range p {
		if b == 0 {
			return "", string(p[:i]), nil
		}
	}
	return "", string(p), nil
}

func rawName(name string) []byte { return append([]byte{unix.AF_UNIX, 0}, name...) }

// find returns the socket bound to raw. graph is held, and let go while the
// path is walked.
func find(c vfs.Caller, raw []byte, typ int) (*sock, error) {
	name, path, err := parseName(raw)
	if err != nil {
		return nil, err
	}
	var s *sock
	switch {
	case name != "":
		s = abstract[name]
	case path != "":
		graph.Unlock()
		s, err = lookup(c, path)
		graph.Lock()
		if err != nil {
			return nil, err
		}
	default:
		return nil, unix.EINVAL
	}
	if s == nil || s.dead.Load() {
		return nil, unix.ECONNREFUSED
	}
	if s.Type != typ {
		return nil, unix.EPROTOTYPE
	}
	return s, nil
}

// lookup finds the socket bound to a path, which needs write permission.
func lookup(c vfs.Caller, path string) (*sock, error) {
	p, err := vfs.Lookup(c, nil, path, vfs.Follow)
	if err != nil {
		return nil, err
	}
	i := p.Inode()
	if err := vfs.Access(c.Cred(), p.Mount, i, 2); err != nil {
		return nil, err
	}
	if i.Type() != unix.S_IFSOCK {
		return nil, unix.ECONNREFUSED
	}
	s, _ := i.Attached(nil).(*sock)
	return s, nil
}

// Bind serves bind(2).
func (s *sock) Bind(c vfs.Caller, raw []byte) error {
	name, path, err := parseName(raw)
	if err != nil {
		return err
	}
	if name == "" && path == "" {
		return s.autobind()
	}
	if path != "" {
		return s.bindPath(c, path)
	}
	graph.Lock()
	defer graph.Unlock()
	if s.addr.Load() != nil {
		return unix.EINVAL
	}
	if abstract[name] != nil {
		return unix.EADDRINUSE
	}
	s.bindAbstract(name)
	return nil
}

func (s *sock) bindAbstract(name string) {
	if abstract == nil {
		abstract = make(map[string]*sock)
	}
	abstract[name] = s
	s.addr.Store(&address{raw: rawName(name)})
}

// autobind gives the socket an abstract name of five hexadecimal digits.
func (s *sock) autobind() error {
	graph.Lock()
	defer graph.Unlock()
	if s.addr.Load() != nil {
		return nil
	}
	for range 1 << 20 {
		nextAuto = (nextAuto + 1) & 0xfffff
		name := "\x00" + strconv.FormatUint(uint64(nextAuto)|1<<20, 16)[1:]
		if abstract[name] == nil {
			s.bindAbstract(name)
			return nil
		}
	}
	return unix.ENOSPC
}

func (s *sock) bindPath(c vfs.Caller, path string) error {
	graph.Lock()
	bound := s.addr.Load() != nil
	graph.Unlock()
	if bound {
		if _, err := vfs.Lookup(c, nil, path, 0); err == nil {
			return unix.EADDRINUSE
		}
		return unix.EINVAL
	}
	p, err := vfs.MknodAt(c, nil, path, unix.S_IFSOCK|0o777, 0)
	if err == unix.EEXIST {
		err = unix.EADDRINUSE
	}
	if err != nil {
		return err
	}
	graph.Lock()
	defer graph.Unlock()
	if s.addr.Load() != nil {
		return unix.EINVAL
	}
	raw := append(rawName(path), 0)
	s.addr.Store(&address{raw: raw[:min(len(raw), maxName)], inode: p.Inode()})
	p.Inode().Attach(s)
	return nil
}

// unbind gives up the name. graph is held.
func (s *sock) unbind() {
	a := s.addr.Load()
	if a == nil {
		return
	}
	if a.inode != nil {
		if a.inode.Attached(nil) == any(s) {
			a.inode.Attach(nil)
		}
	} else if n := string(a.raw[2:]); abstract[n] == s {
		delete(abstract, n)
	}
}

// Name returns the bound name.
func (s *sock) Name() ([]byte, error) {
	if a := s.addr.Load(); a != nil {
		return a.raw, nil
	}
	return unnamed, nil
}

// PeerName returns the name of the other end.
func (s *sock) PeerName() ([]byte, error) {
	p := s.peer.Load()
	if p == nil {
		return nil, unix.ENOTCONN
	}
	return p.Name()
}

// Listen serves listen(2).
func (s *sock) Listen(c vfs.Caller, backlog int) error {
	if s.dgram() {
		return unix.EOPNOTSUPP
	}
	graph.Lock()
	defer graph.Unlock()
	if s.addr.Load() == nil || s.state.Load() == connected {
		return unix.EINVAL
	}
	if most := int(atomic.LoadInt64(&socket.BacklogMax)); backlog < 0 || backlog > most {
		backlog = most
	}
	s.backlog = backlog
	s.state.Store(listening)
	s.Listening.Store(true)
	s.peerCreds, s.peerGroups = socket.CredsOf(c), groups(c)
	s.queue.Notify(wait.Writable)
	return nil
}

// Connect serves connect(2).
func (s *sock) Connect(c vfs.Caller, raw []byte, nonblock bool) error {
	if s.dgram() {
		return s.connectDgram(c, raw)
	}
	if name, path, err := parseName(raw); err != nil {
		return err
	} else if name == "" && path == "" {
		return unix.EINVAL
	}
	if s.PassCred.Load() && s.addr.Load() == nil {
		if err := s.autobind(); err != nil {
			return err
		}
	}
	timeout := s.WriteTimeout()
	for {
		l, err := s.tryConnect(c, raw)
		if err != unix.EAGAIN || nonblock {
			return err
		}
		if err := waitForRoom(c, l, timeout); err != nil {
			return err
		}
	}
}

// tryConnect connects, or returns the listener whose backlog is full with
// EAGAIN.
func (s *sock) tryConnect(c vfs.Caller, raw []byte) (*sock, error) {
	n, err := newSocket(s.Type, 0)
	if err != nil {
		return nil, err
	}
	graph.Lock()
	defer graph.Unlock()
	l, err := find(c, raw, s.Type)
	if err != nil {
		return nil, err
	}
	if l.state.Load() != listening || l.shutdown.Load()&noRecv != 0 {
		return nil, unix.ECONNREFUSED
	}
	if len(l.pending) > l.backlog {
		return l, unix.EAGAIN
	}
	switch s.state.Load() {
	case connected:
		return nil, unix.EISCONN
	case listening:
		return nil, unix.EINVAL
	}
	n.peerCreds, n.peerGroups = socket.CredsOf(c), groups(c)
	n.addr.Store(l.addr.Load())
	n.PassCred.Store(l.PassCred.Load())
	n.state.Store(connected)
	n.peer.Store(s)
	s.peerCreds, s.peerGroups = l.peerCreds, l.peerGroups
	s.state.Store(connected)
	s.peer.Store(n)
	l.pending = append(l.pending, n)
	l.queue.Notify(wait.Readable)
	return l, nil
}

func waitForRoom(c vfs.Caller, l *sock, timeout int64) error {
	err := l.queue.Until(c, room, deadlineIn(timeout), func() bool {
		graph.Lock()
		defer graph.Unlock()
		return len(l.pending) <= l.backlog || l.dead.Load() || l.shutdown.Load()&noRecv != 0
	})
	if err == unix.ETIMEDOUT {
		return unix.EAGAIN
	}
	return err
}

func deadlineIn(timeout int64) int64 {
	if timeout > 0 {
		return clock.Now() + timeout
	}
	return wait.NoDeadline
}

// room is announced by a listener that has accepted a connection.
const room wait.Events = 1 << 31

// Accept returns the next connection.
func (s *sock) Accept(_ vfs.Caller, nonblock bool) (socket.Socket, error) {
	if s.dgram() {
		return nil, unix.EOPNOTSUPP
	}
	graph.Lock()
	if s.state.Load() != listening {
		graph.Unlock()
		return nil, unix.EINVAL
	}
	if len(s.pending) == 0 {
		down := s.shutdown.Load()&noRecv != 0
		graph.Unlock()
		if down && !nonblock {
			return nil, unix.EINVAL
		}
		return nil, unix.EAGAIN
	}
	n := s.pending[0]
	s.pending = append(s.pending[:0], s.pending[1:]...)
	graph.Unlock()
	s.queue.Notify(room)
	return n, nil
}

func (s *sock) connectDgram(c vfs.Caller, raw []byte) error {
	if len(raw) < 2 {
		return unix.EINVAL
	}
	var p *sock
	unspec := binary.NativeEndian.Uint16(raw) == unix.AF_UNSPEC
	if !unspec && s.PassCred.Load() && s.addr.Load() == nil {
		if err := s.autobind(); err != nil {
			return err
		}
	}
	graph.Lock()
	if !unspec {
		var err error
		if p, err = find(c, raw, s.Type); err != nil {
			graph.Unlock()
			return err
		}
		if o := p.peer.Load(); o != nil && o != s {
			graph.Unlock()
			return unix.EPERM
		}
	}
	old := s.peer.Load()
	s.peer.Store(p)
	state := int32(idle)
	if p != nil {
		state = connected
	}
	s.state.Store(state)
	reset := old != nil && old != p && old.peer.Load() == s
	var lost *message
	if old != nil && old != p {
		lost = s.disconnected()
		if reset && lost != nil {
			old.SetError(unix.ECONNRESET)
		}
	}
	graph.Unlock()
	s.purge(lost)
	if reset {
		old.queue.Notify(everything)
	}
	s.queue.Notify(wait.Writable)
	return nil
}
