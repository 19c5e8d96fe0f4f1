//go:build baremetal

package machinetest

import (
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"husk/kernel/cpu"
)

const (
	codeAddr  = 0x400000
	dataAddr  = 0x401000
	stackTop  = 0x403000
	userFlags = 1<<0 | 1<<1 | 1<<2
)

// program is a hand-made address space: a page of code, one of data, one of
// stack.
type program struct {
	cpu.Context
	root, code, data cpu.PhysAddr
	pt               *[512]uint64
}

func frame(t testing.TB) cpu.PhysAddr {
	var f [1]cpu.PhysAddr
	if cpu.AllocFrames(f[:]) != 1 {
		t.Fatal("no frame")
	}
	cpu.ZeroFrame(f[0])
	return f[0]
}

func load(t testing.TB, code ...byte) *program {
	p := &program{root: frame(t), code: frame(t), data: frame(t)}
	cpu.InitRoot(p.root)
	link := func(table cpu.PhysAddr, index uintptr) cpu.PhysAddr {
		next := frame(t)
		(*[512]uint64)(cpu.Direct(table))[index] = uint64(next) | userFlags
		return next
	}
	p.pt = (*[512]uint64)(cpu.Direct(link(link(link(p.root, 0), 0), 2)))
	p.pt[0] = uint64(p.code) | userFlags
	p.pt[1] = uint64(p.data) | userFlags
	p.pt[2] = uint64(frame(t)) | userFlags
	copy((*[4096]byte)(cpu.Direct(p.code))[:], code)
	p.Reset()
	p.RIP, p.RSP, p.RFLAGS = codeAddr, stackTop, 0x202
	return p
}

func (p *program) run() cpu.Event {
	for {
		ev := cpu.Switch(&p.Context, p.root)
		if ev != cpu.EventSyscall {
			p.Settle(ev)
		}
		if ev != cpu.EventNone {
			return ev
		}
	}
}

// runPast skips interrupts.
func (p *program) runPast() cpu.Event {
	for {
		if ev := p.run(); ev != cpu.EventInterrupt {
			return ev
		}
	}
}

func want(t *testing.T, what string, got, want uint64) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %#x, want %#x", what, got, want)
	}
}

func TestSystemCallArrivesWithItsRegisters(t *testing.T) {
	p := load(t,
		0xb8, 39, 0, 0, 0, // mov eax, 39
		0x0f, 0x05, // syscall
		0x0f, 0x05, // syscall
	)
	p.RDI, p.RSI, p.RDX, p.R10, p.R8, p.R9 = 1, 2, 3, 4, 5, 6
	p.RBX, p.RBP, p.R12, p.R13, p.R14, p.R15 = 7, 8, 9, 10, 11, 12
	if ev := p.runPast(); ev != cpu.EventSyscall {
		t.Fatalf("event %d vector %d at %#x fault %#x", ev, p.Vector, p.RIP, p.FaultAddr)
	}
	want(t, "RAX", p.RAX, 39)
	want(t, "OrigRAX", p.OrigRAX, 39)
	want(t, "RIP", p.RIP, codeAddr+7)
	want(t, "RCX", p.RCX, codeAddr+7)
	want(t, "R11", p.R11, 0x202)
	for i, v := range []uint64{p.RDI, p.RSI, p.RDX, p.R10, p.R8, p.R9, p.RBX, p.RBP, p.R12, p.R13, p.R14, p.R15} {
		want(t, "register", v, uint64(i+1))
	}
	want(t, "RSP", p.RSP, stackTop)
	p.RAX = 77
	if ev := p.runPast(); ev != cpu.EventSyscall || p.RAX != 77 || p.OrigRAX != 77 {
		t.Fatalf("event %d RAX %d", ev, p.RAX)
	}
}

func TestPageFaultReportsAddressAndError(t *testing.T) {
	p := load(t,
		0xc6, 0x04, 0x25, 0x00, 0x50, 0x40, 0x00, 1, // mov byte [0x405000], 1
		0x0f, 0x05,
	)
	if ev := p.runPast(); ev != cpu.EventFault {
		t.Fatalf("event %d", ev)
	}
	want(t, "address", uint64(p.FaultAddr), 0x405000)
	want(t, "error", uint64(p.ErrorCode), cpu.FaultWrite|cpu.FaultUser)
	want(t, "vector", uint64(p.Vector), 14)
	want(t, "RIP", p.RIP, codeAddr)
	p.pt[5] = uint64(frame(t)) | userFlags
	if ev := p.runPast(); ev != cpu.EventSyscall {
		t.Fatalf("after the fault was served: event %d", ev)
	}
}

