package tty

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// Requests that package unix lacks (include/uapi/asm-generic/ioctls.h).
const (
	tcgets      = 0x5401
	tcsets      = 0x5402
	tcsetsw     = 0x5403
	tcsetsf     = 0x5404
	tcgeta      = 0x5405
	tcseta      = 0x5406
	tcsetaw     = 0x5407
	tcsetaf     = 0x5408
	tcsbrk      = 0x5409
	tcxonc      = 0x540a
	tcflsh      = 0x540b
	tiocexcl    = 0x540c
	tiocnxcl    = 0x540d
	tiocsctty   = 0x540e
	tiocgpgrp   = 0x540f
	tiocspgrp   = 0x5410
	tiocoutq    = 0x5411
	tiocsti     = 0x5412
	tiocgwinsz  = 0x5413
	tiocswinsz  = 0x5414
	tiocinq     = 0x541b
	tioccons    = 0x541d
	tiocpkt     = 0x5420
	tiocnotty   = 0x5422
	tiocsetd    = 0x5423
	tiocgetd    = 0x5424
	tcsbrkp     = 0x5425
	tiocsbrk    = 0x5427
	tioccbrk    = 0x5428
	tiocgsid    = 0x5429
	tiocvhangup = 0x5437
	tiocgptpeer = 0x5441
	tcgets2     = 0x802c542a
	tcsets2     = 0x402c542b
	tcsetsw2    = 0x402c542c
	tcsetsf2    = 0x402c542d
	tiocgptn    = 0x80045430
	tiocsptlck  = 0x40045431
	tiocgdev    = 0x80045432
	tiocsig     = 0x40045436
	tiocgpkt    = 0x80045438
	tiocgptlck  = 0x80045439
	tiocgexcl   = 0x80045440
)

// Ioctl serves tty_ioctl(2) on the terminal itself.
func (h *handle) Ioctl(c vfs.Caller, _ *vfs.File, request uint32, arg uintptr) (uintptr, error) {
	t := h.t
	t.mu.Lock()
	gone := h.hungUp()
	t.mu.Unlock()
	if gone {
		if request == tiocspgrp {
			return 0, unix.ENOTTY
		}
		return 0, unix.EIO
	}
	return t.ioctl(c, request, arg, false)
}

// ioctl serves what both sides of a pseudo terminal answer alike; master says
// that it was asked of the master.
func (t *Terminal) ioctl(c vfs.Caller, request uint32, arg uintptr, master bool) (uintptr, error) {
	a := mm.Addr(arg)
	as := c.AddressSpace()
	switch request {
	case tcsets, tcsetsw, tcsetsf, tcsets2, tcsetsw2, tcsetsf2, tcseta, tcsetaw, tcsetaf:
		return 0, t.setTermios(c, request, a)
	case tcgets, tcgets2, tcgeta:
		var b [termios2Size]byte
		n := termiosSize
		t.mu.Lock()
		switch request {
		case tcgeta:
			n = termioSize
			t.termios.encodeOld(b[:n])
		case tcgets2:
			n = termios2Size
			fallthrough
		default:
			t.termios.encode(b[:n])
		}
		t.mu.Unlock()
		_, err := as.CopyOut(a, b[:n])
		return 0, err
	case tiocgwinsz:
		var b [8]byte
		t.mu.Lock()
		w := t.winsize
		t.mu.Unlock()
		for i, v := range [4]uint16{w.Row, w.Col, w.Xpixel, w.Ypixel} {
			binary.LittleEndian.PutUint16(b[2*i:], v)
		}
		_, err := as.CopyOut(a, b[:])
		return 0, err
	case tiocswinsz:
		var b [8]byte
		if _, err := as.CopyIn(b[:], a); err != nil {
			return 0, err
		}
		le := binary.LittleEndian
		t.SetWinsize(unix.Winsize{Row: le.Uint16(b[:]), Col: le.Uint16(b[2:]), Xpixel: le.Uint16(b[4:]), Ypixel: le.Uint16(b[6:])})
		return 0, nil
	case tcxonc:
		return 0, t.xonc(c, int(arg))
	case tcflsh:
		if err := t.background(c, int(unix.SIGTTOU)); err != nil {
			return 0, err
		}
		return 0, t.flush(int(arg))
	case tcsbrk, tcsbrkp, tiocsbrk, tioccbrk:
		if err := t.background(c, int(unix.SIGTTOU)); err != nil {
			return 0, err
		}
		if request == tcsbrk && arg != 0 {
			return 0, t.drain(c)
		}
		return 0, nil
	case tiocexcl, tiocnxcl:
		t.mu.Lock()
		t.exclusive = request == tiocexcl
		t.mu.Unlock()
		return 0, nil
	case tiocgexcl:
		t.mu.Lock()
		on := t.exclusive
		t.mu.Unlock()
		return 0, as.Store32(a, truth(on))
	case tiocoutq:
		t.mu.Lock()
		n := t.line.buffered()
		t.mu.Unlock()
		return 0, as.Store32(a, uint32(n))
	case tiocinq:
		return 0, as.Store32(a, uint32(t.waiting()))
	case tiocsti:
		return 0, t.simulate(c, a)
	case tiocgetd:
		t.mu.Lock()
		n := t.termios.Line
		t.mu.Unlock()
		return 0, as.Store32(a, uint32(n))
	case tiocsetd:
		n, err := as.Load32(a)
		if err == nil && n != 0 { // there is one line discipline
			err = unix.EINVAL
		}
		return 0, err
	case tiocgdev:
		return 0, as.Store32(a, uint32(t.DeviceNumber()))
	case tiocvhangup:
		if !c.Cred().Has(unix.CAP_SYS_ADMIN) {
			return 0, unix.EPERM
		}
		t.hangup()
		return 0, nil
	case tioccons:
		if !c.Cred().Has(unix.CAP_SYS_ADMIN) {
			return 0, unix.EPERM
		}
		return 0, nil
	case tiocsctty, tiocnotty, tiocgpgrp, tiocspgrp, tiocgsid:
		return 0, t.jobIoctl(c, request, a, master)
	}
	return 0, unix.ENOTTY
}

