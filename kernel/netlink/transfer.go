package netlink

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// Send serves the sending calls: to the kernel, to another socket, or to a
// group.
func (s *sock) Send(c vfs.Caller, b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	if flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	table.Lock()
	port, group := s.toPort, s.toGroup
	if m != nil && m.Name != nil {
		p, groups, err := parseName(m.Name)
		if err == nil && (p != 0 || groups != 0) && !s.protocol.sendAny && !admin(c) {
			err = unix.EPERM
		}
		if err != nil {
			table.Unlock()
			return 0, err
		}
		port, group = p, first(groups)
	}
	s.autobind(c)
	from := s.port
	table.Unlock()

	n := b.Len()
	if n == 0 {
		return 0, unix.ENODATA
	}
	if n > int(s.SendBuffer.Load())-32 {
		return 0, unix.EMSGSIZE
	}
	if !cpu.KernelRoom(uint64(n)) {
		return 0, unix.ENOBUFS
	}
	data := make([]byte, n)
	peek := *b // who has to wait sends again from the start
	if _, err := peek.CopyIn(data); err != nil {
		return 0, err
	}
	creds := socket.CredsOf(c)
	creds.UID, creds.GID = uint32(c.Cred().UID), uint32(c.Cred().GID)
	if m != nil && m.Creds != nil {
		creds = *m.Creds
	}
	if group != 0 {
		broadcast(s.Protocol, group, &packet{data, from, group, creds}, s, 0)
	}
	if port != 0 {
		if err := s.unicast(port, &packet{data, from, 0, creds}, flags); err != nil {
			return 0, err
		}
	} else {
		if s.protocol.handle == nil {
			return 0, unix.ECONNREFUSED
		}
		s.serve(c, data)
	}
	*b = peek
	return n, nil
}

// unicast delivers to another program's socket; EAGAIN while it is full.
func (s *sock) unicast(port uint32, p *packet, flags int) error {
	table.RLock()
	to := lookup(s.Protocol, port)
	if to == nil || to.isConnected && to.toPort != s.port {
		table.RUnlock()
		return unix.ECONNREFUSED
	}
	table.RUnlock()
	to.mu.Lock()
	if to.cost > int(to.RecvBuffer.Load()) || to.congested {
		if flags&unix.MSG_DONTWAIT == 0 {
			to.blocked = append(to.blocked, s)
		}
		to.mu.Unlock()
		return unix.EAGAIN
	}
	to.push(p)
	to.mu.Unlock()
	to.queue.Notify(wait.Readable)
	return nil
}

// broadcast delivers to the members of a group but one, and but the socket
// with the port but.
func broadcast(number int, group uint32, p *packet, not *sock, but uint32) {
	table.RLock()
	defer table.RUnlock()
	for _, s := range table.list {
		if s.Protocol == number && s != not && s.groups[(group-1)/64]>>((group-1)%64)&1 != 0 && (but == 0 || s.port != but) {
			s.deliver(p)
		}
	}
}

// deliver queues what the kernel sends. A socket whose buffer is full loses it
// and is told so by ENOBUFS.
func (s *sock) deliver(p *packet) {
	s.mu.Lock()
	if s.cost > int(s.RecvBuffer.Load()) || s.congested {
		s.drops++
		tell := false
		if !s.on(unix.NETLINK_NO_ENOBUFS) {
			tell = !s.congested
			s.congested = true
		}
		s.mu.Unlock()
		if tell {
			s.SetError(unix.ENOBUFS)
			s.queue.Notify(wait.Err)
		}
		return
	}
	s.push(p)
	s.mu.Unlock()
	s.queue.Notify(wait.Readable)
}

// push appends to the queue what the socket's filter leaves. mu is held.
func (s *sock) push(p *packet) {
	if s.Filtered() {
		n := s.Keep(&socket.Packet{Data: p.data, Hardware: unix.ARPHRD_NETLINK, Protocol: uint16(s.Protocol)})
		if n == 0 {
			return
		}
		if n < len(p.data) {
			p = &packet{p.data[:n], p.from, p.group, p.creds}
		}
	}
	s.packets = append(s.packets, p)
	s.cost += len(p.data) + overhead
}

// Deliver queues a message from the kernel (mq_notify(3)).
func (s *sock) Deliver(data []byte) error {
	s.deliver(&packet{data: append([]byte(nil), data...)})
	return nil
}

// startDump begins to hand out messages: EBUSY while another dump is going on.
func (s *sock) startDump(messages []byte) error {
	s.mu.Lock()
	if s.dumping {
		s.mu.Unlock()
		return unix.EBUSY
	}
	s.dumping, s.dump = true, messages
	s.portion()
	s.mu.Unlock()
	s.queue.Notify(wait.Readable)
	return nil
}

// The size of a portion of a dump: what programs with small buffers read, and
// what Linux gives to those that ask for more.
const (
	leastPortion = 3776
	mostPortion  = 32448
)

// portion queues as many whole messages as a read is thought to take. mu is
// held.
func (s *sock) portion() {
	if s.cost > int(s.RecvBuffer.Load()) {
		return
	}
	most := max(min(s.longest, mostPortion), leastPortion)
	n := 0
	for n < len(s.dump) {
		k := align(int(binary.NativeEndian.Uint32(s.dump[n:])))
		if n > 0 && n+k > most {
			break
		}
		n += k
	}
	s.push(&packet{data: s.dump[:n:n]})
	if s.dump = s.dump[n:]; len(s.dump) == 0 {
		s.dump, s.dumping = nil, false
	}
}

// Recv returns the next packet.
func (s *sock) Recv(_ vfs.Caller, b *mm.Buffer, m *socket.Message, flags int) (int, error) {
	if flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	if err := s.TakeError(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	if len(s.packets) == 0 {
		s.mu.Unlock()
		return 0, unix.EAGAIN
	}
	s.longest = max(s.longest, b.Len())
	p := s.packets[0]
	var blocked []*sock
	if flags&unix.MSG_PEEK == 0 {
		if s.packets = s.packets[1:]; len(s.packets) == 0 {
			s.packets, s.congested = nil, false
		}
		s.cost -= len(p.data) + overhead
		if s.dumping && s.cost <= int(s.RecvBuffer.Load())/2 {
			s.portion()
		}
		if s.cost <= int(s.RecvBuffer.Load()) {
			blocked, s.blocked = s.blocked, nil
		}
	}
	s.mu.Unlock()
	for _, o := range blocked {
		o.queue.Notify(wait.Writable)
	}
	n, err := b.CopyOut(p.data)
	if err != nil {
		return 0, err
	}
	if m != nil {
		m.Name = name(p.from, mask(p.group))
		if n < len(p.data) {
			m.Flags |= unix.MSG_TRUNC
		}
		if s.PassCred.Load() {
			creds := p.creds
			m.Creds = &creds
		}
		if s.on(unix.NETLINK_PKTINFO) {
			var h [24]byte
			binary.NativeEndian.PutUint64(h[:], 20)
			binary.NativeEndian.PutUint32(h[8:], unix.SOL_NETLINK)
			binary.NativeEndian.PutUint32(h[12:], unix.NETLINK_PKTINFO)
			binary.NativeEndian.PutUint32(h[16:], p.group)
			m.Control = append(m.Control, h[:20]...)
			m.Control = append(m.Control, 0, 0, 0, 0)
		}
	}
	if flags&unix.MSG_TRUNC != 0 {
		n = len(p.data)
	}
	return n, nil
}