func TestExceptionsReportTheirVector(t *testing.T) {
	for _, c := range []struct {
		name   string
		code   []byte
		vector uint32
	}{
		{"divide", []byte{0x31, 0xc9, 0xf7, 0xf1}, 0},
		{"undefined", []byte{0x0f, 0x0b}, 6},
		{"int3", []byte{0xcc}, 3},
		{"hlt", []byte{0xf4}, 13},
		{"cli", []byte{0xfa}, 13},
		{"int 0x80", []byte{0xcd, 0x80}, 13},
		{"rdmsr", []byte{0x0f, 0x32}, 13},
		{"in", []byte{0xec}, 13},
		{"far jump to 32-bit code", []byte{0xff, 0x2c, 0x25, 0, 0x10, 0x40, 0}, 11},
		{"non-canonical", []byte{0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x8a, 0x00}, 13},
	} {
		p := load(t, c.code...)
		*(*uint64)(cpu.Direct(p.data)) = 0x23<<32 | codeAddr // for the far jump
		ev := p.runPast()
		if ev != cpu.EventException || p.Vector != c.vector {
			t.Errorf("%s: event %d, vector %d, address %#x, error %#x, RIP %#x", c.name, ev, p.Vector, p.FaultAddr, p.ErrorCode, p.RIP)
		}
	}
}

func TestKernelMemoryIsOutOfReach(t *testing.T) {
	p := load(t, 0x48, 0x8b, 0x04, 0x25, 0x00, 0x10, 0x20, 0x80, 0x0f, 0x05) // mov rax, [0xffffffff80201000]
	if ev := p.runPast(); ev != cpu.EventFault || p.ErrorCode != cpu.FaultPresent|cpu.FaultUser {
		t.Fatalf("event %d, error %#x", ev, p.ErrorCode)
	}
}

func TestSingleStep(t *testing.T) {
	p := load(t, 0x90, 0x90, 0x0f, 0x05)
	p.RFLAGS |= 0x100
	if ev := p.runPast(); ev != cpu.EventException || p.Vector != 1 || p.RIP != codeAddr+1 {
		t.Fatalf("event %d, vector %d at %#x", ev, p.Vector, p.RIP)
	}
	if ev := p.runPast(); ev != cpu.EventException || p.Vector != 1 || p.RIP != codeAddr+2 {
		t.Fatalf("event %d, vector %d at %#x", ev, p.Vector, p.RIP)
	}
	if ev := p.runPast(); ev != cpu.EventSyscall && p.Vector != 1 {
		t.Fatalf("event %d, vector %d at %#x", ev, p.Vector, p.RIP)
	}
}

func TestFlagsAreSanitised(t *testing.T) {
	// pushfq; pop rax; syscall
	p := load(t, 0x9c, 0x58, 0x0f, 0x05)
	p.RFLAGS = 0x3000 | 0x4000 | 1<<17 | 1 // IOPL 3, NT, VM, CF; IF clear
	if ev := p.runPast(); ev != cpu.EventSyscall {
		t.Fatalf("event %d", ev)
	}
	want(t, "RFLAGS", p.RAX, 0x203)
}

func TestBadInstructionPointerIsTheProgramsFault(t *testing.T) {
	for _, rip := range []uint64{1 << 47, 0x800000000000 - 0 + 1<<60, 0xffffffff80201000} {
		p := load(t, 0x0f, 0x05)
		p.RIP, p.RCX, p.R11 = rip, rip, p.RFLAGS
		if ev := p.runPast(); ev != cpu.EventException || p.Vector != 13 || p.RIP != rip {
			t.Errorf("%#x: event %d, vector %d", rip, ev, p.Vector)
		}
	}
}

