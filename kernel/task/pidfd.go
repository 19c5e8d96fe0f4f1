package task

import (
	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// pidFD is a descriptor that refers to a process (pidfd_open(2)). It is
// readable once the process has ended.
type pidFD struct {
	vfs.BaseOps
	p *Process
}

func newPIDFD(p *Process, flags uint32) *vfs.File {
	return vfs.NewAnonFile("[pidfd]", 0o600, unix.O_RDWR|flags, &pidFD{p: p})
}

// Poll implements vfs.FileOps.
func (f *pidFD) Poll(*vfs.File) wait.Events {
	if f.p.Ended() {
		return wait.Readable
	}
	return 0
}

// Queue implements vfs.FileOps.
func (f *pidFD) Queue(*vfs.File) *wait.Queue { return &f.p.ended }

// Ended reports whether all threads of the process have ended.
func (p *Process) Ended() bool {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	return p.state != alive
}

// Exiting reports whether the process has begun to end.
func (p *Process) Exiting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exiting || p.live == 0
}

// Reaped reports whether the process has been waited for.
func (p *Process) Reaped() bool {
	tasks.mu.RLock()
	reaped := p.state == dead
	tasks.mu.RUnlock()
	return reaped
}

// PIDFDOpen serves pidfd_open(2) but for installing the file.
func (t *Thread) PIDFDOpen(pid int, flags uint32) (*vfs.File, error) {
	if flags&^unix.PIDFD_NONBLOCK != 0 || pid <= 0 {
		return nil, unix.EINVAL
	}
	tasks.mu.RLock()
	e := lookup(pid)
	tasks.mu.RUnlock()
	if e.process == nil {
		if e.thread != nil {
			return nil, unix.EINVAL // a thread that leads no process
		}
		return nil, unix.ESRCH
	}
	return newPIDFD(e.process, flags), nil
}

// PIDFDProcess returns the process that a pidfd refers to, EBADF if f is none.
func PIDFDProcess(f *vfs.File) (*Process, error) {
	o, ok := f.Ops.(*pidFD)
	if !ok {
		return nil, unix.EBADF
	}
	return o.p, nil
}

// Leader returns the process's leading thread, which may have ended.
func (p *Process) Leader() *Thread {
	p.mu.Lock()
	leader := p.leader
	p.mu.Unlock()
	return leader
}
