package task

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/abi"
	"husk/kernel/cred"
	"husk/kernel/ipc"
	"husk/kernel/loader"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// addrNoRandomize is ADDR_NO_RANDOMIZE of personality(2).
const addrNoRandomize = 0x0040000

// OpenExec opens a file for execution: a regular file that c may execute, on a
// mount that allows it. start is the directory that path is relative to; nil
// is the working directory.
func OpenExec(c vfs.Caller, start *vfs.Path, path string, flags vfs.LookupFlags) (*vfs.File, error) {
	p, err := vfs.Lookup(c, start, path, flags)
	if err != nil {
		return nil, err
	}
	return openExecPath(c, p)
}

func openExecPath(c vfs.Caller, p vfs.Path) (*vfs.File, error) {
	i := p.Inode()
	if i == nil {
		return nil, unix.ENOENT
	}
	if i.Type() == unix.S_IFLNK {
		return nil, unix.ELOOP
	}
	if i.Type() != unix.S_IFREG {
		return nil, unix.EACCES
	}
	if p.Mount != nil && p.Mount.Flags()&unix.MS_NOEXEC != 0 {
		return nil, unix.EACCES
	}
	if err := vfs.Access(c.Cred(), p.Mount, i, unix.X_OK); err != nil {
		return nil, err
	}
	return vfs.OpenPath(c, p, unix.O_RDONLY)
}

// OpenExecFile is OpenExec for a descriptor (execveat with AT_EMPTY_PATH).
func OpenExecFile(c vfs.Caller, f *vfs.File) (*vfs.File, error) { return openExecPath(c, f.Path) }

// load fills as with a program whose files nobody may write meanwhile.
func (t *Thread) load(as *mm.AddressSpace, f *vfs.File, path string, hidden bool, argv, envp []string, c *cred.Cred) (*loader.Program, error) {
	p := t.Process
	p.applyMemoryLimits(as)
	stack := p.Limit(RlimitStack)
	fixed := p.personality.Load()&addrNoRandomize != 0
	as.SetLayout(stack, !fixed)
	if err := f.Inode.DenyWrite(); err != nil {
		return nil, err
	}
	defer f.Inode.AllowWrite()
	prog, err := loader.Load(as, loader.Request{
		Caller: t,
		Open: func(path string) (*vfs.File, error) {
			return OpenExec(t, nil, path, vfs.Follow)
		},
		File: f, Path: path, Hidden: hidden, Argv: argv, Envp: envp,
		Cred: c, StackLimit: stack, NoRandomize: fixed,
	})
	if err != nil {
		return nil, err
	}
	if err := prog.File.Inode.DenyWrite(); err != nil {
		prog.File.Put()
		return nil, err
	}
	return prog, nil
}

// putExe gives up an executable that load has returned.
func putExe(f *vfs.File) {
	if f != nil {
		f.Inode.AllowWrite()
		f.Put()
	}
}

// shareExe takes another reference to an executable.
func shareExe(f *vfs.File) *vfs.File {
	if f != nil {
		_ = f.Inode.DenyWrite() // it is denied already
		f.Get()
	}
	return f
}

// Exec replaces the program of the calling process, as execve(2). f was opened
// by OpenExec; it stays the caller's; hidden says that path is of a descriptor
// that closes. On success the registers are those of the new program.
func (t *Thread) Exec(f *vfs.File, path string, hidden bool, argv, envp []string) error {
	p := t.Process
	as, err := mm.NewAddressSpace()
	if err != nil {
		return err
	}
	c := execCred(t.Cred())
	old := t.TID
	prog, err := t.load(as, f, path, hidden, argv, envp, c)
	if err == nil {
		if err = t.dethread(); err != nil {
			putExe(prog.File)
		}
	}
	if err != nil {
		as.Put()
		return err
	}

	// From here on the old program is gone.
	call := t.OrigRAX
	t.leaveMemory()
	if t.files.Shared() {
		old := t.files
		t.replaceFiles(old.Clone())
		old.Unref(t)
	}
	p.mu.Lock()
	oldMem, oldExe := p.mem, p.exe
	p.mem, p.exe, p.program = as, prog.File, prog
	t.mem = as
	if p.handlers.refs.Load() > 1 {
		old := p.handlers
		p.handlers = old.clone()
		old.refs.Add(-1)
	}
	p.handlers.reset(false)
	p.deletePosixTimers()
	t.recalc()
	p.mu.Unlock()
	ipc.Leave(oldMem, p.tgid)
	oldMem.Put()
	putExe(oldExe)
	t.debug = nil
	t.files.CloseOnExec(t)
	tasks.mu.Lock()
	p.execed = true
	p.exitSignal = int(unix.SIGCHLD)
	tasks.mu.Unlock()
	t.cred.Store(c)
	noteSetID(f, path, c)
	dumpable := int32(1)
	if c.EUID != c.UID || c.EGID != c.GID || vfs.Access(c, f.Path.Mount, f.Inode, unix.R_OK) != nil {
		dumpable = 0 // fs.suid_dumpable
	}
	p.dumpable.Store(dumpable)
	t.altstack, t.restart = AltStack{}, nil
	t.SetName(baseName(path))
	t.startRegisters(prog)
	t.OrigRAX = call // a tracer looks at it
	t.traceExec(old)
	return nil
}

