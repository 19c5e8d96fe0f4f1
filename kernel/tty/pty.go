package tty

import (
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/tmpfs"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// Device numbers, devices.txt.
const (
	auxMajor     = 5
	minorTTY     = 0
	minorConsole = 1
	minorPtmx    = 2
	ptsMajor     = 136
)

// Status bytes of packet mode, tty_ioctl(4).
const (
	pktFlushRead  = 1
	pktFlushWrite = 2
	pktStop       = 4
	pktStart      = 8
	pktNoStop     = 16
	pktDoStop     = 32
	pktIoctl      = 64
)

// A pty is a pseudo terminal: the line of its slave. It is guarded by the
// slave's mu.
type pty struct {
	index int
	slave *Terminal

	out    []byte // from the slave, for the master to read
	packet bool
	status byte
	locked bool
	// idle says that the slave was open and is not: the master reads EIO.
	idle   bool
	closed bool // the master is gone

	queue wait.Queue // of the master
}

// ptys are the pseudo terminals by number, and the file system that shows
// them.
var ptys struct {
	mu    sync.Mutex
	table []*pty
	sb    *vfs.Superblock
	mode  uint32
	gid   uint32
	root  *vfs.Dentry
}

func (p *pty) room() int {
	if p.closed {
		return outputSize
	}
	return max(outputSize-p.beyond(), 0)
}

// beyond is how much of the output has not arrived at the master in the sense
// of Linux, whose master has a line discipline with a buffer of its own.
func (p *pty) beyond() int { return max(len(p.out)-(inputSize-1), 0) }

func (p *pty) put(b []byte) {
	if p.closed || len(b) == 0 {
		return
	}
	p.out = append(p.out, b...)
	p.queue.Notify(wait.Readable)
}

func (p *pty) buffered() int { return 0 } // what was put has arrived

func (p *pty) mark() int { return len(p.out) }

func (p *pty) discard(mark int) {
	p.out = p.out[:min(mark, len(p.out)-p.beyond())]
	p.report(pktFlushWrite, 0)
}

func (p *pty) flushed() { p.report(pktFlushRead, 0) }

func (p *pty) consumed() { p.queue.Notify(wait.Writable) }

// flowing notes a stop or a start.
func (p *pty) flowing(on bool) {
	if on {
		p.report(pktStart, pktStop)
	} else {
		p.report(pktStop, pktStart)
	}
}

func (p *pty) settings(old, now *Termios) {
	if !p.packet {
		return
	}
	flow := func(t *Termios) bool {
		return t.Iflag&unix.IXON != 0 && t.Cc[unix.VSTOP] == 0o23 && t.Cc[unix.VSTART] == 0o21
	}
	extproc := (old.Lflag|now.Lflag)&unix.EXTPROC != 0
	if flow(old) == flow(now) && !extproc {
		return
	}
	set, clear := byte(pktNoStop), byte(pktDoStop)
	if flow(now) {
		set, clear = clear, set
	}
	if extproc {
		set |= pktIoctl
	}
	p.report(set, clear)
}

// report sets bits of the status byte in packet mode.
func (p *pty) report(set, clear byte) {
	if !p.packet {
		return
	}
	p.status = p.status&^clear | set
	p.queue.Notify(wait.Readable | wait.Pri)
}

func (p *pty) slaveClosed() { p.idle = true }

// master is the open file of a pty's master.
type master struct {
	vfs.BaseOps
	p *pty
}

// newPTY allocates a pseudo terminal and its node in devpts.
func newPTY(c vfs.Caller) (*master, error) {
	ptys.mu.Lock()
	defer ptys.mu.Unlock()
	if err := makeDevpts(c); err != nil {
		return nil, err
	}
	index := 0
	for index < len(ptys.table) && ptys.table[index] != nil {
		index++
	}
	p := &pty{index: index, locked: true}
	p.slave = newTerminal("/dev/pts/"+strconv.Itoa(index), p)
	if index == len(ptys.table) {
		ptys.table = append(ptys.table, p)
	} else {
		ptys.table[index] = p
	}
	cr := c.Cred()
	gid := ptys.gid
	if gid == ^uint32(0) {
		gid = uint32(cr.FSGID)
	}
	root := ptys.sb.Root
	name := strconv.Itoa(index)
	root.DirMu.Lock()
	_, err := root.Ops.Mknod(c, root, name, unix.S_IFCHR|ptys.mode, unix.Mkdev(ptsMajor, uint32(index)), uint32(cr.FSUID), gid)
	root.DirMu.Unlock()
	ptys.root.Forget(name)
	if err != nil {
		ptys.table[index] = nil
		return nil, err
	}
	return &master{p: p}, nil
}

// free removes a pseudo terminal whose master is gone.
func (p *pty) free() {
	ptys.mu.Lock()
	defer ptys.mu.Unlock()
	ptys.table[p.index] = nil
	root := ptys.sb.Root
	name := strconv.Itoa(p.index)
	root.DirMu.Lock()
	i, err := root.Ops.Lookup(nil, root, name)
	if err == nil {
		i.Get()
		_ = root.Ops.Unlink(nil, root, name, i)
	}
	root.DirMu.Unlock()
	ptys.root.Forget(name)
	if err == nil {
		i.Put() // the last, unless somebody has the node open
	}
}

// Read returns what the slave wrote; in packet mode behind a status byte.
func (m *master) Read(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, error) {
	p := m.p
	t := p.slave
	if b.Len() == 0 {
		return 0, nil
	}
	t.mu.Lock()
	if p.packet && p.status != 0 {
		s := [1]byte{p.status}
		p.status = 0
		t.mu.Unlock()
		return b.CopyOut(s[:])
	}
	if len(p.out) == 0 {
		idle := p.idle
		t.mu.Unlock()
		if idle {
			return 0, unix.EIO
		}
		return 0, unix.EAGAIN
	}
	head := 0
	if p.packet {
		if _, err := b.CopyOut([]byte{0}); err != nil {
			t.mu.Unlock()
			return 0, err
		}
		head = 1
	}
	n, err := b.CopyOut(p.out)
	p.out = append(p.out[:0], p.out[n:]...)
	t.unlock()
	if n > 0 {
		t.queue.Notify(wait.Writable)
	}
	if n+head > 0 {
		return n + head, nil
	}
	return 0, err
}

// Write is what is typed at the slave.
func (m *master) Write(_ vfs.Caller, _ *vfs.File, b *mm.Buffer, _ int64) (int, int64, error) {
	p := m.p
	t := p.slave
	var chunk [512]byte
	done := 0
	for b.Len() > 0 {
		peek := *b
		n := min(b.Len(), len(chunk))
		if _, err := peek.CopyIn(chunk[:n]); err != nil {
			if done > 0 {
				return done, 0, nil
			}
			return 0, 0, err
		}
		t.mu.Lock()
		took := t.receive(chunk[:n])
		t.unlock()
		done += took
		if took < n {
			_, _ = b.CopyIn(chunk[:took])
			return done, 0, unix.EAGAIN
		}
		*b = peek
	}
	return done, 0, nil
}

// Poll reports output of the slave, its status in packet mode, and its end.
func (m *master) Poll(*vfs.File) wait.Events {
	p := m.p
	t := p.slave
	t.mu.Lock()
	defer t.mu.Unlock()
	var ev wait.Events
	if len(p.out) > 0 {
		ev |= wait.Readable
	}
	if p.packet && p.status != 0 {
		ev |= wait.Readable | wait.Pri
	}
	if p.idle {
		ev |= wait.Hup
	}
	if len(t.pending) < outputSize {
		ev |= wait.Writable
	}
	return ev
}

func (m *master) Queue(*vfs.File) *wait.Queue { return &m.p.queue }

// Ioctl serves the master's own requests and passes the rest to the slave.
func (m *master) Ioctl(c vfs.Caller, f *vfs.File, request uint32, arg uintptr) (uintptr, error) {
	p := m.p
	t := p.slave
	a := mm.Addr(arg)
	as := c.AddressSpace()
	switch request {
	case tiocgptn:
		return 0, as.Store32(a, uint32(p.index))
	case tiocsptlck, tiocpkt:
		n, err := as.Load32(a)
		if err != nil {
			return 0, err
		}
		t.mu.Lock()
		if request == tiocsptlck {
			p.locked = n != 0
		} else {
			if n != 0 && !p.packet {
				p.status = 0
			}
			p.packet = n != 0
		}
		t.mu.Unlock()
		return 0, nil
	case tiocgptlck, tiocgpkt:
		t.mu.Lock()
		on := p.locked
		if request == tiocgpkt {
			on = p.packet
		}
		t.mu.Unlock()
		return 0, as.Store32(a, truth(on))
	case tiocsig:
		sig := int(int32(arg))
		if sig != int(unix.SIGINT) && sig != int(unix.SIGQUIT) && sig != int(unix.SIGTSTP) {
			return 0, unix.EINVAL
		}
		t.mu.Lock()
		t.signals = append(t.signals, sig)
		t.unlock()
		return 0, nil
	case tiocgptpeer:
		return p.openPeer(c, uint32(arg))
	case tiocinq:
		t.mu.Lock()
		n := len(p.out)
		t.mu.Unlock()
		return 0, as.Store32(a, uint32(n))
	case tiocoutq:
		t.mu.Lock()
		n := len(t.pending)
		t.mu.Unlock()
		return 0, as.Store32(a, uint32(n))
	case tiocsctty:
		return 0, unix.EIO
	case tcflsh:
		switch int(arg) {
		case unix.TCIFLUSH, unix.TCIOFLUSH, unix.TCOFLUSH:
		default:
			return 0, unix.EINVAL
		}
		t.mu.Lock()
		if int(arg) != unix.TCOFLUSH {
			p.out = p.out[:0]
		}
		if int(arg) != unix.TCIFLUSH {
			t.pending = t.pending[:0]
		}
		t.mu.Unlock()
		return 0, nil
	case tcxonc, tcsbrk, tcsbrkp:
		return 0, nil
	}
	return t.ioctl(c, request, arg, true)
}

// openPeer serves TIOCGPTPEER.
func (p *pty) openPeer(c vfs.Caller, flags uint32) (uintptr, error) {
	in, ok := c.(Installer)
	if !ok {
		return 0, unix.EIO
	}
	f, err := vfs.Open(c, p.slave.name, flags&^unix.O_CREAT, 0)
	if err != nil {
		return 0, err
	}
	fd, err := in.InstallFile(f, flags&unix.O_CLOEXEC != 0)
	return uintptr(fd), err
}

// Release hangs the slave up.
func (m *master) Release(*vfs.File) {
	p := m.p
	t := p.slave
	t.mu.Lock()
	p.closed, t.lineGone = true, true
	p.out = nil
	t.mu.Unlock()
	t.hangup()
	p.free()
}

// openPTS opens the slave with the node's minor number.
func openPTS(c vfs.Caller, f *vfs.File) (vfs.FileOps, error) {
	index := int(unix.Minor(f.Inode.Attr().Rdev))
	ptys.mu.Lock()
	var p *pty
	if index < len(ptys.table) {
		p = ptys.table[index]
	}
	ptys.mu.Unlock()
	if p == nil {
		return nil, unix.EIO
	}
	t := p.slave
	t.mu.Lock()
	if p.locked || p.closed {
		t.mu.Unlock()
		return nil, unix.EIO
	}
	p.idle = false
	t.mu.Unlock()
	return t.open(c, f, false)
}

// openAux opens /dev/tty, /dev/console and /dev/ptmx.
func openAux(c vfs.Caller, f *vfs.File) (vfs.FileOps, error) {
	switch unix.Minor(f.Inode.Attr().Rdev) {
	case minorTTY:
		t := of(c)
		if t == nil {
			return nil, unix.ENXIO
		}
		return t.open(c, f, true)
	case minorConsole:
		t := theConsole.Load()
		if t == nil {
			return nil, unix.ENXIO
		}
		return t.open(c, f, true)
	case minorPtmx:
		m, err := newPTY(c)
		if err != nil {
			return nil, err
		}
		return m, nil
	}
	return nil, unix.ENXIO
}

// makeDevpts makes the file system behind all mounts of devpts. ptys.mu is
// held.
func makeDevpts(c vfs.Caller) error {
	if ptys.sb != nil {
		return nil
	}
	sb, err := tmpfs.New("mode=755")
	if err != nil {
		return err
	}
	sb.Type, sb.Source, sb.Magic = "devpts", "devpts", unix.DEVPTS_SUPER_MAGIC
	sb.Release, sb.Remount, sb.Options = nil, nil, nil
	root := sb.Root
	root.DirMu.Lock()
	_, err = root.Ops.Mknod(c, root, "ptmx", unix.S_IFCHR, unix.Mkdev(auxMajor, minorPtmx), 0, 0)
	root.DirMu.Unlock()
	if err != nil {
		return err
	}
	ptys.sb, ptys.root = sb, sb.RootDentry()
	if ptys.mode == 0 {
		ptys.mode, ptys.gid = 0o600, ^uint32(0)
	}
	return nil
}

// mount serves mount(2) of devpts. There is one instance; options of a later
// mount hold for new terminals.
func mount(c vfs.Caller, _ string, _ uint32, data string) (*vfs.Superblock, error) {
	ptys.mu.Lock()
	defer ptys.mu.Unlock()
	if err := makeDevpts(c); err != nil {
		return nil, err
	}
	for data != "" {
		opt := data
		data = ""
		for i := range opt {
			if opt[i] == ',' {
				opt, data = opt[:i], opt[i+1:]
				break
			}
		}
		if len(opt) > 4 && opt[:4] == "gid=" {
			if n, err := strconv.ParseUint(opt[4:], 10, 32); err == nil {
				ptys.gid = uint32(n)
			}
		}
		if len(opt) > 5 && opt[:5] == "mode=" {
			if n, err := strconv.ParseUint(opt[5:], 8, 12); err == nil {
				ptys.mode = uint32(n)
			}
		}
	}
	return ptys.sb, nil
}

// Register makes devpts known and terminals openable.
func Register() {
	vfs.RegisterFS(&vfs.FSType{Name: "devpts", NoDevice: true, Mount: mount})
	vfs.RegisterDevice(unix.S_IFCHR, ptsMajor, vfs.AnyMinor, openPTS)
	vfs.RegisterDevice(unix.S_IFCHR, auxMajor, vfs.AnyMinor, openAux)
}
