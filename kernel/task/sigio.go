package task

import (
	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
)

// SignalIO tells the owner of a file of an event on it: with SIGIO, or with
// the signal that F_SETSIG named, and with SIGIO after all if there is no room
// to queue that (fcntl(2)).
func SignalIO(s vfs.IOSignal) {
	forOwner(s.Owner, func(t *Thread, signal func(*SigInfo) error) { sendIO(&s, t, signal) })
}

// SignalUrgent sends SIGURG to the owner of a socket.
func SignalUrgent(f *vfs.File) {
	forOwner(*f.Owner(), func(_ *Thread, signal func(*SigInfo) error) {
		_ = signal(&SigInfo{Signo: int32(unix.SIGURG), Code: siKernel})
	})
}

// forOwner calls f with each thread or process that o names.
func forOwner(o vfs.Owner, f func(*Thread, func(*SigInfo) error)) {
	switch o.Type {
	case vfs.OwnerTID:
		if t := FindThread(int(o.PID)); t != nil {
			f(t, t.Signal)
		}
	case vfs.OwnerPID:
		if p := FindProcess(int(o.PID)); p != nil {
			f(p.Leader(), p.Signal)
		}
	default:
		tasks.mu.RLock()
		var members []*Process
		if g := lookup(int(o.PID)).group; g != nil {
			members = append(members, g.members...)
		}
		tasks.mu.RUnlock()
		for _, p := range members {
			f(p.Leader(), p.Signal)
		}
	}
}

func sendIO(s *vfs.IOSignal, target *Thread, signal func(*SigInfo) error) {
	if o := target.Cred(); s.EUID != 0 && s.EUID != o.SUID && s.EUID != o.UID && s.UID != o.SUID && s.UID != o.UID {
		return
	}
	if s.Signal != 0 {
		si := &SigInfo{Signo: s.Signal, Code: s.Code}
		si.Fields[0], si.Fields[1] = uint64(s.Band), uint64(s.FD)
		if signal(si) == nil {
			return
		}
	}
	_ = signal(&SigInfo{Signo: int32(unix.SIGIO), Code: siKernel})
}
