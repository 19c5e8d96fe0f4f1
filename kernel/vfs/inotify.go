package vfs

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// The events that hooks report; inotify(7).
const (
	inAccess       = unix.IN_ACCESS
	inModify       = unix.IN_MODIFY
	inAttrib       = unix.IN_ATTRIB
	inCloseWrite   = unix.IN_CLOSE_WRITE
	inCloseNoWrite = unix.IN_CLOSE_NOWRITE
	inOpen         = unix.IN_OPEN
	inCreate       = unix.IN_CREATE
	inDelete       = unix.IN_DELETE
	inIsDir        = unix.IN_ISDIR
)

// watching counts all inotify watches there are: hooks look at it first.
var watching atomic.Int32

type watchSet struct{}

func (i *Inode) forgetWatches()                                                                 {}
func (f *File) notify(ev uint32)                                                                {}
func notifyDir(dir *Inode, name string, ev uint32)                                              {}
func notifyInode(i *Inode, ev uint32)                                                           {}
func notifyPath(p Path, ev uint32)                                                              {}
func notifyMove(dir *Inode, name string, newDir *Inode, newName string, i *Inode, isDir uint32) {}