func TestDirectionFlagDoesNotReachTheKernel(t *testing.T) {
	// std; ud2
	p := load(t, 0xfd, 0x0f, 0x0b)
	if ev := p.runPast(); ev != cpu.EventException {
		t.Fatal(ev)
	}
	want(t, "DF", p.RFLAGS&0x400, 0x400)
	b := make([]byte, 4096)
	c := make([]byte, 4096)
	for i := range b {
		b[i] = byte(i)
	}
	copy(c, b)
	if string(b) != string(c) {
		t.Fatal("copy went backwards")
	}
}

func TestSegmentBases(t *testing.T) {
	// mov rax, fs:[0]; mov rbx, gs:[0]; syscall
	p := load(t, 0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0,
		0x65, 0x48, 0x8b, 0x1c, 0x25, 0, 0, 0, 0, 0x0f, 0x05)
	d := (*[512]uint64)(cpu.Direct(p.data))
	d[0], d[1] = 111, 222
	p.FSBase, p.GSBase = dataAddr, dataAddr+8
	if ev := p.runPast(); ev != cpu.EventSyscall {
		t.Fatalf("event %d %#x", ev, p.FaultAddr)
	}
	want(t, "fs:0", p.RAX, 111)
	want(t, "gs:0", p.RBX, 222)
	want(t, "FSBase", p.FSBase, dataAddr)
	want(t, "GSBase", p.GSBase, dataAddr+8)
}

func TestProgramsMaySetSegmentBases(t *testing.T) {
	if _, hwcap2 := cpu.Hwcap(); hwcap2&2 == 0 {
		t.Skip("no FSGSBASE")
	}
	// wrfsbase rdi; wrgsbase rsi; syscall
	p := load(t, 0xf3, 0x48, 0x0f, 0xae, 0xd7, 0xf3, 0x48, 0x0f, 0xae, 0xde, 0x0f, 0x05, 0x0f, 0x05)
	p.RDI, p.RSI = dataAddr, 0xffffffff80201000
	for range 2 {
		if ev := p.runPast(); ev != cpu.EventSyscall {
			t.Fatalf("event %d", ev)
		}
		want(t, "FSBase", p.FSBase, dataAddr)
		want(t, "GSBase", p.GSBase, 0xffffffff80201000)
	}
}

// xmmLoop: movq xmm0, rax; l: jmp l
func TestLoopIsPreemptedAndKeepsItsRegisters(t *testing.T) {
	p := load(t,
		0x66, 0x48, 0x0f, 0x6e, 0xc0, // movq xmm0, rax
		0x66, 0x4c, 0x0f, 0x6e, 0xfb, // movq xmm15, rbx
		0xeb, 0xfe, // jmp .
		0x66, 0x48, 0x0f, 0x7e, 0xc1, // movq rcx, xmm0
		0x66, 0x4c, 0x0f, 0x7e, 0xfa, // movq rdx, xmm15
		0x0f, 0x05,
	)
	p.RAX, p.RBX = 0x1234567890, 0x9876543210
	// Kicks go on until the loop has been seen: on a busy host the first may
	// come before the first instruction.
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				p.Kick()
			}
		}
	}()
	for p.RIP != codeAddr+10 {
		if ev := p.run(); ev != cpu.EventInterrupt {
			t.Fatalf("event %d", ev)
		}
		runtime.Gosched()
	}
	close(stop)
	<-stopped
	p.RIP = codeAddr + 12
	if ev := p.runPast(); ev != cpu.EventSyscall {
		t.Fatalf("event %d", ev)
	}
	want(t, "RDX (XMM15)", p.RDX, 0x9876543210)
	want(t, "RBX", p.RBX, 0x9876543210)
}

func TestKickBeforeSwitch(t *testing.T) {
	p := load(t, 0x0f, 0x05)
	p.Kick()
	if ev := p.run(); ev != cpu.EventInterrupt {
		t.Fatalf("event %d", ev)
	}
	if ev := p.runPast(); ev != cpu.EventSyscall {
		t.Fatalf("event %d", ev)
	}
}

