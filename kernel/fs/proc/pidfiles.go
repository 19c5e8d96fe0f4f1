package proc

import (
	"encoding/binary"
	"math"
	"strings"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/fs/pseudo"
	"husk/kernel/mm"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

// Magic links.

// exePath is the place of the executable.
func exePath(c vfs.Caller, s subject) (vfs.Path, error) {
	if err := mayRead(c, s); err != nil {
		return vfs.Path{}, err
	}
	f := process(s).Exe()
	if f == nil {
		return vfs.Path{}, unix.ENOENT
	}
	defer f.Put()
	return f.Path, nil
}

func cwdPath(c vfs.Caller, s subject) (vfs.Path, error) { return contextPath(c, s, false) }

func rootPath(c vfs.Caller, s subject) (vfs.Path, error) { return contextPath(c, s, true) }

func contextPath(c vfs.Caller, s subject, root bool) (vfs.Path, error) {
	if err := mayRead(c, s); err != nil {
		return vfs.Path{}, err
	}
	fs := thread(s).FSRef()
	if fs == nil {
		return vfs.Path{}, unix.ENOENT
	}
	defer fs.Put()
	if root {
		return fs.Root(), nil
	}
	return fs.Cwd(), nil
}

func nameOf(c vfs.Caller, p vfs.Path, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return p.String(c.FS().Root()), nil
}

func readExe(c vfs.Caller, s subject) (string, error) {
	p, err := exePath(c, s)
	return nameOf(c, p, err)
}

func readCwd(c vfs.Caller, s subject) (string, error) {
	p, err := cwdPath(c, s)
	return nameOf(c, p, err)
}

func readRoot(c vfs.Caller, s subject) (string, error) {
	p, err := rootPath(c, s)
	return nameOf(c, p, err)
}

// What lies in the program's memory.

// maxStrings bounds how much of a process's arguments or environment is shown:
// the stack limit bounds them in the first place.
const maxStrings = 8 << 20

// readMemory appends [start, end) of the process's memory as far as it can be
// read.
func readMemory(t *text, as *mm.AddressSpace, start, end uint64) {
	if end <= start || end-start > maxStrings || !cpu.KernelRoom(2*(end-start)) {
		return
	}
	at := len(*t)
	*t = append(*t, make([]byte, end-start)...)
	n, _ := as.CopyIn((*t)[at:], mm.Addr(start))
	*t = (*t)[:at+n]
}

// showCmdline renders the arguments, each with its NUL. A program may have
// written over them to change its title: when the last NUL is gone the title
// goes on to the first one, into the environment if need be.
func showCmdline(t *text, c vfs.Caller, s subject) error {
	as, prog := memory(s), process(s).Program()
	if as == nil || prog == nil {
		return nil
	}
	defer as.Put()
	at := len(*t)
	readMemory(t, as, prog.ArgStart, prog.ArgEnd)
	args := (*t)[at:]
	if len(args) == 0 || args[len(args)-1] == 0 {
		return nil
	}
	if prog.EnvStart == prog.ArgEnd {
		readMemory(t, as, prog.EnvStart, prog.EnvEnd)
	}
	for i, b := range (*t)[at:] {
		if b == 0 {
			*t = (*t)[:at+i+1]
			break
		}
	}
	return nil
}

func showEnviron(t *text, c vfs.Caller, s subject) error {
	as, prog := memory(s), process(s).Program()
	if as == nil || prog == nil {
		return nil
	}
	defer as.Put()
	readMemory(t, as, prog.EnvStart, prog.EnvEnd)
	return nil
}

func showAuxv(t *text, c vfs.Caller, s subject) error {
	as, prog := memory(s), process(s).Program()
	if as == nil || prog == nil {
		return nil
	}
	as.Put()
	for _, v := range prog.Auxv {
		*t = binary.LittleEndian.AppendUint64(*t, v)
	}
	return nil
}

func showComm(t *text, c vfs.Caller, s subject) error {
	t.S(thread(s).Name())
	t.C('\n')
	return nil
}

// storeComm names a thread of the caller's own process.
func storeComm(c vfs.Caller, s subject, name string) error {
	if c.TGID() != process(s).PID() {
		return unix.EINVAL
	}
	if i := strings.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	name = name[:min(len(name), 15)]
	thread(s).SetName(strings.TrimSuffix(name, "\n"))
	return nil
}

// Limits and accounts.

var limitLines = [task.NRlimits]struct{ name, unit string }{
	task.RlimitCPU:        {"Max cpu time", "seconds"},
	task.RlimitFsize:      {"Max file size", "bytes"},
	task.RlimitData:       {"Max data size", "bytes"},
	task.RlimitStack:      {"Max stack size", "bytes"},
	task.RlimitCore:       {"Max core file size", "bytes"},
	task.RlimitRSS:        {"Max resident set", "bytes"},
	task.RlimitNproc:      {"Max processes", "processes"},
	task.RlimitNofile:     {"Max open files", "files"},
	task.RlimitMemlock:    {"Max locked memory", "bytes"},
	task.RlimitAS:         {"Max address space", "bytes"},
	task.RlimitLocks:      {"Max file locks", "locks"},
	task.RlimitSigpending: {"Max pending signals", "signals"},
	task.RlimitMsgqueue:   {"Max msgqueue size", "bytes"},
	task.RlimitNice:       {"Max nice priority", ""},
	task.RlimitRtprio:     {"Max realtime priority", ""},
	task.RlimitRttime:     {"Max realtime timeout", "us"},
}

func showLimits(t *text, c vfs.Caller, s subject) error {
	t.S("Limit                     Soft Limit           Hard Limit           Units     \n")
	for i, l := range limitLines {
		start := len(*t)
		r := process(s).Rlimit(i)
		t.S(l.name)
		for j, v := range [...]uint64{r.Cur, r.Max} {
			t.PadTo(start, 26+21*j)
			if v == task.Unlimited {
				t.S("unlimited")
			} else {
				t.U(v)
			}
		}
		t.PadTo(start, 26+2*21)
		t.S(l.unit)
		if l.unit != "" {
			t.PadTo(start, 26+2*21+10)
		}
		t.C('\n')
	}
	return nil
}

func showIO(t *text, c vfs.Caller, s subject) error {
	t.S("rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n")
	return nil
}

func showSchedstat(t *text, c vfs.Caller, s subject) error {
	user, sys := thread(s).CPUTime()
	_, voluntary, involuntary := thread(s).Counts()
	t.D(user + sys)
	t.S(" 0 ")
	t.D(voluntary + involuntary)
	t.C('\n')
	return nil
}

// showSched renders the part of /proc/PID/sched that has a meaning here.
func showSched(t *text, c vfs.Caller, s subject) error {
	th := thread(s)
	t.S(th.Name())
	t.S(" (")
	t.I(s.N)
	t.S(", #threads: ")
	t.I(process(s).NumThreads())
	t.S(")\n-------------------------------------------------------------------\n")
	line := func(key string, v int64) {
		start := len(*t)
		t.S(key)
		t.PadTo(start, 45)
		t.C(':')
		t.DW(v, 21)
		t.C('\n')
	}
	user, sys := th.CPUTime()
	_, voluntary, involuntary := th.Counts()
	start := len(*t)
	t.S("se.sum_exec_runtime")
	t.PadTo(start, 45)
	t.C(':')
	ns := uint64(user + sys)
	t.UW(ns/1_000_000, 14)
	t.C('.')
	t.U0(ns%1_000_000, 6)
	t.C('\n')
	line("nr_switches", voluntary+involuntary)
	line("nr_voluntary_switches", voluntary)
	line("nr_involuntary_switches", involuntary)
	a := th.Sched()
	_, prio := priority(a)
	line("policy", int64(a.Policy))
	line("prio", 100+prio)
	return nil
}

// badness is oom_score: 667 for a process that uses nothing, more by the share
// of memory that it uses.
func showOOMScore(t *text, c vfs.Caller, s subject) error {
	var pages int64
	if as := memory(s); as != nil {
		m := as.Stat()
		as.Put()
		pages = int64(m.Resident + m.PageTables)
	}
	total := max(int64(mm.Memory().Total), 1)
	points := pages + int64(process(s).OOMScoreAdj())*total/1000
	t.D(max((1000+points*1000/total)*2/3, 0))
	t.C('\n')
	return nil
}

func showOOMScoreAdj(t *text, c vfs.Caller, s subject) error {
	t.I(process(s).OOMScoreAdj())
	t.C('\n')
	return nil
}

func storeOOMScoreAdj(c vfs.Caller, s subject, value string) error {
	v, err := pseudo.ParseInt(value)
	if err != nil {
		return err
	}
	if v < -1000 || v > 1000 {
		return unix.EINVAL
	}
	return setOOMScoreAdj(c, s, int(v))
}

func setOOMScoreAdj(c vfs.Caller, s subject, v int) error {
	if v < process(s).OOMScoreAdj() && v < 0 && !capable(c, unix.CAP_SYS_RESOURCE) {
		return unix.EACCES
	}
	process(s).SetOOMScoreAdj(v)
	return nil
}

// oom_adj is the old form, from -17 to 15.
func showOOMAdj(t *text, c vfs.Caller, s subject) error {
	v := process(s).OOMScoreAdj()
	if v == 1000 {
		v = 15
	} else {
		v = v * 17 / 1000
	}
	t.I(v)
	t.C('\n')
	return nil
}

func storeOOMAdj(c vfs.Caller, s subject, value string) error {
	v, err := pseudo.ParseInt(value)
	if err != nil {
		return err
	}
	if (v < -16 || v > 15) && v != -17 {
		return unix.EINVAL
	}
	if v == 15 {
		v = 1000
	} else {
		v = v * 1000 / 17
	}
	return setOOMScoreAdj(c, s, int(v))
}

// Small files.

func showPersonality(t *text, c vfs.Caller, s subject) error {
	t.X(uint64(process(s).Personality(^uint32(0))), 8)
	t.C('\n')
	return nil
}

// showSyscall renders the call that a thread is in; of others than the caller
// it is not known.
func showSyscall(t *text, c vfs.Caller, s subject) error {
	th := thread(s)
	if threadOf(c) != th {
		t.S("running\n")
		return nil
	}
	t.U(th.OrigRAX)
	for _, v := range [...]uint64{th.RDI, th.RSI, th.RDX, th.R10, th.R8, th.R9, th.RSP, th.RIP} {
		t.S(" 0x")
		t.H(v)
	}
	t.C('\n')
	return nil
}

func showTimerSlack(t *text, c vfs.Caller, s subject) error {
	slack := int64(50_000)
	if th := thread(s); threadOf(c) == th {
		slack = th.TimerSlack()
	}
	t.D(slack)
	t.C('\n')
	return nil
}

func storeTimerSlack(c vfs.Caller, s subject, value string) error {
	v, err := pseudo.ParseInt(value)
	if err != nil {
		return err
	}
	th := thread(s)
	if threadOf(c) != th {
		return unix.EPERM
	}
	th.SetTimerSlack(v)
	return nil
}

func showChildren(t *text, c vfs.Caller, s subject) error {
	if only(s) != nil && only(s) != process(s).Leader() {
		return nil
	}
	for _, n := range process(s).Children() {
		t.I(n)
		t.C(' ')
	}
	return nil
}

// coredump_filter says which mappings a core file holds.
func showCoreFilter(t *text, c vfs.Caller, s subject) error {
	t.X(uint64(process(s).CoreFilter()), 8)
	t.C('\n')
	return nil
}

func storeCoreFilter(c vfs.Caller, s subject, value string) error {
	v, err := pseudo.ParseInt(value)
	if err != nil || v < 0 || v > math.MaxUint32 {
		return unix.EINVAL
	}
	process(s).SetCoreFilter(uint32(v))
	return nil
}

// storeNumber accepts a number for a setting that nothing looks at.
func storeNumber(c vfs.Caller, s subject, value string) error {
	_, err := pseudo.ParseInt(value)
	return err
}

// storeClearRefs accepts what proc(5) lists: referenced bits are not kept.
func storeClearRefs(c vfs.Caller, s subject, value string) error {
	v, err := pseudo.ParseInt(value)
	if err != nil || v < 1 || v > 5 {
		return unix.EINVAL
	}
	return nil
}

// storeMap answers attempts to map users: there are no user namespaces.
func storeMap(vfs.Caller, subject, string) error { return unix.EPERM }

func storeSetgroups(c vfs.Caller, s subject, value string) error {
	switch strings.TrimRight(value, " \n\t") {
	case "allow":
		return nil
	case "deny":
		return unix.EPERM
	}
	return unix.EINVAL
}

// noAttribute answers for a security module that is not there.
func noAttribute(*text, vfs.Caller, subject) error { return unix.EINVAL }

func storeNoAttribute(vfs.Caller, subject, string) error { return unix.EINVAL }
