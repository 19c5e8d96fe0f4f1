package proc

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

// tick is a clock tick of 100 Hz, the unit of times in stat files.
const tick = clock.Second / 100

// terminal is what package tty's controlling terminal tells.
type terminal interface {
	// DeviceNumber is st_rdev; Foreground the foreground process group.
	DeviceNumber() uint64
	Foreground() int
}

// ttyOf returns the number of the controlling terminal as stat encodes it, and
// its foreground group; 0 and -1 when there is none.
func ttyOf(p *task.Process) (nr, group int) {
	t, ok := p.Terminal().(terminal)
	if !ok {
		return 0, -1
	}
	dev := t.DeviceNumber()
	major, minor := unix.Major(dev), unix.Minor(dev)
	return int(minor&0xff | major<<8 | minor&^0xff<<12), t.Foreground()
}

// usage are the figures that differ between a process and one of its threads.
type usage struct {
	user, sys                      int64
	faults, voluntary, involuntary int64
}

func usageOf(s subject) (u usage) {
	if only(s) != nil {
		u.user, u.sys = only(s).CPUTime()
		u.faults, u.voluntary, u.involuntary = only(s).Counts()
		return u
	}
	u.user, u.sys = process(s).CPUTime()
	u.faults, u.voluntary, u.involuntary = process(s).Faults()
	return u
}

func stateOf(s subject) byte {
	if only(s) != nil {
		return only(s).State()
	}
	return process(s).State()
}

// priority is the nice value, and the priority as stat shows it.
func priority(a task.SchedAttr) (nice, prio int64) {
	if a.Policy == task.SchedFIFO || a.Policy == task.SchedRR {
		return int64(a.Nice), -1 - int64(a.Priority)
	}
	return int64(a.Nice), 20 + int64(a.Nice)
}

// showStat renders /proc/PID/stat: 52 fields, the second of which is in
// parentheses and may hold anything.
func showStat(t *text, c vfs.Caller, s subject) error {
	p, th := process(s), thread(s)
	permitted := mayRead(c, s) == nil
	u := usageOf(s)
	tty, foreground := ttyOf(p)
	sched := th.Sched()
	nice, prio := priority(sched)
	sig := th.SignalState()
	childUser, childSys := p.ChildrenCPUTime()

	var m mm.SpaceStat
	if as := memory(s); as != nil {
		m = as.Stat()
		as.Put()
	}
	prog := p.Program()
	state := stateOf(s)

	t.I(s.N)
	t.S(" (")
	t.S(th.Name())
	t.S(") ")
	t.C(state)
	field := func(v int64) { t.C(' '); t.D(v) }
	field(int64(p.PPID()))
	field(int64(p.PGID()))
	field(int64(p.SID()))
	field(int64(tty))
	field(int64(foreground))
	const flagRandomize, flagExiting = 0x00400000, 0x4
	if state == 'Z' {
		field(flagRandomize | flagExiting)
	} else {
		field(flagRandomize)
	}
	field(u.faults)
	field(p.ChildrenFaults())
	field(0) // major faults
	field(0)
	field(u.user / tick)
	field(u.sys / tick)
	field(childUser / tick)
	field(childSys / tick)
	field(prio)
	field(nice)
	field(int64(p.NumThreads()))
	field(0) // itrealvalue
	field(p.StartTime() / tick)
	field(int64(m.Total * mm.PageSize))
	field(int64(m.Resident))
	t.C(' ')
	t.U(p.Limit(task.RlimitRSS))
	if prog != nil && m.Total != 0 {
		if permitted {
			for _, v := range [...]uint64{prog.StartCode, prog.EndCode, prog.StartStack} {
				t.C(' ')
				t.U(v)
			}
		} else {
			t.S(" 1 1 0")
		}
	} else {
		t.S(" 0 0 0")
	}
	t.S(" 0 0") // kstkesp, kstkeip
	const low = 1<<31 - 1
	field(int64(sig.Pending & low))
	field(int64(sig.Blocked & low))
	field(int64(sig.Ignored & low))
	field(int64(sig.Caught & low))
	if permitted && state != 'R' {
		t.S(" 1") // wchan
	} else {
		t.S(" 0")
	}
	t.S(" 0 0") // nswap, cnswap
	field(int64(p.ExitSignal()))
	field(0) // processor
	if sched.Policy == task.SchedFIFO || sched.Policy == task.SchedRR {
		field(int64(sched.Priority))
	} else {
		field(0)
	}
	field(int64(sched.Policy))
	t.S(" 0 0 0") // delayacct_blkio_ticks, guest_time, cguest_time
	if prog != nil && m.Total != 0 && permitted {
		for _, v := range [...]uint64{
			prog.StartData, prog.EndData, prog.StartBrk,
			prog.ArgStart, prog.ArgEnd, prog.EnvStart, prog.EnvEnd,
		} {
			t.C(' ')
			t.U(v)
		}
	} else {
		t.S(" 0 0 0 0 0 0 0")
	}
	if permitted && state == 'Z' {
		field(int64(p.ExitStatus()))
	} else {
		field(0)
	}
	t.C('\n')
	return nil
}

