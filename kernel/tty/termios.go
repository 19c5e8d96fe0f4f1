package tty

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Termios are the settings of a terminal: the kernel's struct termios2.
type Termios struct {
	Iflag, Oflag, Cflag, Lflag uint32
	Line                       uint8
	Cc                         [19]uint8
	Ispeed, Ospeed             uint32
}

// Sizes of the structures that programs pass.
const (
	termiosSize  = 36
	termios2Size = 44
	termioSize   = 18
)

// standard are tty_std_termios of Linux.
var standard = Termios{
	Iflag: unix.ICRNL | unix.IXON,
	Oflag: unix.OPOST | unix.ONLCR,
	Cflag: unix.B38400 | unix.CS8 | unix.CREAD,
	Lflag: unix.ISIG | unix.ICANON | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHOCTL | unix.ECHOKE | unix.IEXTEN,
	Cc: [19]uint8{
		unix.VINTR: 'C' - '@', unix.VQUIT: '\\' - '@', unix.VERASE: 0x7f, unix.VKILL: 'U' - '@',
		unix.VEOF: 'D' - '@', unix.VMIN: 1, unix.VSTART: 'Q' - '@', unix.VSTOP: 'S' - '@',
		unix.VSUSP: 'Z' - '@', unix.VREPRINT: 'R' - '@', unix.VDISCARD: 'O' - '@',
		unix.VWERASE: 'W' - '@', unix.VLNEXT: 'V' - '@',
	},
	Ispeed: 38400, Ospeed: 38400,
}

// encode writes as much of the structure as b holds.
func (t *Termios) encode(b []byte) {
	le := binary.LittleEndian
	var p [termios2Size]byte
	le.PutUint32(p[0:], t.Iflag)
	le.PutUint32(p[4:], t.Oflag)
	le.PutUint32(p[8:], t.Cflag)
	le.PutUint32(p[12:], t.Lflag)
	p[16] = t.Line
	copy(p[17:36], t.Cc[:])
	le.PutUint32(p[36:], t.Ispeed)
	le.PutUint32(p[40:], t.Ospeed)
	copy(b, p[:])
}

// decode reads a struct termios or termios2 over t.
func (t *Termios) decode(b []byte) {
	le := binary.LittleEndian
	t.Iflag, t.Oflag = le.Uint32(b), le.Uint32(b[4:])
	t.Cflag, t.Lflag = le.Uint32(b[8:]), le.Uint32(b[12:])
	t.Line = b[16]
	copy(t.Cc[:], b[17:36])
	if len(b) >= termios2Size {
		t.Ispeed, t.Ospeed = le.Uint32(b[36:]), le.Uint32(b[40:])
	}
	t.setSpeeds()
}

// encodeOld and decodeOld are for struct termio, of 16-bit flags.
func (t *Termios) encodeOld(b []byte) {
	le := binary.LittleEndian
	le.PutUint16(b[0:], uint16(t.Iflag))
	le.PutUint16(b[2:], uint16(t.Oflag))
	le.PutUint16(b[4:], uint16(t.Cflag))
	le.PutUint16(b[6:], uint16(t.Lflag))
	b[8] = t.Line
	copy(b[9:17], t.Cc[:8])
}

func (t *Termios) decodeOld(b []byte) {
	le := binary.LittleEndian
	low := func(old uint32, n uint16) uint32 { return old&0xffff0000 | uint32(n) }
	t.Iflag = low(t.Iflag, le.Uint16(b[0:]))
	t.Oflag = low(t.Oflag, le.Uint16(b[2:]))
	t.Cflag = low(t.Cflag, le.Uint16(b[4:]))
	t.Lflag = low(t.Lflag, le.Uint16(b[6:]))
	t.Line = b[8]
	copy(t.Cc[:8], b[9:17])
	t.setSpeeds()
}

// speeds are the rates of the B constants, in the order of their codes.
var speeds = [...]uint32{
	0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400,
	57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000,
	2000000, 2500000, 3000000, 3500000, 4000000,
}

const bother = 0x1000 // BOTHER: the rate is in c_ospeed

// setSpeeds makes the rates follow the codes in Cflag.
func (t *Termios) setSpeeds() {
	code := t.Cflag & unix.CBAUD
	if code != bother {
		t.Ospeed = speed(code, t.Ospeed)
	}
	in := t.Cflag >> 16 & unix.CBAUD
	switch in {
	case 0:
		t.Ispeed = t.Ospeed
	case bother:
	default:
		t.Ispeed = speed(in, t.Ispeed)
	}
}

func speed(code, old uint32) uint32 {
	i := code & 0xf
	if code&bother != 0 {
		i += 15
	}
	if int(i) < len(speeds) {
		return speeds[i]
	}
	return old
}
