package task

import "sync/atomic"

// This file is what only /proc asks.

// Self is the thread itself, for who has it as a vfs.Caller.
func (t *Thread) Self() *Thread { return t }

// ended sums up the CPU time of threads that are gone.
var ended struct{ user, sys atomic.Int64 }

func countEnded(t *Thread) {
	user, sys := t.time.split()
	ended.user.Add(user)
	ended.sys.Add(sys)
}

// TotalCPUTime is the time that all threads since boot have used, in
// nanoseconds.
func TotalCPUTime() (user, sys int64) {
	user, sys = ended.user.Load(), ended.sys.Load()
	for _, p := range Processes() {
		p.mu.Lock()
		for _, t := range p.threads {
			if !t.gone {
				u, s := t.time.split()
				user, sys = user+u, sys+s
			}
		}
		p.mu.Unlock()
	}
	return user, sys
}

// TIDs returns the numbers of the threads that have not ended.
func (p *Process) TIDs() []int {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	n := make([]int, 0, len(p.threads))
	for _, t := range p.threads {
		if !t.gone || t == p.leader {
			n = append(n, t.TID)
		}
	}
	return n
}

// Number is the thread's number, for use by other threads.
func (t *Thread) Number() int {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	return t.TID
}

// Terminal is the controlling terminal of the process's session, as package
// tty stored it; nil when there is none.
func (p *Process) Terminal() any {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	if p.group == nil {
		return nil
	}
	return p.group.session.tty
}

// ExitSignal is what the parent is sent when the process ends.
func (p *Process) ExitSignal() int {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	return p.exitSignal
}

// ChildrenFaults are the page faults of the children that were waited for.
func (p *Process) ChildrenFaults() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reaped.faults
}

// Counts returns the thread's page faults, and its voluntary and involuntary
// context switches.
func (t *Thread) Counts() (faults, voluntary, involuntary int64) {
	return t.faults.Load(), t.voluntary.Load(), t.involuntary.Load()
}