// Two programs fill the upper half of YMM3 and x87 with different things and
// read them back after each other's turns.
func TestExtendedStateIsKeptPerContext(t *testing.T) {
	if cpu.XCR0()&4 == 0 {
		t.Skip("no AVX")
	}
	code := []byte{
		0xc5, 0xfc, 0x10, 0x1c, 0x25, 0x00, 0x10, 0x40, 0x00, // vmovups ymm3, [0x401000]
		0xdf, 0x2c, 0x25, 0x40, 0x10, 0x40, 0x00, // fild qword [0x401040]
		0x0f, 0x05, // syscall
		0xc5, 0xfc, 0x11, 0x1c, 0x25, 0x80, 0x10, 0x40, 0x00, // vmovups [0x401080], ymm3
		0xdf, 0x3c, 0x25, 0xc0, 0x10, 0x40, 0x00, // fistp qword [0x4010c0]
		0x0f, 0x05,
	}
	a, b := load(t, code...), load(t, code...)
	fill := func(p *program, v uint64) *[512]uint64 {
		d := (*[512]uint64)(cpu.Direct(p.data))
		for i := range 4 {
			d[i] = v + uint64(i)
		}
		d[8] = v
		return d
	}
	da, db := fill(a, 1000), fill(b, 2000)
	step := func(p *program) {
		if ev := p.runPast(); ev != cpu.EventSyscall {
			t.Fatalf("event %d vector %d", ev, p.Vector)
		}
	}
	step(a)
	step(b)
	c := &program{root: a.root}
	c.CopyFrom(&a.Context)
	image := make([]byte, cpu.FPUSize())
	a.SaveFPU(image)
	step(a)
	check := func(d *[512]uint64, v uint64) {
		t.Helper()
		for i := range 4 {
			want(t, "ymm3", d[16+i], v+uint64(i))
		}
		want(t, "st0", d[24], v)
		clear(d[16:32])
	}
	check(da, 1000)
	step(b)
	check(db, 2000)
	step(c)
	check(da, 1000)
	// A fresh state, then the saved one.
	rip := a.RIP
	a.RIP = codeAddr + 18
	if !a.RestoreFPU(image) {
		t.Fatal("image refused")
	}
	step(a)
	check(da, 1000)
	want(t, "RIP", a.RIP, rip)
	image[512+7] = 0x40
	if a.RestoreFPU(image) {
		t.Fatal("invalid image taken")
	}
	a.Release()
	b.Release()
	c.Release()
}

func TestFlushRange(t *testing.T) {
	// mov rax, [0x401000]; syscall; jmp back
	p := load(t, 0x48, 0x8b, 0x04, 0x25, 0x00, 0x10, 0x40, 0x00, 0x0f, 0x05, 0xeb, 0xf4)
	other := frame(t)
	*(*uint64)(cpu.Direct(p.data)) = 1
	*(*uint64)(cpu.Direct(other)) = 2
	if p.runPast(); p.RAX != 1 {
		t.Fatal(p.RAX)
	}
	p.pt[1] = uint64(other) | userFlags
	cpu.FlushRange(p.root, dataAddr, dataAddr+4096)
	if p.runPast(); p.RAX != 2 {
		t.Fatal(p.RAX)
	}
	p.pt[1] = uint64(p.data) | userFlags
	cpu.FlushRange(p.root, 0, 0)
	if p.runPast(); p.RAX != 1 {
		t.Fatal(p.RAX)
	}
	cpu.ReleaseRoot(p.root)
	cpu.FreeFrames([]cpu.PhysAddr{p.root, other})
}

func TestAlarm(t *testing.T) {
	for _, d := range []int64{50_000, 2_000_000} {
		start := cpu.Nanotime()
		cpu.SetAlarm(start + d)
		cpu.WaitAlarm()
		if took := cpu.Nanotime() - start; took < d || took > d+500_000_000 {
			t.Errorf("alarm after %d ns came after %d", d, took)
		} else {
			t.Logf("alarm after %d ns came after %d", d, took)
		}
	}
}

// With the CPU busy in ring 3, the alarm comes by direct dispatch. It is tried
// several times, since the host may have other things to do.
func TestAlarmInterruptsBusyProgram(t *testing.T) {
	const rounds, late = 8, 3_000_000
	for range rounds {
		l := alarmLateness(t)
		t.Log("nanoseconds late:", l)
		if slices.Sort(l); l[len(l)/2] <= late || cpu.CPUs() > 1 {
			return
		}
	}
	t.Errorf("half of the alarms are more than %d ns late", late)
}

