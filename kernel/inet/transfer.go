package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// msgFastOpen is MSG_FASTOPEN.
const msgFastOpen = 0x20000000

// Read is Recv without anything beside the data.
func (s *tcp) Read(c vfs.Caller, f *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	if b.Len() == 0 {
		return 0, nil
	}
	flags := 0
	if f.NonBlock() {
		flags = unix.MSG_DONTWAIT
	}
	return s.receive(b, nil, flags)
}

// Write is Send.
func (s *tcp) Write(c vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, int64, error) {
	n, err := s.transmit(c, b, 0)
	return n, 0, err
}

// Send serves the sending calls. An address is ignored, as Linux does, but for
// MSG_FASTOPEN.
func (s *tcp) Send(c vfs.Caller, b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	if flags&msgFastOpen != 0 {
		if err := s.fastOpen(c, m, flags); err != nil {
			return 0, err
		}
	}
	return s.transmit(c, b, flags)
}

// fastOpen connects with the data; the two are not told apart here.
func (s *tcp) fastOpen(c vfs.Caller, m *socket.Message, flags int) error {
	net.Lock()
	phase, state := s.phase, s.state.Load()
	net.Unlock()
	switch {
	case state == listening:
		return unix.EPIPE
	case phase == connected:
		return unix.EISCONN
	case phase == connecting && state == synSent:
		return unix.EALREADY
	case phase != unconnected:
		return nil
	case m == nil || m.Name == nil:
		return unix.EINVAL
	}
	return s.Connect(c, m.Name, flags&unix.MSG_DONTWAIT != 0)
}

func (s *tcp) transmit(c vfs.Caller, b *mm.Buffer, flags int) (int, error) {
	if s.outside.Load() {
		return s.sendOutside(c, b, flags)
	}
	p := s.peer.Load()
	if p == nil || s.shutdown.Load()&noSend != 0 || s.HasError() {
		return 0, s.cannotSend(c, flags)
	}
	if cpu.KernelShort() {
		return 0, unix.ENOBUFS
	}
	done := 0
	var err error
	for {
		p.mu.Lock()
		if p.gone.Load() || p.shutdown.Load()&noRecv != 0 && p.state.Load() == finWait2 {
			p.mu.Unlock()
			return done + s.refused(p, b), nil
		}
		free := s.limit(p) - p.rx.n
		if free <= 0 && b.Len() > 0 {
			s.nospace.Store(true)
			p.mu.Unlock()
			return done, unix.EAGAIN
		}
		want := min(b.Len(), free, largeChunk)
		var n int
		var shown []byte
		if loTapped() {
			shown = ahead(b, want)
		}
		n, err = p.rx.append(b, want)
		if flags&unix.MSG_OOB != 0 && n > 0 && b.Len() == 0 {
			p.rx.mark(p.Flag(unix.SO_OOBINLINE))
		}
		p.mu.Unlock()
		if shown != nil && n > 0 {
			s.showData(p, shown[:min(n, len(shown))], s.sent.Load()+uint64(done))
		}
		done += n
		if n > 0 {
			if p.deferred.Load() {
				p.ripen()
			}
			ev := wait.Readable
			if flags&unix.MSG_OOB != 0 {
				ev |= wait.Pri
			}
			p.queue.NotifyFrom(c, ev)
			if ev&wait.Pri != 0 && b.Len() == 0 {
				p.Urgent()
			}
		}
		if err != nil || b.Len() == 0 {
			break
		}
		if s.shutdown.Load()&noSend != 0 || s.HasError() {
			break
		}
	}
	if done > 0 {
		err = nil
	}
	s.sent.Add(uint64(done))
	countLo(done + tcpHeaders)
	return done, err
}

// mark makes the last byte the urgent one.
func (r *stream) mark(inline bool) {
	// An older one that nobody took and that is next is lost, as Linux does.
	if r.urg != urgentNone && r.urgent == r.read && !inline && r.n > 1 {
		_, _ = r.take(nil, 1)
	}
	r.urgent, r.urg = r.end()-1, urgentValid
}

// refused is sending to an end that is closed, or that will neither send nor
// receive: what would have been on its way is gone, and the answer is a RST.
func (s *tcp) refused(p *tcp, b *mm.Buffer) int {
	n := min(b.Len(), s.limit(p))
	b.Limit(0)
	net.Lock()
	if !p.gone.Load() {
		p.reset()
	}
	s.reset()
	net.Unlock()
	return n
}

// cannotSend is the error of sending in a state that does not allow it.
func (s *tcp) cannotSend(c vfs.Caller, flags int) error {
	if s.state.Load() == synSent {
		return unix.EAGAIN
	}
	err := s.TakeError()
	if err == nil {
		err = unix.EPIPE
	}
	if err == unix.EPIPE && flags&unix.MSG_NOSIGNAL == 0 {
		c.Raise(int(unix.SIGPIPE))
	}
	return err
}