// showStatm renders /proc/PID/statm, in pages.
func showStatm(t *text, c vfs.Caller, s subject) error {
	as := memory(s)
	if as == nil {
		t.S("0 0 0 0 0 0 0\n")
		return nil
	}
	m := as.Stat()
	as.Put()
	for _, v := range [...]uint64{m.Total, m.Resident, m.SharedResident, codePages(process(s)), 0, m.Data + m.Stack} {
		t.U(v)
		t.C(' ')
	}
	t.S("0\n")
	return nil
}

// codePages is the size of the program's own code.
func codePages(p *task.Process) uint64 {
	prog := p.Program()
	if prog == nil || prog.EndCode < prog.StartCode {
		return 0
	}
	return ((prog.EndCode+mm.PageSize-1)&^(mm.PageSize-1) - prog.StartCode&^(mm.PageSize-1)) >> mm.PageShift
}

var stateNames = [...]struct {
	letter byte
	name   string
}{{'R', "R (running)"}, {'S', "S (sleeping)"}, {'D', "D (disk sleep)"}, {'T', "T (stopped)"}, {'t', "t (tracing stop)"}, {'Z', "Z (zombie)"}, {'X', "X (dead)"}}

func stateName(letter byte) string {
	for _, s := range stateNames {
		if s.letter == letter {
			return s.name
		}
	}
	return "?"
}

