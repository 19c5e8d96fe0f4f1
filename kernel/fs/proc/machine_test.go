package proc_test

import (
	"encoding/binary"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/cred"
	"husk/kernel/fs/proc"
	"husk/kernel/fs/sys"
	"husk/kernel/fs/tmpfs"
	"husk/kernel/mm"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

// machine is a first process, started from a real if tiny ELF file, whose
// thread executes the tests' functions in place of system calls. It runs
// until the test binary ends.
var machine struct {
	once  sync.Once
	err   error
	calls chan func(*task.Thread)
	mu    sync.Mutex
	call  func(*task.Thread)
	first *cpu.Context
}

// program is an ELF file with a segment of code and one of data.
func program() []byte {
	const base, size = 0x400000, 0x3000
	b := make([]byte, size)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], 2)    // ET_EXEC
	le.PutUint16(b[18:], 0x3e) // EM_X86_64
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], base+0x1000) // entry
	le.PutUint64(b[32:], 64)          // program headers
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 2)
	segment := func(at int, flags uint32, off, filesz, memsz uint64) {
		p := b[at:]
		le.PutUint32(p, 1)
		le.PutUint32(p[4:], flags)
		le.PutUint64(p[8:], off)
		le.PutUint64(p[16:], base+off)
		le.PutUint64(p[24:], base+off)
		le.PutUint64(p[32:], filesz)
		le.PutUint64(p[40:], memsz)
		le.PutUint64(p[48:], 0x1000)
	}
	segment(64, 5, 0, 0x2000, 0x2000)
	segment(120, 6, 0x2000, 0x1000, 0x3000)
	return b
}

var (
	argv = []string{"/bin/prog name", "one", "", "three"}
	envp = []string{"A=1", "LANG=C"}
)

func start() error {
	machine.calls = make(chan func(*task.Thread))
	th := task.NewInit()
	machine.first = &th.Context
	sb, err := tmpfs.New("")
	if err != nil {
		return err
	}
	ns := vfs.NewMountNamespace(sb, 0)
	th.SetFS(vfs.NewFSContext(ns.Root()))
	th.SetFiles(vfs.NewFDTable())
	tmpfs.Register()
	proc.Register()
	sys.Register()
	for _, d := range []string{"/bin", "/proc", "/sys", "/mnt a"} {
		if err := vfs.Mkdir(th, nil, d, 0o755); err != nil {
			return err
		}
	}
	for _, m := range [][3]string{{"proc", "/proc", "proc"}, {"sysfs", "/sys", "sysfs"}, {"tmp fs", "/mnt a", "tmpfs"}} {
		if err := vfs.MountCall(th, m[0], m[1], m[2], unix.MS_NOSUID, ""); err != nil {
			return err
		}
	}
	f, err := vfs.Open(th, "/bin/prog name", unix.O_CREAT|unix.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	b := mm.KernelBuffer(program())
	if _, err := f.Write(th, &b); err != nil {
		return err
	}
	f.Put()
	serve := func(t *task.Thread) {
		machine.mu.Lock()
		f := machine.call
		machine.mu.Unlock()
		f(t)
		t.RAX = 0
	}
	task.SetSyscallHandlers(serve, serve)
	th.Script(func(c *cpu.Context) cpu.Event {
		if c != machine.first {
			time.Sleep(time.Millisecond)
			return cpu.EventInterrupt
		}
		select {
		case f := <-machine.calls:
			machine.mu.Lock()
			machine.call = f
			machine.mu.Unlock()
			return cpu.EventSyscall
		case <-time.After(time.Millisecond):
			return cpu.EventInterrupt
		}
	})
	return th.Start("/bin/prog name", argv, envp)
}

// run executes f on the machine's first thread.
func run(t *testing.T, f func(th *task.Thread)) {
	t.Helper()
	machine.once.Do(func() { machine.err = start() })
	if machine.err != nil {
		t.Fatal(machine.err)
	}
	done := make(chan any, 1)
	machine.calls <- func(th *task.Thread) {
		defer func() { done <- recover() }()
		f(th)
	}
	if r := <-done; r != nil {
		t.Fatal(r)
	}
}

// read returns the text of a file, read in pieces of n bytes.
func read(c vfs.Caller, path string, n int) (string, error) {
	f, err := vfs.Open(c, path, unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Put()
	return readAll(c, f, n)
}

func readAll(c vfs.Caller, f *vfs.File, n int) (string, error) {
	var s strings.Builder
	p := make([]byte, n)
	for s.Len() < 1<<22 {
		b := mm.KernelBuffer(p)
		k, err := f.Read(c, &b)
		if err != nil {
			return s.String(), err
		}
		if k == 0 {
			break
		}
		s.Write(p[:k])
	}
	return s.String(), nil
}

// text is what a test reads: it fails the test when that fails.
func mustRead(t *testing.T, path string) (s string) {
	t.Helper()
	var err error
	run(t, func(th *task.Thread) { s, err = read(th, path, 4096) })
	if err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	return s
}

func write(c vfs.Caller, path, s string) error {
	f, err := vfs.Open(c, path, unix.O_WRONLY|unix.O_TRUNC, 0)
	if err != nil {
		return err
	}
	defer f.Put()
	b := mm.KernelBuffer([]byte(s))
	_, err = f.Write(c, &b)
	return err
}

// host reads a file of the machine that runs the test, to compare with.
func host(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skip(err)
	}
	return string(b)
}

// keys are the first fields of lines, up to a colon or blank.
func keys(s string) []string {
	var k []string
	for line := range strings.Lines(s) {
		if i := strings.IndexAny(line, ": \t\n"); i > 0 {
			k = append(k, line[:i])
		}
	}
	return k
}

// stranger is a thread of another user in another process, as a caller.
type stranger struct{ *task.Thread }

func (stranger) Cred() *cred.Cred   { return cred.User(1000, 1000, nil) }
func (stranger) TGID() int          { return 99999 }
func (stranger) Self() *task.Thread { return nil }

func BenchmarkMount(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		if _, err := proc.Mount(nil, "proc", 0, ""); err != nil {
			b.Fatal(err)
		}
	}
}
