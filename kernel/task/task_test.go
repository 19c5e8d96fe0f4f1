package task

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// A machine runs one first process whose threads execute Go functions in
// place of ring 3, each on a goroutine of its own. Such a function makes
// system calls with user.sys; signal handlers are functions as well.
type machine struct {
	t   *testing.T
	mem mm.Addr // 64 KiB of user memory for each test to use
	end chan End

	mu      sync.Mutex
	users   map[*cpu.Context]*user3
	entries map[uint64]func(*user3) // by stack pointer
	stacks  uint64
	handler func(u *user3, sig int, info *SigInfo)
}

// user3 is the program that one thread runs.
type user3 struct {
	m     *machine
	calls chan func(*Thread) (uintptr, error)
	done  chan uint64
	call  func(*Thread) (uintptr, error)
	busy  bool
	ctx   *cpu.Context

	started bool
}

const (
	progAddr     = 0x500000
	handlerAddr  = 0x600000
	restorerAddr = 0x700000
)

// boot starts a machine whose first thread runs main, and returns how it
// ended: with exit status 0 when main returned.
func boot(t *testing.T, main func(u *user3)) End {
	t.Helper()
	as, err := mm.NewAddressSpace()
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{
		t: t, end: make(chan End, 1), stacks: 0x10000,
		users: map[*cpu.Context]*user3{}, entries: map[uint64]func(*user3){},
	}
	m.mem, err = as.Map(mm.MapRequest{Len: 64 << 10, Prot: unix.PROT_READ | unix.PROT_WRITE, Flags: unix.MAP_PRIVATE | unix.MAP_ANONYMOUS})
	if err != nil {
		t.Fatal(err)
	}
	th := NewInit()
	th.mem, th.Process.mem = as, as
	root := vfs.NewAnonFile("root", unix.S_IFDIR|0o755, 0, vfs.BaseOps{}).Path
	th.SetFS(vfs.NewFSContext(root))
	th.SetFiles(vfs.NewFDTable())
	th.OrigRAX = notSyscall
	th.RFLAGS = flagIF | 2
	OnEnd(func(e End) { m.end <- e })
	SetSyscallHandlers(m.handle, m.handle)
	th.enterTables()
	m.entry(th, main)
	th.Script(m.enter)
	th.begin()
	select {
	case e := <-m.end:
		m.quiesce()
		return e
	case <-time.After(20 * time.Second):
		buf := make([]byte, 16<<10)
		t.Fatalf("the machine hangs\n%s", buf[:runtime.Stack(buf, true)])
	}
	panic("unreachable")
}

// quiesce ends what the first process left behind, so that it does not run
// into the next machine.
func (m *machine) quiesce() {
	for _, p := range Processes() {
		for p.tgid != 1 && !p.Ended() {
			p.mu.Lock()
			p.exitGroup(int(unix.SIGKILL))
			p.mu.Unlock()
			runtime.Gosched()
		}
	}
}

// entry makes a thread that starts with a new stack run main.
func (m *machine) entry(th *Thread, main func(*user3)) {
	th.RIP, th.RSP = progAddr, m.stackFor(main)
}

// stackFor returns a stack pointer that makes a thread run main. It lies in
// the test's memory, so that signal frames have room.
func (m *machine) stackFor(main func(*user3)) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	sp := uint64(m.mem) + m.stacks
	if m.stacks -= 64; m.stacks < 0x8000 {
		m.t.Error("too many threads for the test's stack")
	}
	m.entries[sp] = main
	return sp
}

// enter stands for ring 3.
func (m *machine) enter(c *cpu.Context) cpu.Event {
	m.mu.Lock()
	u := m.users[c]
	if u == nil {
		u = &user3{m: m, ctx: c, calls: make(chan func(*Thread) (uintptr, error)), done: make(chan uint64)}
		m.users[c] = u
	}
	main := m.entries[c.RSP]
	m.mu.Unlock()
	if !u.started && c.RIP != handlerAddr {
		u.started = true
		c.RIP = progAddr
		go func() {
			main(u)
			u.calls <- func(t *Thread) (uintptr, error) { t.ExitThread(0); return 0, nil }
		}()
	}
	switch c.RIP {
	case handlerAddr:
		var b [128]byte
		if as := m.spaceOf(c); as != nil {
			_, _ = as.CopyIn(b[:], mm.Addr(c.RSI))
		}
		info := DecodeSigInfo(&b)
		m.handler(u, int(c.RDI), &info)
		c.RSP += 8 // RET to the restorer
		c.RIP, c.RAX, c.OrigRAX = restorerAddr, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGRETURN
		return cpu.EventSyscall
	case progAddr:
		if u.busy { // the call is to be restarted
			c.RIP, c.OrigRAX = progAddr+2, c.RAX
			return cpu.EventSyscall
		}
	case progAddr + 2:
		u.busy = false
		c.RIP = progAddr
		u.done <- c.RAX
	}
	select {
	case u.call = <-u.calls:
	case <-time.After(100 * time.Microsecond):
		return cpu.EventInterrupt
	}
	u.busy = true
	c.RIP, c.RAX, c.OrigRAX = progAddr+2, 999, 999
	return cpu.EventSyscall
}

func (m *machine) spaceOf(c *cpu.Context) *mm.AddressSpace {
	for _, p := range Processes() {
		for _, t := range p.Threads() {
			if &t.Context == c {
				return t.mem
			}
		}
	}
	return nil
}