func (s *tcp) sendOutside(c vfs.Caller, b *mm.Buffer, flags int) (int, error) {
	net.Lock()
	s.progress()
	e := s.out
	net.Unlock()
	if s.state.Load() == synSent {
		return 0, unix.EAGAIN
	}
	if e == nil || s.shutdown.Load()&noSend != 0 || s.HasError() {
		return 0, s.cannotSend(c, flags)
	}
	p := Packet{Flags: flags}
	n, err := e.Send(b, &p)
	if n > 0 {
		s.sent.Add(uint64(n))
		if b.Len() > 0 && err == nil {
			err = unix.EAGAIN
		}
		if err != unix.EAGAIN {
			err = nil
		}
		return n, err
	}
	if err == unix.EPIPE && flags&unix.MSG_NOSIGNAL == 0 {
		c.Raise(int(unix.SIGPIPE))
	}
	return n, err
}

// Recv serves the receiving calls.
func (s *tcp) Recv(_ vfs.Caller, b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	if flags&unix.MSG_ERRQUEUE != 0 {
		return 0, unix.EAGAIN
	}
	if flags&unix.MSG_OOB != 0 {
		if s.state.Load() == listening {
			return 0, unix.ENOTCONN
		}
		return s.receiveUrgent(b, m, flags)
	}
	return s.receive(b, m, flags)
}

func (s *tcp) receive(b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	if s.outside.Load() {
		return s.recvOutside(b, flags)
	}
	want := b.Len()
	s.mu.Lock()
	r := &s.rx
	// Urgent data cuts what one call reads.
	have, skip := r.n, 0
	if r.urg != urgentNone && r.urgent >= r.read && r.n > 0 {
		if ahead := int(r.urgent - r.read); ahead > 0 {
			have = min(have, ahead)
		} else if !s.Flag(unix.SO_OOBINLINE) {
			skip = 1
			have--
		}
	}
	if skip > 0 && flags&unix.MSG_PEEK == 0 {
		_, _ = r.take(nil, 1)
		skip = 0
	}
	if have == 0 {
		err := s.nothing()
		s.mu.Unlock()
		return 0, err
	}
	if n := min(s.Lowat(), want); have < n && flags&unix.MSG_DONTWAIT == 0 && !s.done.Load() && s.shutdown.Load()&noRecv == 0 && have == r.n {
		s.mu.Unlock()
		return 0, unix.EAGAIN
	}
	var n int
	var err error
	switch n = min(want, have); {
	case flags&unix.MSG_PEEK != 0:
		if flags&unix.MSG_TRUNC == 0 {
			n, err = r.copyOut(b, skip, n)
		}
	case flags&unix.MSG_TRUNC != 0:
		n, err = r.take(nil, n)
		b.Limit(want - n)
	default:
		n, err = r.take(b, n)
	}
	p := s.peer.Load()
	wake := p != nil && p.nospace.Load() && r.n*3 <= p.limit(s)*2 && p.nospace.Swap(false)
	stamp := m != nil && n > 0 && s.stamps()
	s.mu.Unlock()
	if wake {
		p.queue.Notify(wait.Writable)
	}
	if stamp {
		m.Control = s.appendTime(m.Control, clock.Realtime())
	}
	if n > 0 {
		err = nil
	}
	return n, err
}

// nothing is the answer of an empty stream. mu is held.
func (s *tcp) nothing() error {
	if s.state.Load() == listening {
		return unix.ENOTCONN
	}
	if s.done.Load() {
		return nil
	}
	if err := s.TakeError(); err != nil {
		return err
	}
	if s.shutdown.Load()&noRecv != 0 {
		return nil
	}
	if s.state.Load() == closed {
		return unix.ENOTCONN
	}
	return unix.EAGAIN
}

// receiveUrgent is MSG_OOB: tcp_recv_urg.
func (s *tcp) receiveUrgent(b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.rx
	if s.Flag(unix.SO_OOBINLINE) || r.urg != urgentValid {
		return 0, unix.EINVAL
	}
	if s.state.Load() == closed && !s.done.Load() {
		return 0, unix.ENOTCONN
	}
	v := [1]byte{}
	if r.urgent >= r.read && r.urgent < r.end() {
		v[0] = r.at(int(r.urgent - r.read))
	}
	if flags&unix.MSG_PEEK == 0 {
		r.urg = urgentRead
	}
	if m != nil {
		m.Flags |= unix.MSG_OOB
	}
	if b.Len() == 0 {
		if m != nil {
			m.Flags |= unix.MSG_TRUNC
		}
		return 0, nil
	}
	if flags&unix.MSG_TRUNC != 0 {
		return 1, nil
	}
	return b.CopyOut(v[:])
}