// showStatus renders /proc/PID/status.
func showStatus(t *text, c vfs.Caller, s subject) error {
	p, th := process(s), thread(s)
	cr := th.Cred()
	line := func(key string, v int) { t.S(key); t.I(v); t.C('\n') }
	t.S("Name:\t")
	t.Mangle(th.Name(), "\n\\")
	t.C('\n')
	size := 0
	if f := th.FilesRef(); f != nil {
		size = f.Size()
		f.Unref(th)
	}
	if fs := th.FSRef(); fs != nil {
		t.S("Umask:\t0")
		t.O0(uint64(fs.Umask()), 3)
		t.C('\n')
		fs.Put()
	}
	t.S("State:\t")
	t.S(stateName(stateOf(s)))
	line("\nTgid:\t", p.PID())
	t.S("Ngid:\t0\n")
	line("Pid:\t", s.N)
	line("PPid:\t", p.PPID())
	line("TracerPid:\t", th.Tracer())
	t.S("Uid:")
	for _, v := range [...]cred.UID{cr.UID, cr.EUID, cr.SUID, cr.FSUID} {
		t.C('\t')
		t.U(uint64(v))
	}
	t.S("\nGid:")
	for _, v := range [...]cred.GID{cr.GID, cr.EGID, cr.SGID, cr.FSGID} {
		t.C('\t')
		t.U(uint64(v))
	}
	line("\nFDSize:\t", size)
	t.S("Groups:\t")
	gids(t, cr.Groups)
	line(" \nNStgid:\t", p.PID())
	line("NSpid:\t", s.N)
	line("NSpgid:\t", p.PGID())
	line("NSsid:\t", p.SID())
	if as := memory(s); as != nil {
		showStatusMemory(t, p, as)
		as.Put()
	}
	line("Threads:\t", p.NumThreads())
	showStatusSignals(t, p, th)
	for _, v := range [...]struct {
		key string
		set uint64
	}{
		{"CapInh:\t", uint64(cr.Inheritable)},
		{"CapPrm:\t", uint64(cr.Permitted)},
		{"CapEff:\t", uint64(cr.Effective)},
		{"CapBnd:\t", uint64(cr.Bounding)},
		{"CapAmb:\t", uint64(cr.Ambient)},
	} {
		t.S(v.key)
		t.X(v.set, 16)
		t.C('\n')
	}
	if cr.NoNewPrivs {
		t.S("NoNewPrivs:\t1\n")
	} else {
		t.S("NoNewPrivs:\t0\n")
	}
	mode, filters := th.SeccompMode()
	line("Seccomp:\t", mode)
	line("Seccomp_filters:\t", filters)
	t.S("Speculation_Store_Bypass:\tvulnerable\nSpeculationIndirectBranch:\talways enabled\n")
	set := uint64(th.Affinity())
	t.S("Cpus_allowed:\t")
	t.Mask(set, cpu.CPUs())
	t.S("\nCpus_allowed_list:\t")
	t.List(set)
	t.S("\nMems_allowed:\t")
	for range 31 { // masks of nodes have room for 1024, as in distributions' kernels
		t.S("00000000,")
	}
	t.S("00000001\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t")
	_, voluntary, involuntary := th.Counts()
	t.D(voluntary)
	t.S("\nnonvoluntary_ctxt_switches:\t")
	t.D(involuntary)
	t.C('\n')
	return nil
}

func showStatusMemory(t *text, p *task.Process, as *mm.AddressSpace) {
	m := as.Stat()
	code := codePages(p)
	lib := uint64(0)
	if m.Text > code {
		lib = m.Text - code
	}
	for _, v := range [...]struct {
		key   string
		pages uint64
	}{
		{"VmPeak:\t", m.Peak},
		{"VmSize:\t", m.Total},
		{"VmLck:\t", m.Locked},
		{"VmPin:\t", 0},
		{"VmHWM:\t", m.PeakResident},
		{"VmRSS:\t", m.Resident},
		{"RssAnon:\t", m.RssAnon},
		{"RssFile:\t", m.RssFile},
		{"RssShmem:\t", m.RssShmem},
		{"VmData:\t", m.Data},
		{"VmStk:\t", m.Stack},
		{"VmExe:\t", code},
		{"VmLib:\t", lib},
		{"VmPTE:\t", m.PageTables},
		{"VmSwap:\t", 0},
		{"HugetlbPages:\t", 0},
	} {
		t.S(v.key)
		t.UW(v.pages*mm.PageSize/1024, 8)
		t.S(" kB\n")
	}
	t.S("CoreDumping:\t0\nTHP_enabled:\t")
	if p.THPDisabled() {
		t.S("0\n")
	} else {
		t.S("1\n")
	}
}

func showStatusSignals(t *text, p *task.Process, th *task.Thread) {
	s := th.SignalState()
	t.S("SigQ:\t")
	t.D(s.Queued)
	t.C('/')
	t.U(p.Limit(task.RlimitSigpending))
	t.C('\n')
	for _, v := range [...]struct {
		key string
		set task.SigSet
	}{
		{"SigPnd:\t", s.Pending},
		{"ShdPnd:\t", s.SharedPending},
		{"SigBlk:\t", s.Blocked},
		{"SigIgn:\t", s.Ignored},
		{"SigCgt:\t", s.Caught},
	} {
		t.S(v.key)
		t.X(uint64(v.set), 16)
		t.C('\n')
	}
}