func (m *machine) handle(t *Thread) {
	m.mu.Lock()
	u := m.users[&t.Context]
	m.mu.Unlock()
	var r uintptr
	var err error
	switch t.RAX {
	case unix.SYS_RT_SIGRETURN:
		r = t.Sigreturn()
	case unix.SYS_RESTART_SYSCALL:
		r, err = t.RestartSyscall()
	default:
		r, err = u.call(t)
	}
	t.RAX = uint64(r)
	if err != nil {
		t.RAX = negated(err.(unix.Errno))
	}
}

// sys makes a system call.
func (u *user3) sys(f func(t *Thread) (uintptr, error)) (uint64, error) {
	u.calls <- f
	r := <-u.done
	if r > ^uint64(4095) {
		return 0, unix.Errno(-r)
	}
	return r, nil
}

// do runs f as a system call without result.
func (u *user3) do(f func(t *Thread) error) error {
	_, err := u.sys(func(t *Thread) (uintptr, error) { return 0, f(t) })
	return err
}

// must is do for what cannot fail.
func (u *user3) must(f func(t *Thread) error) {
	if err := u.do(f); err != nil {
		u.m.t.Error(err)
	}
}

// clone starts a thread or process that runs main.
func (u *user3) clone(flags uint64, sig int, main func(*user3)) (int, error) {
	a := CloneArgs{Flags: flags, ExitSignal: sig, Stack: u.m.stackFor(main)}
	tid, err := u.sys(func(t *Thread) (uintptr, error) {
		n, err := t.Clone(&a)
		return uintptr(n), err
	})
	return int(tid), err
}

const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM

func (u *user3) thread(main func(*user3)) int {
	tid, err := u.clone(threadFlags, 0, main)
	if err != nil {
		u.m.t.Errorf("clone: %v", err)
	}
	return tid
}

func (u *user3) fork(main func(*user3)) int {
	pid, err := u.clone(0, int(unix.SIGCHLD), main)
	if err != nil {
		u.m.t.Errorf("fork: %v", err)
	}
	return pid
}

func (u *user3) wait(w WaitFor) (r WaitResult, err error) {
	if w.Options&(unix.WEXITED|unix.WSTOPPED|unix.WCONTINUED) == 0 {
		w.Options |= unix.WEXITED
	}
	err = u.do(func(t *Thread) (err error) { r, err = t.Wait(w); return err })
	return r, err
}

func (u *user3) exit(status int) {
	u.calls <- func(t *Thread) (uintptr, error) { t.ExitProcess(status); return 0, nil }
	runtime.Goexit()
}

func TestMachineEndsWithTheFirstProcess(t *testing.T) {
	if e := boot(t, func(u *user3) { u.exit(7) }); e.Status != 7<<8 {
		t.Errorf("status %#x", e.Status)
	}
	if e := boot(t, func(*user3) {}); e.Status != 0 {
		t.Errorf("status %#x", e.Status)
	}
}

func TestThreadsAndFutex(t *testing.T) {
	boot(t, func(u *user3) {
		word := u.m.mem
		tid := u.thread(func(u *user3) {
			u.must(func(t *Thread) error { return t.mem.Store32(word, 1) })
			u.must(func(t *Thread) error { _, err := t.FutexWake(word, 1, ^uint32(0), true); return err })
		})
		if tid != 2 {
			t.Errorf("tid %d", tid)
		}
		err := u.do(func(t *Thread) error {
			for {
				if v, _ := t.mem.Load32(word); v == 1 {
					return nil
				}
				if err := t.FutexWait(word, 0, ^uint32(0), 1<<62, true); err != nil && err != unix.EAGAIN {
					return err
				}
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestForkAndWait(t *testing.T) {
	boot(t, func(u *user3) {
		pid := u.fork(func(u *user3) { u.exit(3) })
		r, err := u.wait(WaitFor{Type: unix.P_ALL})
		if err != nil || r.PID != pid || r.Status != 3<<8 || r.Code != CldExited || r.Value != 3 {
			t.Errorf("%+v %v", r, err)
		}
		if _, err := u.wait(WaitFor{Type: unix.P_ALL}); err != unix.ECHILD {
			t.Errorf("second wait: %v", err)
		}
	})
}

func TestSignalHandlerRunsAndReturns(t *testing.T) {
	boot(t, func(u *user3) {
		var got []int
		u.m.handler = func(_ *user3, sig int, info *SigInfo) { got = append(got, sig, int(info.Signo), int(info.Code)) }
		u.must(func(t *Thread) error {
			_, err := t.Action(int(unix.SIGUSR1), &SigAction{Handler: handlerAddr, Flags: saRestorer | saSigInfo, Restorer: restorerAddr})
			return err
		})
		u.must(func(t *Thread) error { return t.Kill(1, int(unix.SIGUSR1)) })
		if len(got) != 3 || got[0] != int(unix.SIGUSR1) || got[1] != int(unix.SIGUSR1) || got[2] != siUser {
			t.Errorf("handler saw %v", got)
		}
	})
}

func TestFatalSignalEndsTheProcess(t *testing.T) {
	e := boot(t, func(u *user3) {
		u.must(func(t *Thread) error { return t.Kill(1, int(unix.SIGTERM)) })
	})
	if e.Status != int(unix.SIGTERM) {
		t.Errorf("status %#x", e.Status)
	}
}
