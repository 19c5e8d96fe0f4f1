package syscalls

import (
	"slices"

	"golang.org/x/sys/unix"

	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/task"
)

func credUID(v int32) cred.UID { return cred.UID(uint32(v)) }

// keep is the value of an argument that leaves a number as it is.
const keep = ^uint32(0)

func (t Thread) getuid() (int, error)  { return int(t.Cred().UID), nil }
func (t Thread) geteuid() (int, error) { return int(t.Cred().EUID), nil }
func (t Thread) getgid() (int, error)  { return int(t.Cred().GID), nil }
func (t Thread) getegid() (int, error) { return int(t.Cred().EGID), nil }

// Bits of cred.SecureBits, capabilities(7).
const (
	secNoRoot         = 1 << 0
	secNoSetuidFixup  = 1 << 2
	secKeepCaps       = 1 << 4
	secKeepCapsLocked = 1 << 5
	secNoAmbientRaise = 1 << 6
	secAllBits        = 1<<8 - 1
	secAllLocks       = 0xaa
	fsCaps            = cred.CapSet(1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID | 1<<unix.CAP_LINUX_IMMUTABLE | 1<<unix.CAP_MKNOD | 1<<unix.CAP_MAC_OVERRIDE)
	capLast           = unix.CAP_CHECKPOINT_RESTORE
)

// setUIDs publishes n, which has other user numbers than the current
// credentials, with the effect on capabilities that capabilities(7) describes.
func (t Thread) setUIDs(n *cred.Cred) error {
	old := t.Cred()
	if n.UID != old.UID && n.UID != 0 && !old.Has(unix.CAP_SYS_RESOURCE) && t.OverNproc(n.UID) {
		return unix.EAGAIN
	}
	if n.SecureBits&secNoSetuidFixup == 0 {
		wasRoot := old.UID == 0 || old.EUID == 0 || old.SUID == 0
		isRoot := n.UID == 0 || n.EUID == 0 || n.SUID == 0
		if wasRoot && !isRoot {
			if n.SecureBits&secKeepCaps == 0 {
				n.Permitted, n.Effective = 0, 0
			}
			n.Ambient = 0
		}
		if old.EUID == 0 && n.EUID != 0 {
			n.Effective = 0
		}
		if old.EUID != 0 && n.EUID == 0 {
			n.Effective = n.Permitted
		}
	}
	t.SetCred(n)
	return nil
}

// setuid sets the effective, or with CAP_SETUID every, user (setuid(2)).
func (t Thread) setuid(uid uint32) error {
	u := cred.UID(uid)
	if uid == keep {
		return unix.EINVAL
	}
	n := t.Cred().Clone()
	if n.Has(unix.CAP_SETUID) {
		n.UID, n.SUID = u, u
	} else if u != n.UID && u != n.SUID {
		return unix.EPERM
	}
	n.EUID, n.FSUID = u, u
	return t.setUIDs(n)
}

// setreuid sets real and effective user (setreuid(2)).
func (t Thread) setreuid(ruid, euid uint32) error {
	old := t.Cred()
	n := old.Clone()
	capable := old.Has(unix.CAP_SETUID)
	if ruid != keep {
		if n.UID = cred.UID(ruid); n.UID != old.UID && n.UID != old.EUID && !capable {
			return unix.EPERM
		}
	}
	if euid != keep {
		if n.EUID = cred.UID(euid); n.EUID != old.UID && n.EUID != old.EUID && n.EUID != old.SUID && !capable {
			return unix.EPERM
		}
	}
	if ruid != keep || euid != keep && n.EUID != old.UID {
		n.SUID = n.EUID
	}
	n.FSUID = n.EUID
	return t.setUIDs(n)
}

// setresuid sets real, effective and saved user (setresuid(2)).
func (t Thread) setresuid(ruid, euid, suid uint32) error {
	old := t.Cred()
	n := old.Clone()
	for _, s := range [...]struct {
		v  uint32
		to *cred.UID
	}{{ruid, &n.UID}, {euid, &n.EUID}, {suid, &n.SUID}} {
		if s.v == keep {
			continue
		}
		if u := cred.UID(s.v); u != old.UID && u != old.EUID && u != old.SUID && !old.Has(unix.CAP_SETUID) {
			return unix.EPERM
		}
		*s.to = cred.UID(s.v)
	}
	n.FSUID = n.EUID
	return t.setUIDs(n)
}

