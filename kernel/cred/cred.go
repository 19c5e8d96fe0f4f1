// Package cred holds the credentials of a process as credentials(7)
// describes them. A Cred is immutable once published: who changes one
// clones, edits and replaces it, so that readers need no lock.
package cred

// UID and GID are user and group numbers.
type (
	UID uint32
	GID uint32
)

// CapSet is a set of capabilities, bit n for capability n of capabilities(7).
type CapSet uint64

// AllCaps is every capability that Linux 6.1 defines (CAP_LAST_CAP is 40).
const AllCaps CapSet = 1<<41 - 1

// Cred is one immutable set of credentials.
type Cred struct {
	UID, EUID, SUID, FSUID UID
	GID, EGID, SGID, FSGID GID
	Groups                 []GID

	Permitted, Effective, Inheritable, Bounding, Ambient CapSet

	SecureBits uint32
	NoNewPrivs bool
}

// Root returns the credentials of the superuser with every capability.
func Root() *Cred {
	return &Cred{Permitted: AllCaps, Effective: AllCaps, Bounding: AllCaps}
}

// User returns the credentials of an ordinary user without capabilities.
func User(uid UID, gid GID, groups []GID) *Cred {
	if uid == 0 {
		c := Root()
		c.GID, c.EGID, c.SGID, c.FSGID, c.Groups = gid, gid, gid, gid, groups
		return c
	}
	return &Cred{
		UID: uid, EUID: uid, SUID: uid, FSUID: uid,
		GID: gid, EGID: gid, SGID: gid, FSGID: gid,
		Groups: groups, Bounding: AllCaps,
	}
}

// Clone returns a copy to edit before it is published.
func (c *Cred) Clone() *Cred {
	n := *c
	return &n
}

// Has reports whether capability n (CAP_*) is effective.
func (c *Cred) Has(n int) bool { return c.Effective&(1<<n) != 0 }

// InGroup reports whether gid is the file-system group or a supplementary one.
func (c *Cred) InGroup(gid GID) bool {
	if c.FSGID == gid {
		return true
	}
	for _, g := range c.Groups {
		if g == gid {
			return true
		}
	}
	return false
}