// startRegisters gives the thread the registers of a fresh program.
func (t *Thread) startRegisters(prog *loader.Program) {
	t.Context.Reset()
	t.RIP, t.RSP = prog.Entry, prog.SP
	t.CS, t.SS = userCS, userSS
	t.RFLAGS = flagIF | 1<<1
	t.OrigRAX = notSyscall
}

func baseName(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[i+1:]
		}
	}
	return path
}

// dethread ends the other threads of the process and makes the caller its
// leader. An error means that the caller itself must end.
func (t *Thread) dethread() error {
	p := t.Process
	p.mu.Lock()
	if p.exiting || p.execer != nil {
		p.mu.Unlock()
		return abi.ErrRestartNoInt // another thread was first, and ends this one
	}
	p.execer = t
	for _, o := range p.threads {
		if o != t && !o.gone {
			o.kill()
		}
	}
	for p.live > 1 {
		p.mu.Unlock()
		err := t.SleepKillable(wait.NoDeadline)
		p.mu.Lock()
		if err != nil {
			p.execer = nil
			p.mu.Unlock()
			return err
		}
	}
	p.execer = nil
	leader := p.leader
	p.mu.Unlock()
	if leader == t {
		return nil
	}
	tasks.mu.Lock()
	defer tasks.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	leader.unlink(0)
	p.removeThread(leader)
	if e := tasks.pids[t.TID]; e != nil {
		e.thread = nil
		release(t.TID, e)
	}
	t.TID = p.tgid
	entry(t.TID).thread = t
	p.leader = t
	return nil
}

// execCred is how execve changes credentials (capabilities(7)), set-user-ID
// bits and file capabilities apart, which are ignored.
func execCred(c *cred.Cred) *cred.Cred {
	n := c.Clone()
	const noRoot = 1 << 0 // SECBIT_NOROOT
	n.SUID, n.SGID, n.FSUID, n.FSGID = c.EUID, c.EGID, c.EUID, c.EGID
	n.Permitted, n.Effective = c.Ambient, c.Ambient
	if c.SecureBits&noRoot == 0 && (c.EUID == 0 || c.UID == 0) {
		n.Permitted = c.Inheritable | c.Bounding
		if c.EUID == 0 {
			n.Effective = n.Permitted
		}
	}
	n.SecureBits &^= 1 << 4 // SECBIT_KEEP_CAPS
	return n
}

// setIDNoted is set once a set-user-ID program has been noted.
var setIDNoted atomic.Bool

// noteSetID tells the user, once, of a program that would have got other
// credentials from a Linux kernel.
func noteSetID(f *vfs.File, path string, c *cred.Cred) {
	mode := f.Inode.Mode()
	if mode&(unix.S_ISUID|unix.S_ISGID) == 0 {
		return
	}
	a := f.Inode.Attr()
	if (mode&unix.S_ISUID != 0 && a.UID != uint32(c.EUID) || mode&unix.S_ISGID != 0 && a.GID != uint32(c.EGID)) && !setIDNoted.Swap(true) {
		Note("the set-user-ID or set-group-ID bit of " + path + " is ignored, as are others")
	}
}

// NewInit returns the thread of the first process, which is not in the tables
// yet and does not run: the machine's boot uses it as the caller of what it
// does to the file system.
func NewInit() *Thread {
	t := new(Thread)
	t.setupWaiters()
	p := &Process{leader: t, exitSignal: int(unix.SIGCHLD), handlers: newHandlers()}
	t.Process = p
	t.path.Store(&direct)
	p.limits.defaults()
	p.dumpable.Store(1)
	t.cred.Store(cred.Root())
	t.attr.affinity = ^CPUSet(0)
	t.timerSlack = 50_000
	t.time.resume()
	return t
}

var onInit func(*Thread)

// OnInit sets what is called when the first process has its session and does
// not run yet, which is when it can be given a controlling terminal. It is
// set before Start.
func OnInit(f func(*Thread)) { onInit = f }

// SetFS and SetFiles give the first thread its FS context and descriptors,
// with a reference each, before Start.
func (t *Thread) SetFS(fs *vfs.FSContext) { t.fs = fs }

// SetFiles is described at SetFS.
func (t *Thread) SetFiles(f *vfs.FDTable) { t.files = f }

// SetInitialCred sets the credentials of the first thread before Start.
func (t *Thread) SetInitialCred(c *cred.Cred) { t.cred.Store(c) }

// SetInitialLimit sets a limit of the first process before Start.
func (p *Process) SetInitialLimit(resource int, l Rlimit) { p.storeLimit(resource, l) }

// Start loads the program for the first thread, enters it in the tables as
// process 1 and lets it run. The error is the errno of execve(2).
func (t *Thread) Start(path string, argv, envp []string) error {
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
	prog, err := t.load(as, f, path, false, argv, envp, c)
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
	p := t.Process
	p.mem, p.exe, p.program = as, prog.File, prog
	t.enterTables()
	if onInit != nil {
		onInit(t)
	}
	t.begin()
	return nil
}