// getresuid returns them (getresuid(2)).
func (t Thread) getresuid(ruid, euid, suid mm.Addr) error {
	c := t.Cred()
	return t.store32s([3]mm.Addr{ruid, euid, suid}, [3]uint32{uint32(c.UID), uint32(c.EUID), uint32(c.SUID)})
}

func (t Thread) store32s(at [3]mm.Addr, v [3]uint32) error {
	for i := range at {
		if err := t.store32(at[i], v[i]); err != nil {
			return err
		}
	}
	return nil
}

// setfsuid sets the file-system user and returns the old one (setfsuid(2)).
func (t Thread) setfsuid(uid uint32) (int, error) {
	old := t.Cred()
	u := cred.UID(uid)
	if uid != keep && u != old.FSUID && (u == old.UID || u == old.EUID || u == old.SUID || old.Has(unix.CAP_SETUID)) {
		n := old.Clone()
		n.FSUID = u
		if n.SecureBits&secNoSetuidFixup == 0 {
			if old.FSUID == 0 {
				n.Effective &^= fsCaps
			}
			if u == 0 {
				n.Effective |= n.Permitted & fsCaps
			}
		}
		t.SetCred(n)
	}
	return int(old.FSUID), nil
}

// setgid sets the effective, or with CAP_SETGID every, group (setgid(2)).
func (t Thread) setgid(gid uint32) error {
	g := cred.GID(gid)
	if gid == keep {
		return unix.EINVAL
	}
	n := t.Cred().Clone()
	if n.Has(unix.CAP_SETGID) {
		n.GID, n.SGID = g, g
	} else if g != n.GID && g != n.SGID {
		return unix.EPERM
	}
	n.EGID, n.FSGID = g, g
	t.SetCred(n)
	return nil
}

// setregid sets real and effective group (setregid(2)).
func (t Thread) setregid(rgid, egid uint32) error {
	old := t.Cred()
	n := old.Clone()
	capable := old.Has(unix.CAP_SETGID)
	if rgid != keep {
		if n.GID = cred.GID(rgid); n.GID != old.GID && n.GID != old.EGID && !capable {
			return unix.EPERM
		}
	}
	if egid != keep {
		if n.EGID = cred.GID(egid); n.EGID != old.GID && n.EGID != old.EGID && n.EGID != old.SGID && !capable {
			return unix.EPERM
		}
	}
	if rgid != keep || egid != keep && n.EGID != old.GID {
		n.SGID = n.EGID
	}
	n.FSGID = n.EGID
	t.SetCred(n)
	return nil
}

// setresgid sets real, effective and saved group (setresgid(2)).
func (t Thread) setresgid(rgid, egid, sgid uint32) error {
	old := t.Cred()
	n := old.Clone()
	for _, s := range [...]struct {
		v  uint32
		to *cred.GID
	}{{rgid, &n.GID}, {egid, &n.EGID}, {sgid, &n.SGID}} {
		if s.v == keep {
			continue
		}
		if g := cred.GID(s.v); g != old.GID && g != old.EGID && g != old.SGID && !old.Has(unix.CAP_SETGID) {
			return unix.EPERM
		}
		*s.to = cred.GID(s.v)
	}
	n.FSGID = n.EGID
	t.SetCred(n)
	return nil
}

// getresgid returns them (getresgid(2)).
func (t Thread) getresgid(rgid, egid, sgid mm.Addr) error {
	c := t.Cred()
	return t.store32s([3]mm.Addr{rgid, egid, sgid}, [3]uint32{uint32(c.GID), uint32(c.EGID), uint32(c.SGID)})
}

// setfsgid sets the file-system group and returns the old one (setfsgid(2)).
func (t Thread) setfsgid(gid uint32) (int, error) {
	old := t.Cred()
	g := cred.GID(gid)
	if gid != keep && g != old.FSGID && (g == old.GID || g == old.EGID || g == old.SGID || old.Has(unix.CAP_SETGID)) {
		n := old.Clone()
		n.FSGID = g
		t.SetCred(n)
	}
	return int(old.FSGID), nil
}

const maxGroups = 65536 // NGROUPS_MAX