// jobIoctl serves the requests about sessions and groups.
func (t *Terminal) jobIoctl(c vfs.Caller, request uint32, a mm.Addr, master bool) error {
	j, ok := c.(Job)
	if !ok {
		return unix.ENOTTY
	}
	mine := of(c) == t
	t.mu.Lock()
	session, group := t.session, t.group
	t.mu.Unlock()
	switch request {
	case tiocsctty:
		return t.control(c, j, int(a))
	case tiocnotty:
		if !mine || master {
			return unix.ENOTTY
		}
		// Linux lets a process leave alone; here the session has one terminal.
		if j.SessionLeader() {
			j.SetControllingTerminal(nil)
			SessionEnded(t)
		}
		return nil
	case tiocgpgrp:
		if !mine && !master {
			return unix.ENOTTY
		}
		return c.AddressSpace().Store32(a, uint32(group))
	case tiocgsid:
		if !mine && !master || session == 0 {
			return unix.ENOTTY
		}
		return c.AddressSpace().Store32(a, uint32(session))
	}
	// TIOCSPGRP
	if err := t.background(c, int(unix.SIGTTOU)); err != nil {
		if err == unix.EIO {
			return unix.ENOTTY
		}
		return err
	}
	if !mine || session != j.SessionID() {
		return unix.ENOTTY
	}
	n, err := c.AddressSpace().Load32(a)
	if err != nil {
		return err
	}
	if int32(n) < 0 {
		return unix.EINVAL
	}
	switch j.SessionOfGroup(int(n)) {
	case 0:
		return unix.ESRCH
	case j.SessionID():
	default:
		return unix.EPERM
	}
	t.mu.Lock()
	t.group = int(n)
	t.mu.Unlock()
	return nil
}

// control serves TIOCSCTTY.
func (t *Terminal) control(c vfs.Caller, j Job, steal int) error {
	t.mu.Lock()
	session := t.session
	t.mu.Unlock()
	if j.SessionLeader() && session == j.SessionID() && of(c) == t {
		return nil
	}
	if !j.SessionLeader() || of(c) != nil {
		return unix.EPERM
	}
	if session != 0 {
		if steal != 1 || !c.Cred().Has(unix.CAP_SYS_ADMIN) {
			return unix.EPERM
		}
		t.mu.Lock()
		t.session, t.group = 0, 0
		t.mu.Unlock()
		ReleaseSession(session)
	}
	t.adopt(j)
	return nil
}

// ReleaseSession takes the terminal from a session without signals: package
// task's, set when the machine boots.
var ReleaseSession = func(session int) {}

