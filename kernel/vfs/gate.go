package vfs

import "sync/atomic"

// gate is at most one file whose openers may have to wait.
var gate atomic.Pointer[gated]

type gated struct {
	inode *Inode
	wait  func(Caller) error
}

// SetGate has wait called before f's file is opened by anybody. f stays open
// for ever, so that the file keeps its inode. It is for /etc/resolv.conf of a
// machine that still asks which name servers there are.
func SetGate(f *File, wait func(Caller) error) { gate.Store(&gated{f.Inode, wait}) }

// pass waits at the gate, if i is the file that it is before.
func (i *Inode) pass(c Caller) error {
	if g := gate.Load(); g != nil && g.inode == i {
		return g.wait(c)
	}
	return nil
}
