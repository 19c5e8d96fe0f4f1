package task

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/cred"
	"husk/kernel/loader"
	"husk/kernel/mm"
)

// This file is what system calls and /proc ask about processes and the system.

// UnameInfo is what uname(2) tells.
type UnameInfo struct {
	Sysname, Nodename, Release, Version, Machine, Domainname string
}

// Release and Version are those of /proc/sys/kernel/osrelease and version.
const (
	Release = "6.1.0-husk"
	Version = "#1 SMP PREEMPT Husk"
)

var system struct {
	hostname, domainname atomic.Pointer[string]
	ended                atomic.Bool
}

// SetHostname and SetDomainname set what uname tells.
func SetHostname(s string) { system.hostname.Store(&s) }

// SetDomainname is described at SetHostname.
func SetDomainname(s string) { system.domainname.Store(&s) }

// Hostname is the name of the machine.
func Hostname() string {
	if p := system.hostname.Load(); p != nil {
		return *p
	}
	return "husk"
}

// Domainname is the NIS domain.
func Domainname() string {
	if p := system.domainname.Load(); p != nil {
		return *p
	}
	return "(none)"
}

// uname26 is UNAME26 of personality(2).
const uname26 = 0x0020000

// Uname identifies the system to a process.
func Uname(p *Process) UnameInfo {
	u := UnameInfo{"Linux", Hostname(), Release, Version, "x86_64", Domainname()}
	if p.personality.Load()&uname26 != 0 {
		u.Release = "2.6.61-husk"
	}
	return u
}

// EndMachine ends the machine as reboot(2) asks, as if the first process had
// exited with status 0.
func EndMachine() {
	if !system.ended.Swap(true) {
		onEnd(End{})
	}
}

// load is the load average, kept by sampling when it is asked for.
var load struct {
	sync.Mutex
	last int64
	avg  [3]uint64 // fixed point, 16 bits of fraction
}

// LoadAverage returns the load averages of 1, 5 and 15 minutes in fixed point
// with 16 bits of fraction, as sysinfo(2). They are brought up to date when
// asked for, in steps of five seconds, from the number of running threads.
func LoadAverage() [3]uint64 {
	load.Lock()
	defer load.Unlock()
	const step = 5 * clock.Second
	now := clock.Now()
	steps := (now - load.last) / step
	if steps <= 0 {
		return load.avg
	}
	load.last += steps * step
	running := uint64(Running()) << 16
	// e^-(5/60), e^-(5/300), e^-(5/900) with 11 bits of fraction.
	for i, e := range [3]uint64{1884, 2014, 2037} {
		for n := min(steps, 1000); n > 0; n-- {
			load.avg[i] = (load.avg[i]*e + running*(2048-e)) >> 11
		}
	}
	return load.avg
}

// Running is the number of threads that do not sleep.
func Running() int {
	n := 0
	for _, p := range Processes() {
		for _, t := range p.Threads() {
			if t.State() == 'R' {
				n++
			}
		}
	}
	return n
}

// State is the letter of /proc/PID/stat: R, S, T, t, Z or X.
func (t *Thread) State() byte {
	t.Process.mu.Lock()
	gone, stopped, traced := t.gone, t.stopped, t.traceStopped()
	t.Process.mu.Unlock()
	switch {
	case traced:
		return 't'
	case gone:
		return 'Z'
	case stopped:
		return 'T'
	case t.sleep.word.Load()&parked != 0:
		return 'S'
	}
	return 'R'
}

// State is the state of the process: that of its leader, or Z.
func (p *Process) State() byte {
	if p.Ended() {
		return 'Z'
	}
	return p.Leader().State()
}

// NumThreads is the number of threads that have not ended.
func (p *Process) NumThreads() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live
}

// Program tells what the loader knows of the running program; nil before the
// first exec.
func (p *Process) Program() *loader.Program {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.program
}

// ExitStatus is the wait status of a process that has ended.
func (p *Process) ExitStatus() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exitStatus
}

// Faults returns the page faults of the process, and its voluntary and
// involuntary context switches.
func (p *Process) Faults() (faults, voluntary, involuntary int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats()
	return s.faults, s.voluntary, s.involuntary
}

// SignalState is what /proc/PID/status shows of a thread's signals.
type SignalState struct {
	Pending, SharedPending, Blocked, Ignored, Caught SigSet
	Queued                                           int64
}

// SignalState returns the thread's signal sets.
func (t *Thread) SignalState() SignalState {
	p := t.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	s := SignalState{
		Pending: t.pending.set, SharedPending: p.shared.set, Blocked: t.blocked,
		Queued: t.user.sigpending.Load(),
	}
	h := p.handlers
	h.mu.Lock()
	defer h.mu.Unlock()
	for sig := 1; sig <= NSignals; sig++ {
		switch h.act[sig].Handler {
		case sigDfl:
		case sigIgn:
			s.Ignored |= sigBit(sig)
		default:
			s.Caught |= sigBit(sig)
		}
	}
	return s
}

// Children returns the numbers of the children that wait could find.
func (p *Process) Children() []int {
	tasks.mu.RLock()
	defer tasks.mu.RUnlock()
	var n []int
	for _, c := range p.children {
		if !c.adopted {
			n = append(n, c.tgid)
		}
	}
	return n
}

