package inet

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/socket"
	"husk/kernel/vfs"
)

// SetOption serves setsockopt(2) of a TCP socket.
func (s *tcp) SetOption(c vfs.Caller, level, name int, v []byte) error {
	if level != levelTCP {
		return s.setOption(c, nil, level, name, v)
	}
	switch name {
	case unix.TCP_CONGESTION:
		return s.setCongestion(v)
	case unix.TCP_ULP:
		if len(v) == 0 {
			return unix.EINVAL
		}
		return unix.ENOENT // there is no module of that name
	case unix.TCP_FASTOPEN_KEY:
		if len(v) != 16 && len(v) != 32 {
			return unix.EINVAL
		}
		return nil
	}
	if len(v) < 4 {
		return unix.EINVAL
	}
	n := number(v)
	state := s.state.Load()
	switch name {
	case unix.TCP_MAXSEG:
		if n != 0 && (n < 88 || n > 32767) {
			return unix.EINVAL
		}
	case unix.TCP_WINDOW_CLAMP:
		if n == 0 && state != closed {
			return unix.EINVAL
		}
		if n != 0 {
			n = max(n, 1152)
		}
	case unix.TCP_FASTOPEN:
		if n < 0 || state != closed && state != listening {
			return unix.EINVAL
		}
		n = min(n, int32(tunable(&socket.BacklogMax)))
	case unix.TCP_FASTOPEN_CONNECT:
		if n > 1 || n < 0 || state != closed {
			return unix.EINVAL
		}
	case unix.TCP_FASTOPEN_NO_COOKIE:
		if n > 1 || n < 0 || state != closed && state != listening {
			return unix.EINVAL
		}
	case unix.TCP_LINGER2:
		if n < 0 {
			n = -1
		} else if n > 120 {
			n = 120
		}
	case unix.TCP_DEFER_ACCEPT:
		n = retries(n)
	case unix.TCP_REPAIR, unix.TCP_REPAIR_QUEUE, unix.TCP_QUEUE_SEQ, unix.TCP_REPAIR_OPTIONS, unix.TCP_REPAIR_WINDOW, unix.TCP_TIMESTAMP:
		return unix.EPERM
	default:
		r := ruleOf(level, name)
		if r == nil {
			return unix.ENOPROTOOPT
		}
		var err error
		if n, err = r.check(n); err != nil {
			return err
		}
	}
	s.setValue(level, name, n)
	s.tellOut(level, name, int(n))
	return nil
}

// OptionSet tells the part outside of an option of SOL_SOCKET.
func (s *tcp) OptionSet(name int) {
	net.Lock()
	e := s.out
	net.Unlock()
	if e != nil {
		s.passOne(e, name)
	}
}

// tellOut passes a setting on to the part outside.
func (s *tcp) tellOut(level, name, n int) {
	net.Lock()
	e := s.out
	net.Unlock()
	if e != nil {
		_ = e.Set(level, name, n)
	}
}

// retries is how Linux keeps TCP_DEFER_ACCEPT: as a number of
// retransmissions, after 1, 3, 7 … seconds, of which none waits longer than
// two minutes and there are at most 255.
func retries(seconds int32) int32 {
	if seconds <= 0 {
		return 0
	}
	n, wait := int32(1), int32(1)
	for k := 1; n < seconds && k < 255; k++ {
		wait = min(wait*2, 120)
		n += wait
	}
	return n
}

func (s *tcp) setCongestion(v []byte) error {
	if len(v) == 0 {
		return unix.EINVAL
	}
	name := text(v[:min(len(v), 15)])
	if name != "cubic" && name != "reno" {
		return unix.ENOENT
	}
	s.setMu.Lock()
	s.congestion = name
	s.setMu.Unlock()
	return nil
}

// Option serves getsockopt(2) of a TCP socket.
func (s *tcp) Option(c vfs.Caller, level, name int, v []byte) (int, error) {
	if level != levelTCP {
		return s.option(c, nil, level, name, v)
	}
	n := int32(0)
	switch name {
	case unix.TCP_INFO:
		return s.info(v), nil
	case unix.TCP_CONGESTION:
		s.setMu.Lock()
		name := s.congestion
		s.setMu.Unlock()
		if name == "" {
			name = "cubic"
		}
		var p [16]byte
		copy(p[:], name)
		return copy(v, p[:]), nil
	case unix.TCP_ULP, unix.TCP_SAVED_SYN, unix.TCP_CC_INFO:
		return 0, nil
	case unix.TCP_FASTOPEN_KEY:
		return 0, nil
	case unix.TCP_MAXSEG:
		n = s.segment()
	case unix.TCP_TIMESTAMP:
		n = int32(clock.Now() / 1_000_000)
	case unix.TCP_REPAIR:
		n = 0
	case unix.TCP_WINDOW_CLAMP:
		n = s.value(level, name)
		if n == 0 && s.state.Load() != closed && s.state.Load() != listening {
			n = 65536
		}
	default:
		if ruleOf(level, name) == nil {
			return 0, unix.ENOPROTOOPT
		}
		if n = s.value(level, name); name == unix.TCP_LINGER2 && n == 0 {
			n = 60 // net.ipv4.tcp_fin_timeout
		}
	}
	return socket.PutInt(v, n), nil
}

func (s *tcp) segment() int32 {
	switch s.state.Load() {
	case closed, listening:
		if n := s.value(levelTCP, unix.TCP_MAXSEG); n != 0 {
			return n
		}
		return mssFresh
	}
	if s.outside.Load() {
		var t unix.TCPInfo
		net.Lock()
		if s.out != nil {
			s.out.Info(&t)
		}
		net.Unlock()
		if t.Snd_mss != 0 {
			return int32(t.Snd_mss)
		}
		return 1448
	}
	return mssLoopback
}

// info fills in struct tcp_info.
func (s *tcp) info(v []byte) int {
	state := s.state.Load()
	t := unix.TCPInfo{
		State: uint8(state), Rto: 1000000, Ato: 0, Snd_mss: mssFresh, Rcv_mss: mssFresh, Snd_cwnd: 10, Snd_ssthresh: 1<<31 - 1,
		Advmss: mssFresh, Reordering: 3, Rcv_space: 0,
	}
	switch state {
	case listening:
		net.Lock()
		t.Unacked, t.Sacked = uint32(s.pending.len()), uint32(s.backlog)
		net.Unlock()
	case closed, synSent:
	default:
		t.Options = 7 // timestamps, SACK and window scaling
		t.Rto, t.Snd_mss, t.Advmss, t.Pmtu, t.Rtt, t.Rttvar = 204000, mssLoopback, 65483, 65535, 20, 10
		t.Rcv_ssthresh, t.Rcv_space = 65495, 65495
		t.Rcv_rtt, t.Min_rtt = 0, 10
		since := uint32((clock.Now() - s.opened) / 1_000_000)
		t.Last_data_sent, t.Last_data_recv, t.Last_ack_recv = since, since, since
		t.Bytes_acked = s.sent.Load()
		s.mu.Lock()
		t.Bytes_received = s.rx.end()
		s.mu.Unlock()
	}
	if s.outside.Load() {
		net.Lock()
		if s.out != nil {
			s.out.Info(&t)
		}
		net.Unlock()
	}
	return copy(v, infoBytes(&t))
}