// alarmLateness has twenty alarms interrupt a program that never stops.
func alarmLateness(t *testing.T) (late []int64) {
	p := load(t, 0xeb, 0xfe)
	stop := false
	go func() {
		for range 20 {
			at := cpu.Nanotime() + 300_000
			cpu.SetAlarm(at)
			cpu.WaitAlarm()
			late = append(late, cpu.Nanotime()-at)
		}
		stop = true
		p.Kick()
	}()
	for !stop {
		if ev := p.run(); ev != cpu.EventInterrupt {
			t.Fatalf("event %d", ev)
		}
		runtime.Gosched()
	}
	return late
}

func TestFramesComeZeroableAndGoBack(t *testing.T) {
	_, free := cpu.FrameStats()
	var f [100]cpu.PhysAddr
	if n := cpu.AllocFrames(f[:]); n != 100 {
		t.Fatal(n)
	}
	for _, pa := range f {
		if uint64(pa)>>12 >= cpu.MaxFrame() {
			t.Fatalf("%#x", pa)
		}
		cpu.ZeroFrame(pa)
		if (*[4096]byte)(cpu.Direct(pa))[4095] != 0 {
			t.Fatal("not zero")
		}
	}
	cpu.FreeFrames(f[:])
	if _, now := cpu.FrameStats(); now < free-200 {
		t.Fatalf("%d of %d", now, free)
	}
	if pa, ok := cpu.AllocContiguous(16); !ok || *(*[16 * 4096]byte)(cpu.Direct(pa)) != [16 * 4096]byte{} {
		t.Fatal("not contiguous and zero")
	}
}

func TestExhaustionLeavesTheKernelAlive(t *testing.T) {
	total, _ := cpu.FrameStats()
	if total > 1<<18 {
		t.Skip("takes long with much memory")
	}
	var head cpu.PhysAddr
	n := 0
	for {
		var f [64]cpu.PhysAddr
		got := cpu.AllocFrames(f[:])
		if got == 0 {
			break
		}
		for _, pa := range f[:got] {
			*(*cpu.PhysAddr)(cpu.Direct(pa)) = head
			head = pa
		}
		n += got
	}
	if n < total/2 {
		t.Errorf("only %d of %d", n, total)
	}
	sink = make([]byte, 100<<10)
	for i := range sink {
		sink[i] = 1
	}
	for head != 0 {
		pa := head
		head = *(*cpu.PhysAddr)(cpu.Direct(pa))
		cpu.FreeFrames([]cpu.PhysAddr{pa})
	}
}

func BenchmarkNullSyscall(b *testing.B) {
	p := load(b, 0x0f, 0x05, 0xeb, 0xfc)
	for b.Loop() {
		p.runPast()
	}
}

func BenchmarkFault(b *testing.B) {
	p := load(b, 0x8a, 0x04, 0x25, 0x00, 0x50, 0x40, 0x00)
	for b.Loop() {
		p.runPast()
	}
}

func TestIdleAlarmIsPrompt(t *testing.T) {
	var late []int64
	for range 20 {
		at := cpu.Nanotime() + 500_000
		cpu.SetAlarm(at)
		cpu.WaitAlarm()
		late = append(late, cpu.Nanotime()-at)
	}
	t.Log("nanoseconds late:", late)
}

// Non-maskable interrupts come at any instruction, those of entries from ring
// 3 included. The local APIC sends them to this CPU and the others.
func TestNMIsAreHarmless(t *testing.T) {
	const (
		icr       = 0x300
		nmi       = 4 << 8
		allOthers = 3 << 18
		self      = 1 << 18
	)
	lapic := cpu.MapMMIO(0xfee00000, 4096)
	reg := func(off uintptr) *uint32 {
		addr := lapic + off
		return *(**uint32)(unsafe.Pointer(&addr))
	}
	p := load(t, 0x0f, 0x05, 0xeb, 0xfc)
	done := make(chan bool)
	go func() {
		for range 20_000 {
			p.runPast()
		}
		close(done)
	}()
	sent := 0
	for running := true; running; sent++ {
		atomic.StoreUint32(reg(icr), nmi|self)
		if cpu.CPUs() > 1 {
			atomic.StoreUint32(reg(icr), nmi|allOthers)
		}
		select {
		case <-done:
			running = false
		default:
			runtime.Gosched()
		}
	}
	t.Log(sent, "sent")
}
