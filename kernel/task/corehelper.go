package task

import (
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/pipe"
	"husk/kernel/vfs"
)

// This file gives core files to a program: a core_pattern that begins with a
// "|" names one, which reads the core from its standard input. The kernel
// starts it as it starts the first process: as root with nothing else open, in
// a session of its own, with the root directory and limits of process 1.

// CorePipeLimit is kernel.core_pipe_limit: how many processes may be dumped to
// programs at once, which then can look at them in /proc for as long as they
// like. 0: any number, and nobody waits for the program to end.
var CorePipeLimit int64

// coreHelpers is how many are being dumped to programs.
var coreHelpers atomic.Int64

// helperCore is the RLIMIT_CORE of such a program.
const helperCore = 1

// pipeCore starts the program that the rest of the pattern names and writes
// the core to it. It reports whether the program was started: like Linux, that
// it did not read everything does not matter.
func (t *Thread) pipeCore(command string, d *coreDump, si *SigInfo) bool {
	limit := atomic.LoadInt64(&CorePipeLimit)
	defer coreHelpers.Add(-1)
	if n := coreHelpers.Add(1); limit > 0 && n > limit {
		Note("no core of process " + t.Name() + ": kernel.core_pipe_limit are being dumped")
		return false
	}
	// Arguments are split before they are expanded: names may have spaces.
	argv := strings.Fields(command)
	if len(argv) == 0 {
		return false
	}
	for i, a := range argv {
		text, _ := t.expandCore(a, d.sig)
		argv[i] = string(text)
	}
	r, w := pipe.New(0)
	if err := startHelper(argv[0], argv, r); err != nil {
		w.Put()
		return false
	}
	t.writeCore(&coreFile{t: t, f: w, limit: ^uint64(0), piped: true}, d, si)
	w.Put()
	if limit > 0 {
		_ = pipe.Of(w).AwaitReaders(t)
	}
	return true
}

// startHelper starts a program for the kernel with one descriptor, its standard
// input, whose reference it takes. Nobody waits for it.
func startHelper(path string, argv []string, stdin *vfs.File) error {
	p := &Process{start: clock.Now(), exitSignal: int(unix.SIGCHLD), handlers: newHandlers(), adopted: true}
	t := &Thread{Process: p}
	t.setupWaiters()
	p.leader = t
	t.path.Store(&direct)
	t.cred.Store(cred.Root())
	t.attr.affinity = ^CPUSet(0)
	t.timerSlack = 50_000
	p.dumpable.Store(1)

	first := InitProcess()
	p.limits.copyFrom(&first.limits)
	p.storeLimit(RlimitCore, Rlimit{helperCore, helperCore})
	first.mu.Lock()
	if lead := first.leader; lead.fs != nil {
		t.fs = vfs.NewFSContext(lead.fs.Root())
	}
	first.mu.Unlock()
	t.files = vfs.NewFDTable()
	if _, err := t.files.Install(stdin, 0, false, 1); err != nil {
		stdin.Put()
		return err
	}
	if t.fs == nil {
		t.files.Unref(t)
		return unix.ESRCH // the machine ends
	}
	err := t.startDetached(first, path, argv)
	if err != nil {
		t.unshareFiles()
	}
	return err
}

// startDetached loads the program of a thread made by startHelper, and enters
// it in the tables as an orphan.
func (t *Thread) startDetached(first *Process, path string, argv []string) error {
	p := t.Process
	f, err := OpenExec(t, nil, path, vfs.Follow)
	if err != nil {
		return err
	}
	defer f.Put()
	as, err := mm.NewAddressSpace()
	if err != nil {
		return err
	}
	c := execCred(t.Cred())
	prog, err := t.load(as, f, path, false, argv, nil, c)
	if err != nil {
		as.Put()
		return err
	}
	t.cred.Store(c)
	if tracer != nil {
		t.watch(WatchStrace)
	}
	t.SetName(baseName(path))
	t.mem = as
	t.startRegisters(prog)
	p.mem, p.exe, p.program = as, prog.File, prog
	tasks.mu.Lock()
	if err := t.register(0); err != nil {
		tasks.mu.Unlock()
		putExe(p.exe)
		as.Put()
		return err
	}
	p.mu.Lock()
	p.tgid = t.TID
	entry(p.tgid).process = p
	p.addThread(t)
	t.user = findUserLocked(t.Cred().UID)
	t.user.processes.Add(1)
	first.addChild(p)
	newGroup(p.tgid, newSession(p)).add(p)
	p.mu.Unlock()
	tasks.mu.Unlock()
	t.time.resume()
	t.begin()
	return nil
}