func (t *Terminal) setTermios(c vfs.Caller, request uint32, a mm.Addr) error {
	if err := t.background(c, int(unix.SIGTTOU)); err != nil {
		return err
	}
	n := termiosSize
	switch request {
	case tcsets2, tcsetsw2, tcsetsf2:
		n = termios2Size
	case tcseta, tcsetaw, tcsetaf:
		n = termioSize
	}
	var b [termios2Size]byte
	if _, err := c.AddressSpace().CopyIn(b[:n], a); err != nil {
		return err
	}
	switch request {
	case tcsetsf, tcsetsf2, tcsetaf:
		if err := t.flush(unix.TCIFLUSH); err != nil {
			return err
		}
		fallthrough
	case tcsetsw, tcsetsw2, tcsetaw:
		if err := t.drain(c); err != nil {
			return err
		}
	}
	t.mu.Lock()
	now := t.termios
	if n == termioSize {
		now.decodeOld(b[:n])
	} else {
		now.decode(b[:n])
	}
	t.change(now)
	t.unlock()
	return nil
}

// change installs new settings (n_tty_set_termios). mu is held.
func (t *Terminal) change(now Termios) {
	old := t.termios
	now.Line = old.Line
	t.termios = now
	if (old.Lflag^now.Lflag)&(unix.ICANON|unix.EXTPROC) != 0 {
		t.ends = [inputSize / 64]uint64{}
		t.lineStart = t.tail
		if now.Lflag&unix.ICANON == 0 || t.head == t.tail {
			t.canon = t.tail
		} else {
			// What is there becomes a line of its own, without an end.
			t.markEnd(t.head-1, true)
			t.canon = t.head
		}
		t.erasing, t.literal = false, false
	}
	// Output that only VSTOP stopped goes on when there is no VSTART any more.
	if now.Iflag&unix.IXON == 0 && old.Iflag&unix.IXON != 0 && !t.held {
		t.flow(true)
		t.showEchoes()
	}
	t.line.settings(&old, &now)
	t.accept()
	t.queue.Notify(wait.Readable | wait.Writable)
}

// flush serves TCFLSH.
func (t *Terminal) flush(which int) error {
	t.mu.Lock()
	defer t.unlock()
	switch which {
	case unix.TCIFLUSH, unix.TCIOFLUSH:
		t.pending = t.pending[:0]
		t.dropInput()
		t.line.flushed()
		if which == unix.TCIFLUSH {
			return nil
		}
		fallthrough
	case unix.TCOFLUSH:
		t.line.discard(t.line.mark())
		t.queue.Notify(wait.Writable)
		return nil
	}
	return unix.EINVAL
}

// xonc serves TCXONC.
func (t *Terminal) xonc(c vfs.Caller, action int) error {
	if err := t.background(c, int(unix.SIGTTOU)); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.unlock()
	switch action {
	case unix.TCOOFF:
		t.held = true
		t.flow(false)
	case unix.TCOON:
		if t.held {
			t.held = false
			t.flow(true)
		}
	case unix.TCIOFF:
		if ch := t.termios.Cc[unix.VSTOP]; ch != disabled {
			t.emit(ch)
		}
	case unix.TCION:
		if ch := t.termios.Cc[unix.VSTART]; ch != disabled {
			t.emit(ch)
		}
	default:
		return unix.EINVAL
	}
	return nil
}

// drain waits until the line has taken all output. A pseudo terminal has
// taken it when the master can read it.
func (t *Terminal) drain(c vfs.Caller) error {
	con, ok := t.line.(*console)
	if !ok {
		return nil
	}
	return t.queue.Until(c, wait.Out, wait.NoDeadline, func() bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		con.push()
		return con.buffered() == 0
	})
}

// waiting is FIONREAD: the bytes that read would return by and by.
func (t *Terminal) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.lflag(unix.ICANON) || t.lflag(unix.EXTPROC) {
		return int(t.head - t.tail)
	}
	n := int(t.canon - t.tail)
	for pos := t.tail; pos%inputSize != t.canon%inputSize; pos++ { // as Linux, whom a full buffer deceives
		if t.isEnd(pos) && t.at(pos) == disabled {
			n--
		}
	}
	return n
}

// simulate serves TIOCSTI.
func (t *Terminal) simulate(c vfs.Caller, a mm.Addr) error {
	if of(c) != t && !c.Cred().Has(unix.CAP_SYS_ADMIN) {
		return unix.EPERM
	}
	var b [1]byte
	if _, err := c.AddressSpace().CopyIn(b[:], a); err != nil {
		return err
	}
	t.mu.Lock()
	t.receive(b[:])
	t.unlock()
	return nil
}

func truth(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
