package task

import (
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
)

// Out of memory. A fault that finds no frame kills the process that uses most
// (proc(5), oom_score), never the first one while there is another, and is
// tried again once memory has become free.

// oom serialises the killing, so that one shortage has one victim at a time.
var oom struct {
	mu     sync.Mutex
	victim *Process  // killed last; it may not have ended yet
	since  time.Time // when it was killed
}

// Patience with a victim: it may hold memory until a system call of it ends,
// and may even wait for a lock that whoever faults holds. After that long the
// next one is killed.
const (
	oomPoll     = time.Millisecond
	oomPatience = 200 * time.Millisecond
)

// ServeOutOfMemory makes the policy of this file that of mm, and serves the
// shortage of the kernel's own memory. It is called once at boot.
func ServeOutOfMemory() {
	mm.OutOfMemory = relieve
	go func() {
		for {
			cpu.WaitPressure()
			relievePressure()
		}
	}()
}

// relieve is mm.OutOfMemory: it reports whether to try again. as is nil when
// the kernel itself is short. It ends because each victim is killed once: when
// nobody is left, false.
func relieve(as *mm.AddressSpace) bool {
	for {
		if _, free := cpu.FrameStats(); free > 0 || mm.Reclaim(1) > 0 {
			return true
		}
		v := pickVictim()
		if v == nil || as != nil && v.memory() == as {
			return false
		}
		time.Sleep(oomPoll)
	}
}

// relievePressure frees memory for the kernel: caches, garbage, and when that
// is not enough a process.
func relievePressure() {
	const batch = 256
	if mm.Reclaim(batch) >= batch {
		return
	}
	debug.FreeOSMemory()
	if _, free := cpu.FrameStats(); free == 0 {
		relieve(nil)
	}
}

// pickVictim kills the process that uses most memory and returns it, or the
// last victim as long as there is hope that it ends. nil: there is nobody to
// kill.
func pickVictim() *Process {
	oom.mu.Lock()
	defer oom.mu.Unlock()
	if v := oom.victim; v != nil && v.memory() != nil {
		if time.Since(oom.since) < oomPatience {
			return v
		}
		v.oomTried = true
	}
	var worst *Process
	most := 0
	for _, p := range Processes() {
		if p.oomTried || p.memory() == nil {
			continue
		}
		if n := p.badness(); worst == nil || n > most {
			worst, most = p, n
		}
	}
	if worst != nil {
		worst.killForMemory()
	}
	oom.victim, oom.since = worst, time.Now()
	return worst
}

// oomScoreMin is OOM_SCORE_ADJ_MIN, which exempts a process.
const oomScoreMin = -1000

// lastChoice is what is taken off the badness of the first process; who is
// exempt is worth less still.
const lastChoice = 1 << 40

// OOMKills counts the processes that were killed for their memory.
var OOMKills atomic.Int64

// Note is told, in one line, what users may want to know and no program is
// told. It is set at boot.
var Note = func(text string) {}

// badness is how good a victim the process is: the memory that its end would
// free, in pages, moved by oom_score_adj thousandths of all memory.
func (p *Process) badness() int {
	as := p.memory()
	if as == nil {
		return -1 << 62 // it has ended since its memory was looked at
	}
	total, _ := cpu.FrameStats()
	n := int(as.ResidentPages()+as.TablePages()) + p.OOMScoreAdj()*total/1000
	switch {
	case p == InitProcess():
		n -= lastChoice // its end is the machine's
	case p.OOMScoreAdj() == oomScoreMin:
		n -= 2 * lastChoice
	}
	return n
}

// memory is the process's address space, nil once the last thread has left it.
func (p *Process) memory() *mm.AddressSpace {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mem
}

// killForMemory kills the process with a report that says why.
func (p *Process) killForMemory() {
	resident := uint64(0)
	if as := p.memory(); as != nil {
		resident = as.ResidentPages() * (mm.PageSize / 1024)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.exiting && p.mem != nil {
		OOMKills.Add(1)
		go Note("out of memory: killed process " + strconv.Itoa(p.tgid) + " (" + p.leader.Name() + "), " +
			strconv.FormatUint(resident, 10) + " kB resident, oom_score_adj " + strconv.Itoa(p.OOMScoreAdj()))
	}
	if p.crash == nil && !p.exiting {
		p.crash = &Crash{Signal: int(unix.SIGKILL), PID: p.tgid, TID: p.tgid, Command: p.leader.Name(), Reason: "out of memory"}
	}
	p.exitGroup(int(unix.SIGKILL))
}

// outOfMemory ends the thread's process because memory has run out for it.
func (t *Thread) outOfMemory() {
	crash := t.crashReport(&SigInfo{Signo: int32(unix.SIGKILL)}, "out of memory")
	p := t.Process
	p.mu.Lock()
	if p.crash == nil || p.crash.Reason != "" {
		p.crash = crash
	}
	p.exitGroup(int(unix.SIGKILL))
	p.mu.Unlock()
}