func (s *tcp) recvOutside(b *mm.Buffer, flags int) (int, error) {
	net.Lock()
	s.progress()
	e := s.out
	net.Unlock()
	if s.state.Load() == synSent {
		return 0, unix.EAGAIN
	}
	if e == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return 0, s.nothing()
	}
	p := Packet{Flags: flags}
	n, err := e.Recv(b, &p)
	if err == unix.EAGAIN && s.shutdown.Load()&noRecv != 0 {
		return 0, nil
	}
	return n, err
}

// Ioctl serves FIONREAD, SIOCATMARK, SIOCOUTQ and the requests of interfaces.
func (s *tcp) Ioctl(c vfs.Caller, f *vfs.File, request uint32, arg uintptr) (uintptr, error) {
	switch request {
	case unix.TIOCINQ, unix.TIOCOUTQ, siocAtMark, siocOutQNSD:
	default:
		return s.ioctl(c, request, arg)
	}
	if s.state.Load() == listening && request != siocAtMark {
		return 0, unix.EINVAL
	}
	n := 0
	switch {
	case s.outside.Load() && request != siocAtMark:
		net.Lock()
		if s.out != nil {
			in, out := s.out.Queued()
			if n = out; request == unix.TIOCINQ {
				n = in
			}
		}
		net.Unlock()
	case request == unix.TIOCINQ:
		s.mu.Lock()
		r := &s.rx
		n = r.n
		if r.urg != urgentNone && r.urgent >= r.read && !s.Flag(unix.SO_OOBINLINE) && n > 0 {
			if n = int(r.urgent - r.read); n == 0 && r.n > 1 {
				n = r.n - 1
			}
		}
		s.mu.Unlock()
	case request == siocAtMark:
		s.mu.Lock()
		if s.rx.urg != urgentNone && s.rx.urgent == s.rx.read {
			n = 1
		}
		s.mu.Unlock()
	}
	// What is sent inside the machine is acknowledged: nothing is in a queue.
	return store32(c, arg, n)
}

// appendTime appends a control message with the time of arrival in the form
// that the socket asks for.
func (s *sock) appendTime(p []byte, ns int64) []byte {
	var v [48]byte // struct scm_timestamping, whose first time is software's
	binary.NativeEndian.PutUint64(v[:], uint64(ns/clock.Second))
	switch {
	case s.stampNano():
		binary.NativeEndian.PutUint64(v[8:], uint64(ns%clock.Second))
		p = appendControl(p, unix.SOL_SOCKET, s.stampType(), v[:16])
	case s.stampMicro():
		binary.NativeEndian.PutUint64(v[8:], uint64(ns%clock.Second/1000))
		p = appendControl(p, unix.SOL_SOCKET, s.stampType(), v[:16])
	}
	if s.stampSoftware() {
		binary.NativeEndian.PutUint64(v[8:], uint64(ns%clock.Second))
		p = appendControl(p, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, v[:])
	}
	return p
}

// Options of timestamps; those with NEW have times of 64 bits everywhere,
// which makes no difference here.
const (
	soTimestampNew   = 63
	soTimestampNSNew = 64
)

func (s *sock) stamps() bool     { return s.stampMicro() || s.stampNano() || s.stampSoftware() }
func (s *sock) stampMicro() bool { return s.Flag(unix.SO_TIMESTAMP) || s.Flag(soTimestampNew) }

// stampSoftware: what arrives has a time, and the program wants it.
func (s *sock) stampSoftware() bool {
	const want = unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE
	return s.Timestamping()&want == want
}

func (s *sock) stampNano() bool {
	return s.Flag(unix.SO_TIMESTAMPNS) || s.stampNanoNew.Load()
}

func (s *sock) stampType() int {
	switch {
	case s.stampNanoNew.Load():
		return soTimestampNSNew
	case s.Flag(unix.SO_TIMESTAMPNS):
		return unix.SO_TIMESTAMPNS
	case s.Flag(soTimestampNew):
		return soTimestampNew
	}
	return unix.SO_TIMESTAMP
}

// appendControl appends one control message.
func appendControl(p []byte, level, typ int, data []byte) []byte {
	p = binary.NativeEndian.AppendUint64(p, uint64(16+len(data)))
	p = binary.NativeEndian.AppendUint32(p, uint32(level))
	p = binary.NativeEndian.AppendUint32(p, uint32(typ))
	p = append(p, data...)
	for len(p)%8 != 0 {
		p = append(p, 0)
	}
	return p
}