// getgroups returns the supplementary groups (getgroups(2)).
func (t Thread) getgroups(size int32, list mm.Addr) (int, error) {
	groups := t.Cred().Groups
	if size < 0 || size > 0 && int(size) < len(groups) {
		return 0, unix.EINVAL
	}
	if size == 0 {
		return len(groups), nil
	}
	b := make([]byte, 4*len(groups))
	for i, g := range groups {
		le.PutUint32(b[4*i:], uint32(g))
	}
	return len(groups), t.copyOut(list, b)
}

// setgroups sets them (setgroups(2)).
func (t Thread) setgroups(size int32, list mm.Addr) error {
	c := t.Cred()
	if !c.Has(unix.CAP_SETGID) {
		return unix.EPERM
	}
	if size < 0 || size > maxGroups {
		return unix.EINVAL
	}
	b := make([]byte, 4*size)
	if err := t.copyIn(b, list); err != nil {
		return err
	}
	groups := make([]cred.GID, size)
	for i := range groups {
		groups[i] = cred.GID(le.Uint32(b[4*i:]))
		if uint32(groups[i]) == keep {
			return unix.EINVAL
		}
	}
	slices.Sort(groups)
	n := c.Clone()
	n.Groups = groups
	t.SetCred(n)
	return nil
}

// Versions of the capability header, capget(2).
const (
	capVersion1 = 0x19980330
	capVersion2 = 0x20071026
	capVersion3 = 0x20080522
)

// capHeader reads the header and returns the thread that it names and how
// many words of each set follow: 1 or 2. own says that it has to be the caller,
// done that the call ends with err.
func (t Thread) capHeader(hdr, data mm.Addr, own bool) (o *task.Thread, words int, done bool, err error) {
	var b [8]byte
	if err := t.copyIn(b[:], hdr); err != nil {
		return nil, 0, true, err
	}
	switch le.Uint32(b[:]) {
	case capVersion1:
		words = 1
	case capVersion2, capVersion3:
		words = 2
	default:
		if err := t.store32(hdr, capVersion3); err != nil {
			return nil, 0, true, err
		}
		if data == 0 {
			return nil, 0, true, nil // the program asked for the version
		}
		return nil, 0, true, unix.EINVAL
	}
	pid := int32(le.Uint32(b[4:]))
	if own && pid != 0 && int(pid) != t.TID {
		return nil, 0, true, unix.EPERM
	}
	if pid < 0 {
		return nil, 0, true, unix.EINVAL
	}
	o, err = t.threadOf(pid)
	return o, words, err != nil, err
}

// capget returns capabilities (capget(2)).
func (t Thread) capget(hdr, data mm.Addr) error {
	o, words, done, err := t.capHeader(hdr, data, false)
	if done || data == 0 {
		return err
	}
	c := o.Cred()
	var b [24]byte
	for i := range words {
		le.PutUint32(b[12*i:], uint32(c.Effective>>(32*i)))
		le.PutUint32(b[12*i+4:], uint32(c.Permitted>>(32*i)))
		le.PutUint32(b[12*i+8:], uint32(c.Inheritable>>(32*i)))
	}
	return t.copyOut(data, b[:12*words])
}

// capset sets the caller's capabilities (capget(2)).
func (t Thread) capset(hdr, data mm.Addr) error {
	_, words, done, err := t.capHeader(hdr, data, true)
	if done {
		return err
	}
	var b [24]byte
	if err := t.copyIn(b[:12*words], data); err != nil {
		return err
	}
	var e, p, i cred.CapSet
	for w := range words {
		e |= cred.CapSet(le.Uint32(b[12*w:])) << (32 * w)
		p |= cred.CapSet(le.Uint32(b[12*w+4:])) << (32 * w)
		i |= cred.CapSet(le.Uint32(b[12*w+8:])) << (32 * w)
	}
	e, p, i = e&cred.AllCaps, p&cred.AllCaps, i&cred.AllCaps
	c := t.Cred()
	switch {
	case !c.Has(unix.CAP_SETPCAP) && i&^(c.Inheritable|c.Permitted) != 0,
		i&^(c.Inheritable|c.Bounding) != 0, p&^c.Permitted != 0, e&^p != 0:
		return unix.EPERM
	}
	n := c.Clone()
	n.Effective, n.Permitted, n.Inheritable = e, p, i
	n.Ambient &= p & i
	t.SetCred(n)
	return nil
}
