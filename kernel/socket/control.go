package socket

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
)

// Table is the descriptor table that control messages take files from and
// put files into; *vfs.FDTable implements it.
type Table interface {
	Get(fd int) (*vfs.File, error)
	Install(f *vfs.File, from int, cloexec bool, limit uint64) (int, error)
}

const (
	headerSize = 16 // struct cmsghdr
	maxRights  = 253
)

func align(n int) int { return (n + 7) &^ 7 }

// ParseControl decodes the control messages that a program sends into m. On
// an error the references it took are given up.
func ParseControl(c vfs.Caller, t Table, p []byte, m *Message) error {
	err := parseControl(c, t, p, m)
	if err != nil {
		m.Drop()
	}
	return err
}

func parseControl(c vfs.Caller, t Table, p []byte, m *Message) error {
	for len(p) >= headerSize {
		n := binary.NativeEndian.Uint64(p)
		level, typ := int32(binary.NativeEndian.Uint32(p[8:])), int32(binary.NativeEndian.Uint32(p[12:]))
		if n < headerSize || n > uint64(len(p)) {
			return unix.EINVAL
		}
		data := p[headerSize:n]
		switch {
		case level != unix.SOL_SOCKET:
			m.Control = append(m.Control, p[:min(align(int(n)), len(p))]...)
		case typ == unix.SCM_RIGHTS:
			if err := parseRights(t, data, m); err != nil {
				return err
			}
		case typ == unix.SCM_CREDENTIALS:
			if len(data) != 12 {
				return unix.EINVAL
			}
			cr := Creds{
				int32(binary.NativeEndian.Uint32(data)),
				binary.NativeEndian.Uint32(data[4:]), binary.NativeEndian.Uint32(data[8:]),
			}
			if !mayClaim(c, cr) {
				return unix.EPERM
			}
			m.Creds = &cr
		default:
			return unix.EINVAL
		}
		p = p[min(align(int(n)), len(p)):]
	}
	return nil
}

func parseRights(t Table, data []byte, m *Message) error {
	if len(m.Rights)+len(data)/4 > maxRights {
		return unix.EINVAL
	}
	for ; len(data) >= 4; data = data[4:] {
		f, err := t.Get(int(int32(binary.NativeEndian.Uint32(data))))
		if err != nil {
			return unix.EBADF
		}
		m.Rights = append(m.Rights, f)
	}
	return nil
}

// mayClaim reports whether c may send with the credentials cr (unix(7)).
func mayClaim(c vfs.Caller, cr Creds) bool {
	k := c.Cred()
	uid, gid := cr.UID, cr.GID
	return (int(cr.PID) == c.TGID() || k.Has(unix.CAP_SYS_ADMIN)) &&
		(uid == uint32(k.UID) || uid == uint32(k.EUID) || uid == uint32(k.SUID) || k.Has(unix.CAP_SETUID)) &&
		(gid == uint32(k.GID) || gid == uint32(k.EGID) || gid == uint32(k.SGID) || k.Has(unix.CAP_SETGID))
}

// EncodeControl turns what was received into at most room bytes of control
// messages, installing files in t. It gives up m's references and sets
// MSG_CTRUNC in m.Flags when something did not fit.
func EncodeControl(t Table, m *Message, room int, cloexec bool, limit uint64) []byte {
	var out []byte
	if m.Creds != nil {
		var p [12]byte
		binary.NativeEndian.PutUint32(p[:], uint32(m.Creds.PID))
		binary.NativeEndian.PutUint32(p[4:], m.Creds.UID)
		binary.NativeEndian.PutUint32(p[8:], m.Creds.GID)
		out = appendControl(out, m, room, unix.SOL_SOCKET, unix.SCM_CREDENTIALS, p[:])
	}
	if len(m.Rights) > 0 {
		out = encodeRights(out, t, m, room, cloexec, limit)
	}
	for p := m.Control; len(p) >= headerSize; {
		n := int(binary.NativeEndian.Uint64(p))
		level, typ := binary.NativeEndian.Uint32(p[8:]), binary.NativeEndian.Uint32(p[12:])
		out = appendControl(out, m, room, int(level), int(typ), p[headerSize:n])
		p = p[align(n):]
	}
	return out
}

// appendControl appends one message, cut to what fits.
func appendControl(out []byte, m *Message, room, level, typ int, data []byte) []byte {
	left := room - len(out)
	if left < headerSize {
		m.Flags |= unix.MSG_CTRUNC
		return out
	}
	n := headerSize + len(data)
	if n > left {
		m.Flags |= unix.MSG_CTRUNC
		n = left
	}
	out = binary.NativeEndian.AppendUint64(out, uint64(n))
	out = binary.NativeEndian.AppendUint32(out, uint32(level))
	out = binary.NativeEndian.AppendUint32(out, uint32(typ))
	out = append(out, data[:n-headerSize]...)
	for len(out)%8 != 0 && len(out) < room {
		out = append(out, 0)
	}
	return out
}

func encodeRights(out []byte, t Table, m *Message, room int, cloexec bool, limit uint64) []byte {
	fits := max((room-len(out)-headerSize)/4, 0)
	var fds []byte
	for i, f := range m.Rights {
		if i >= fits {
			break
		}
		fd, err := t.Install(f, 0, cloexec, limit)
		if err != nil {
			break
		}
		m.Rights[i] = nil
		fds = binary.NativeEndian.AppendUint32(fds, uint32(fd))
	}
	if len(fds) < 4*len(m.Rights) {
		m.Flags |= unix.MSG_CTRUNC
	}
	for _, f := range m.Rights {
		if f != nil {
			f.Put()
		}
	}
	m.Rights = nil
	if len(fds) == 0 {
		return out
	}
	return appendControl(out, m, room, unix.SOL_SOCKET, unix.SCM_RIGHTS, fds)
}