// Dumpable is PR_GET_DUMPABLE; SetDumpable changes it.
func (p *Process) Dumpable() int32 { return p.dumpable.Load() }

// SetDumpable is described at Dumpable.
func (p *Process) SetDumpable(v int32) { p.dumpable.Store(v) }

// Subreaper is PR_GET_CHILD_SUBREAPER; SetSubreaper changes it.
func (p *Process) Subreaper() bool { return p.subreaper.Load() }

// SetSubreaper is described at Subreaper.
func (p *Process) SetSubreaper(on bool) { p.subreaper.Store(on) }

// THPDisabled is PR_GET_THP_DISABLE; SetTHPDisabled changes it. There are no
// huge pages to disable.
func (p *Process) THPDisabled() bool { return p.thpDisabled.Load() }

// SetTHPDisabled is described at THPDisabled.
func (p *Process) SetTHPDisabled(on bool) { p.thpDisabled.Store(on) }

// OOMScoreAdj is /proc/PID/oom_score_adj; SetOOMScoreAdj changes it.
func (p *Process) OOMScoreAdj() int { return int(p.oomScoreAdj.Load()) }

// SetOOMScoreAdj is described at OOMScoreAdj.
func (p *Process) SetOOMScoreAdj(v int) { p.oomScoreAdj.Store(int32(v)) }

// Personality serves personality(2): it returns the old value and sets a new
// one unless that is 0xffffffff.
func (p *Process) Personality(v uint32) uint32 {
	if v == ^uint32(0) {
		return p.personality.Load()
	}
	return p.personality.Swap(v)
}

// DeathSignal is PR_GET_PDEATHSIG; SetDeathSignal changes it.
func (t *Thread) DeathSignal() int { return int(t.deathSignal.Load()) }

// SetDeathSignal is described at DeathSignal.
func (t *Thread) SetDeathSignal(sig int) { t.deathSignal.Store(int32(sig)) }

// TIDAddress is what SetTIDAddress set.
func (t *Thread) TIDAddress() mm.Addr { return t.clearTID }

// RobustList is what SetRobustList set: the head of the list of robust futexes
// that the thread holds.
func (t *Thread) RobustList() mm.Addr { return mm.Addr(t.robustList.Load()) }

// SetRobustList is described at RobustList.
func (t *Thread) SetRobustList(a mm.Addr) { t.robustList.Store(uint64(a)) }

// OverNproc reports whether a user has as many threads as RLIMIT_NPROC allows
// or more.
func (t *Thread) OverNproc(uid cred.UID) bool {
	return uint64(findUser(uid).processes.Load()) >= t.Process.Limit(RlimitNproc)
}

// The kinds of kcmp(2).
const (
	kcmpFile = iota
	kcmpVM
	kcmpFiles
	kcmpFS
	kcmpSighand
	kcmpIO
	kcmpSysvsem
)

// Compare serves kcmp(2): 0 when what the threads have is the same, else 1
// or 2 by an order that means nothing.
func Compare(a, b *Thread, kind int, idx1, idx2 uint64) (int, error) {
	var x, y any
	switch kind {
	case kcmpFile:
		fa, fb := a.FilesRef(), b.FilesRef()
		if fa == nil || fb == nil {
			return 0, unix.EBADF
		}
		defer fa.Unref(a)
		defer fb.Unref(b)
		f, err := fa.Get(int(idx1))
		if err != nil {
			return 0, unix.EBADF
		}
		defer f.Put()
		g, err := fb.Get(int(idx2))
		if err != nil {
			return 0, unix.EBADF
		}
		defer g.Put()
		x, y = f, g
	case kcmpVM:
		x, y = a.Process.peekMem(), b.Process.peekMem()
	case kcmpFiles:
		x, y = a.peekFiles(), b.peekFiles()
	case kcmpFS:
		x, y = a.peekFS(), b.peekFS()
	case kcmpSighand:
		x, y = a.Process.peekHandlers(), b.Process.peekHandlers()
	case kcmpSysvsem:
		x, y = a.peekSemUndo(), b.peekSemUndo()
	case kcmpIO:
		return 0, nil // nobody has an I/O context
	default:
		return 0, unix.EINVAL
	}
	switch wx, wy := objectWord(x), objectWord(y); {
	case wx == wy:
		return 0, nil
	case wx < wy:
		return 1, nil
	}
	return 2, nil
}

func (t *Thread) peekSemUndo() any {
	t.Process.mu.Lock()
	defer t.Process.mu.Unlock()
	return t.semUndo
}

func (p *Process) peekMem() any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mem
}

func (p *Process) peekHandlers() any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handlers
}

func (t *Thread) peekFiles() any {
	t.Process.mu.Lock()
	defer t.Process.mu.Unlock()
	return t.files
}

func (t *Thread) peekFS() any {
	t.Process.mu.Lock()
	defer t.Process.mu.Unlock()
	return t.fs
}

// MCEKill and SetMCEKill are PR_MCE_KILL_GET and PR_MCE_KILL. There are no
// machine checks.
func (p *Process) MCEKill() uint32 { return p.mceKill.Load() ^ unix.PR_MCE_KILL_DEFAULT }

// SetMCEKill is described at MCEKill.
func (p *Process) SetMCEKill(v uint32) { p.mceKill.Store(v ^ unix.PR_MCE_KILL_DEFAULT) }
