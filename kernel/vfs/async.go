package vfs

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/cred"
	"husk/kernel/wait"
)

// Owner is whom F_SETOWN_EX names: Type is F_OWNER_TID, _PID or _PGRP.
type Owner struct {
	Type int32
	PID  int32
}

// The types of an Owner.
const (
	OwnerTID  = 0
	OwnerPID  = 1
	OwnerPGRP = 2
)

// ownership is an Owner with the rights of who named it.
type ownership struct {
	Owner
	uid, euid cred.UID
}

// IOSignal is what a file's owner is to be told with SIGIO or F_SETSIG's
// signal. UID and EUID are those of who named the owner, by which it is
// decided whether the signal may be sent.
type IOSignal struct {
	Owner
	UID, EUID cred.UID
	Signal    int32 // F_SETSIG's, 0 for plain SIGIO
	Code      int32 // POLL_IN…
	Band      wait.Events
	FD        int32
}

// The si_code of signals about files.
const (
	pollIn  = 1
	pollOut = 2
	pollMsg = 3
	pollErr = 4
	pollPri = 5
	pollHup = 6

	pollMsgBand = 0x400 // POLLMSG
)

// async is O_ASYNC of an open file, or F_NOTIFY of a directory. It belongs to
// the file and ends with it.
type async struct {
	file   *File
	waiter wait.Waiter
	watch  FileWatch
	queue  *wait.Queue
	fd     int32
	send   func(IOSignal)

	// Under asyncMu.
	next   *async
	queued bool
	events wait.Events // what happened
	msgs   int         // changes in a directory
}

// Signals are not sent where a queue announces events, since that is in the
// middle of somebody's locks: they are collected, and sent by the thread that
// caused them at the end of its write or else by a goroutine.
//
// asyncSend serialises the sending and comes before all locks; asyncMu guards
// the list and is a leaf.
var (
	asyncSend    sync.Mutex
	asyncMu      sync.Mutex
	asyncFirst   *async
	asyncPending atomic.Int32
)

// happened notes events, or a change in a directory. It may be called with any
// lock but asyncMu.
func (a *async) happened(ev wait.Events, msgs int) {
	asyncMu.Lock()
	a.events |= ev
	a.msgs += msgs
	first := !a.queued
	if first {
		a.queued = true
		a.next, asyncFirst = asyncFirst, a
		asyncPending.Add(1)
	}
	asyncMu.Unlock()
	if first {
		go SendAsync()
	}
}

// SendAsync sends what was collected, if anything was.
func SendAsync() {
	if asyncPending.Load() == 0 {
		return
	}
	asyncSend.Lock()
	defer asyncSend.Unlock()
	for {
		asyncMu.Lock()
		a := asyncFirst
		if a == nil {
			asyncMu.Unlock()
			return
		}
		ev, msgs := a.events, a.msgs
		a.events, a.msgs, a.queued, asyncFirst = 0, 0, false, a.next
		asyncMu.Unlock()
		a.signal(ev, msgs)
		asyncPending.Add(-1)
	}
}

// signal sends one signal for each kind of event.
func (a *async) signal(ev wait.Events, msgs int) {
	o := a.file.owner.Load()
	if o == nil || !a.file.tryGet() {
		return
	}
	defer a.file.Put()
	s := IOSignal{Owner: o.Owner, UID: o.uid, EUID: o.euid, Signal: a.file.Signal(), FD: a.fd}
	for ; msgs > 0; msgs-- {
		s.Code, s.Band = pollMsg, wait.Readable|pollMsgBand
		a.send(s)
	}
	switch {
	case ev == 0:
	case a.file.Inode.Type() != unix.S_IFIFO:
		// What was announced may be more than what is so.
		if now := ev & a.file.Ops.Poll(a.file); now != 0 {
			ev = now
		}
	case a.file.readable(): // the ends of pipes do not say what happened
		ev = wait.Readable
	default:
		ev = wait.Writable
	}
	for _, k := range [...]struct {
		ev   wait.Events
		code int32
		band wait.Events
	}{
		{wait.Hup, pollHup, wait.Hup | wait.Err},
		{wait.Readable | wait.RdHup, pollIn, wait.Readable},
		{wait.Writable, pollOut, wait.Writable | wait.WrBand},
		{wait.Pri, pollPri, wait.Pri | wait.RdBand},
		{wait.Err, pollErr, wait.Err},
	} {
		if ev&k.ev != 0 {
			s.Code, s.Band = k.code, k.band
			a.send(s)
			return
		}
	}
}

// SetAsync makes O_ASYNC, which SetStatusFlags stores, take effect: fd is the
// number that signals carry and send sends them. Files other than pipes,
// sockets, terminals and inotify have the flag and send nothing, as on Linux.
func (f *File) SetAsync(fd int32, send func(IOSignal)) {
	on := f.flags.Load()&unix.O_ASYNC != 0
	asyncSend.Lock()
	defer asyncSend.Unlock()
	a := f.async.Load()
	if a != nil {
		a.fd = fd
	}
	if on == (a != nil) {
		return
	}
	if !on {
		f.Unwatch(&a.watch)
		a.stop()
		return
	}
	_, isInotify := f.Ops.(*Inotify)
	switch f.Inode.Type() {
	case unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR:
	default:
		if !isInotify {
			return
		}
	}
	q := f.Ops.Queue(f)
	if q == nil {
		return
	}
	var mask wait.Events
	if f.readable() {
		mask |= wait.Readable | wait.Pri | wait.RdHup
	}
	if f.writable() {
		mask |= wait.Writable
	}
	a = &async{file: f, queue: q, fd: fd, send: send}
	a.waiter = wait.Waiter{Mask: mask, Owner: a, Wake: func(w *wait.Waiter, ev wait.Events) bool {
		w.Owner.(*async).happened(ev&(w.Mask|wait.Err|wait.Hup), 0)
		return false
	}}
	a.watch.Gone = func(*FileWatch) { a.stop() }
	f.async.Store(a)
	f.Watch(&a.watch)
	q.Add(&a.waiter)
}

func (a *async) stop() {
	a.queue.Remove(&a.waiter)
	a.file.async.Store(nil)
}

// Owner returns what SetOwner set, nil if nothing.
func (f *File) Owner() *Owner {
	if o := f.owner.Load(); o != nil {
		return &o.Owner
	}
	return nil
}

// SetOwner serves F_SETOWN and F_SETOWN_EX for a caller with these users.
func (f *File) SetOwner(o Owner, uid, euid cred.UID) {
	f.owner.Store(&ownership{o, uid, euid})
}

// Signal is F_GETSIG's number; SetSignal sets it.
func (f *File) Signal() int32 { return f.sig.Load() }

// SetSignal serves F_SETSIG.
func (f *File) SetSignal(n int32) { f.sig.Store(n) }
