package netlink

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// The protocols of a kernel that has nothing to tell: device events of a
// machine in which no device comes or goes, audit that is off, and generic
// netlink with its own family alone.

// event takes an event that a program makes up, as systemd does to test: only
// the superuser may, and nobody would act on it.
func event(r *request) error {
	if !r.c.Cred().Has(unix.CAP_SYS_ADMIN) {
		return unix.EPERM
	}
	return unix.EINVAL
}

// The types of audit messages.
const (
	auditGet          = 1000
	auditSet          = 1001
	auditList         = 1002
	auditDel          = 1004
	auditUser         = 1005
	auditSignalInfo   = 1010
	auditAddRule      = 1011
	auditDelRule      = 1012
	auditListRules    = 1013
	auditTrim         = 1014
	auditMakeEquiv    = 1015
	auditTTYGet       = 1016
	auditTTYSet       = 1017
	auditSetFeature   = 1018
	auditGetFeature   = 1019
	auditFirstUser    = 1100
	auditLastUser     = 1199
	auditFirstUser2   = 2100
	auditLastUser2    = 2999
	auditStatusSize   = 44
	auditFeatureSize  = 16
	auditBacklogLimit = 64
)

// audit serves NETLINK_AUDIT with auditing off: what programs report is
// accepted and forgotten.
func audit(r *request) error {
	user := r.typ == auditUser || r.typ >= auditFirstUser && r.typ <= auditLastUser || r.typ >= auditFirstUser2 && r.typ <= auditLastUser2
	switch {
	case r.typ >= auditList && r.typ <= auditDel:
		return unix.EOPNOTSUPP
	case user:
		if !r.c.Cred().Has(unix.CAP_AUDIT_WRITE) {
			return unix.EPERM
		}
		return nil
	case r.typ != auditGet && r.typ != auditSet && r.typ != auditSignalInfo && (r.typ < auditAddRule || r.typ > auditGetFeature):
		return unix.EINVAL
	}
	if !r.c.Cred().Has(unix.CAP_AUDIT_CONTROL) {
		return unix.EPERM
	}
	var b builder
	switch r.typ {
	case auditGet:
		b.begin(auditGet, 0, r)
		v := b.zeros(auditStatusSize)
		binary.NativeEndian.PutUint32(v[8:], 1)                  // failure: printk
		binary.NativeEndian.PutUint32(v[20:], auditBacklogLimit) // backlog_limit
		binary.NativeEndian.PutUint32(v[32:], 0x7f)              // feature_bitmap
		binary.NativeEndian.PutUint32(v[36:], 60000)             // backlog_wait_time
	case auditGetFeature:
		b.begin(auditGetFeature, 0, r)
		b.zeros(auditFeatureSize)[0] = 1
	case auditListRules:
		b.begin(unix.NLMSG_DONE, unix.NLM_F_MULTI, r)
	case auditSignalInfo:
		b.begin(auditSignalInfo, 0, r)
		b.zeros(8)
	case auditTTYGet:
		b.begin(auditTTYGet, 0, r)
		b.zeros(8)
	case auditTrim, auditSet, auditTTYSet, auditSetFeature, auditAddRule, auditDelRule, auditMakeEquiv:
		return nil
	default:
		return unix.EINVAL
	}
	b.end()
	r.reply(&b)
	return nil
}

// Generic netlink.
const (
	controlID    = 0x10 // GENL_ID_CTRL
	controlName  = "nlctrl"
	controlGroup = 0x10 // its group "notify"
	genericSize  = 4    // struct genlmsghdr
)

func generic(r *request) error {
	if r.typ != controlID {
		return unix.ENOENT
	}
	if len(r.body) < genericSize {
		return unix.EINVAL
	}
	if r.body[0] != unix.CTRL_CMD_GETFAMILY {
		return unix.EOPNOTSUPP
	}
	a, err := parse(r.body[genericSize:], false)
	if err != nil {
		return err
	}
	var b builder
	if r.dumps() {
		control(&b, r, unix.NLM_F_MULTI)
		return r.dump(&b, 0)
	}
	switch id, name := a.get(unix.CTRL_ATTR_FAMILY_ID), a.get(unix.CTRL_ATTR_FAMILY_NAME); {
	case id == nil && name == nil:
		return unix.EINVAL
	case id != nil && len(id) < 2:
		return unix.ERANGE
	case name != nil && a.str(unix.CTRL_ATTR_FAMILY_NAME) != controlName:
		return unix.ENOENT
	case name == nil && binary.NativeEndian.Uint16(id) != controlID:
		return unix.ENOENT
	}
	control(&b, r, 0)
	r.reply(&b)
	return nil
}

// control describes the family that describes families.
func control(b *builder, r *request, flags uint16) {
	b.begin(controlID, flags, r)
	h := b.zeros(genericSize)
	h[0], h[1] = unix.CTRL_CMD_NEWFAMILY, 2
	b.str(unix.CTRL_ATTR_FAMILY_NAME, controlName)
	b.u16(unix.CTRL_ATTR_FAMILY_ID, controlID)
	b.u32(unix.CTRL_ATTR_VERSION, 2)
	b.u32(unix.CTRL_ATTR_HDRSIZE, 0)
	b.u32(unix.CTRL_ATTR_MAXATTR, 0)
	ops := b.nest(unix.CTRL_ATTR_OPS)
	op := b.nest(1)
	b.u32(unix.CTRL_ATTR_OP_ID, unix.CTRL_CMD_GETFAMILY)
	b.u32(unix.CTRL_ATTR_OP_FLAGS, 0xe) // with a call, a dump and a policy
	b.close(op)
	b.close(ops)
	groups := b.nest(unix.CTRL_ATTR_MCAST_GROUPS)
	g := b.nest(1)
	b.u32(unix.CTRL_ATTR_MCAST_GRP_ID, controlGroup)
	b.str(unix.CTRL_ATTR_MCAST_GRP_NAME, "notify")
	b.close(g)
	b.close(groups)
	b.end()
}
