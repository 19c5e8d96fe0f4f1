package accel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// patience is how long the guest may take. It needs some microseconds.
const patience = 50 * time.Millisecond

// Probe runs a guest that does what our kernel does: long mode, SSE and MSR
// writes in ring 0, IRETQ to ring 3, SSE there, SYSCALL, SYSRETQ, and a page
// fault from ring 3. It gives nil when the guest reports success in time.
func Probe() error {
	dev, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return ErrAbsent
	}
	if errors.Is(err, os.ErrPermission) {
		return errors.New("/dev/kvm may not be opened by this user (add it to the group kvm)")
	}
	if err != nil {
		return err
	}
	g := &guest{kvm: dev.Fd(), verdict: make(chan error, 1)}
	go g.run()
	// A broken implementation may never return from an ioctl: then its
	// thread and its files are abandoned.
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case err = <-g.verdict:
		dev.Close()
		return err
	case <-late.C:
	}
	g.stop()
	select {
	case err = <-g.verdict:
		dev.Close()
		if err == nil {
			return nil
		}
	case <-time.After(patience):
	}
	return fmt.Errorf("/dev/kvm: a test guest did not finish within %v", patience)
}

// From linux/kvm.h.
const (
	kvmGetAPIVersion       = 0xAE00
	kvmCreateVM            = 0xAE01
	kvmGetVCPUMmapSize     = 0xAE04
	kvmGetSupportedCPUID   = 0xC008AE05
	kvmCreateVCPU          = 0xAE41
	kvmSetUserMemoryRegion = 0x4020AE46
	kvmSetTSSAddr          = 0xAE47
	kvmRun                 = 0xAE80
	kvmSetRegs             = 0x4090AE82
	kvmGetSregs            = 0x8138AE83
	kvmSetSregs            = 0x4138AE84
	kvmSetCPUID2           = 0x4008AE90

	exitIO       = 2
	exitShutdown = 8
)

// Offsets in struct kvm_run.
const (
	runImmediateExit = 1
	runExitReason    = 8
	runIO            = 32 // direction u8, size u8, port u16, count u32, data_offset u64
)

// The guest's physical memory, all of it under one 2 MiB page that ring 3 may use.
const (
	memorySize = 0x10000
	pml4       = 0x1000
	pdpt       = 0x2000
	pd         = 0x3000
	gdt        = 0x4000
	tss        = 0x4100
	gdtPointer = 0x4800
	idtPointer = 0x4810
	idt        = 0x5000
	text       = 0x6000
	stack      = 0x9000 // of ring 0; that of ring 3 ends at 0xa000, FXSAVE goes to 0xb000

	port    = 0xf4
	success = 0x4b

	// Offsets in code.
	atUser  = 0x83
	atCall  = 0x96
	atFault = 0xb4
)

var code = [...]byte{
	0x0f, 0x01, 0x14, 0x25, 0x00, 0x48, 0x00, 0x00, // lgdt gdtPointer
	0x0f, 0x01, 0x1c, 0x25, 0x10, 0x48, 0x00, 0x00, // lidt idtPointer
	0xb8, 0x28, 0x00, 0x00, 0x00, // mov $0x28, %eax
	0x0f, 0x00, 0xd8, // ltr %ax
	0xb8, 0x00, 0x00, 0xf0, 0x3f, // mov $0x3ff00000, %eax
	0x48, 0xc1, 0xe0, 0x20, // shl $32, %rax
	0x66, 0x48, 0x0f, 0x6e, 0xc0, // movq %rax, %xmm0        1.0
	0xf2, 0x0f, 0x58, 0xc0, // addsd %xmm0, %xmm0            2.0
	0xf2, 0x0f, 0x59, 0xc0, // mulsd %xmm0, %xmm0            4.0
	0x48, 0x0f, 0xae, 0x04, 0x25, 0x00, 0xb0, 0x00, 0x00, // fxsave64 0xb000
	0x0f, 0x57, 0xc0, // xorps %xmm0, %xmm0
	0x48, 0x0f, 0xae, 0x0c, 0x25, 0x00, 0xb0, 0x00, 0x00, // fxrstor64 0xb000
	0xb9, 0x80, 0x00, 0x00, 0xc0, // mov $EFER, %ecx
	0x0f, 0x32, // rdmsr
	0x83, 0xc8, 0x01, // or $SCE, %eax
	0x0f, 0x30, // wrmsr
	0xff, 0xc1, // inc %ecx                                  STAR
	0x31, 0xc0, // xor %eax, %eax
	0xba, 0x08, 0x00, 0x13, 0x00, // mov $0x00130008, %edx
	0x0f, 0x30, // wrmsr
	0xff, 0xc1, // inc %ecx                                  LSTAR
	0xb8, text&0xff | atCall, text >> 8, 0x00, 0x00, // mov $call, %eax
	0x31, 0xd2, // xor %edx, %edx
	0x0f, 0x30, // wrmsr
	0xb9, 0x84, 0x00, 0x00, 0xc0, // mov $FMASK, %ecx
	0xb8, 0x00, 0x02, 0x00, 0x00, // mov $IF, %eax
	0x0f, 0x30, // wrmsr
	0x6a, 0x1b, // push $0x1b                                SS
	0x68, 0x00, 0xa0, 0x00, 0x00, // push $0xa000            RSP
	0x6a, 0x02, // push $2                                   RFLAGS
	0x6a, 0x23, // push $0x23                                CS
	0x68, text&0xff | atUser, text >> 8, 0x00, 0x00, // push $user
	0x48, 0xcf, // iretq
	// user:
	0x8c, 0xcf, // mov %cs, %edi
	0xf2, 0x0f, 0x58, 0xc0, // addsd %xmm0, %xmm0            8.0
	0x57,       // push %rdi
	0x5e,       // pop %rsi
	0x0f, 0x05, // syscall
	0x8b, 0x04, 0x25, 0x00, 0x00, 0x00, 0x40, // mov 0x40000000, %eax
	0x0f, 0x0b, // ud2
	// call:
	0x83, 0xfe, 0x23, // cmp $0x23, %esi
	0x75, 0x30, // jne fail
	0x66, 0x48, 0x0f, 0x7e, 0xc0, // movq %xmm0, %rax
	0x48, 0xc1, 0xe8, 0x30, // shr $48, %rax
	0x3d, 0x20, 0x40, 0x00, 0x00, // cmp $0x4020, %eax
	0x75, 0x20, // jne fail
	0x41, 0xbb, 0x02, 0x00, 0x00, 0x00, // mov $2, %r11d
	0x48, 0x0f, 0x07, // sysretq
	// fault:
	0x0f, 0x20, 0xd0, // mov %cr2, %rax
	0x48, 0x3d, 0x00, 0x00, 0x00, 0x40, // cmp $0x40000000, %rax
	0x75, 0x0c, // jne fail
	0x48, 0x83, 0x7c, 0x24, 0x10, 0x23, // cmpq $0x23, 16(%rsp)
	0x75, 0x04, // jne fail
	0xb0, success, // mov $success, %al
	0xe6, port, // out %al, $port
	// fail:
	0xb0, 0x21, // mov $0x21, %al
	0xe6, port, // out %al, $port
	0xf4, // hlt
}

func load(m []byte) {
	put := func(at int, v ...uint64) {
		for i, v := range v {
			binary.LittleEndian.PutUint64(m[at+8*i:], v)
		}
	}
	const present, writable, user, large = 1, 2, 4, 0x80
	put(pml4, pdpt|present|writable|user)
	put(pdpt, pd|present|writable|user)
	put(pd, 0|present|writable|user|large)
	// null, ring-0 code and data, ring-3 data and code, TSS.
	put(gdt, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff,
		103|(tss&0xffff)<<16|0x89<<40, 0)
	put(tss+4, stack) // RSP0
	binary.LittleEndian.PutUint16(m[gdtPointer:], 7*8-1)
	put(gdtPointer+2, gdt)
	binary.LittleEndian.PutUint16(m[idtPointer:], 15*16-1)
	put(idtPointer+2, idt)
	const pageFault, gate = 14, 0x8e00
	put(idt+pageFault*16, uint64(text+atFault)|0x08<<16|gate<<32, 0)
	copy(m[text:], code[:])
}

type guest struct {
	kvm     uintptr
	verdict chan error
	thread  atomic.Int32 // that runs the guest
	page    atomic.Pointer[[]byte]
}

// stop makes a guest that is still running return.
func (g *guest) stop() {
	if page := g.page.Load(); page != nil {
		(*page)[runImmediateExit] = 1
	}
	if tid := g.thread.Load(); tid != 0 {
		// The Go runtime ignores an extra SIGURG; KVM_RUN returns with EINTR.
		_ = unix.Tgkill(os.Getpid(), int(tid), unix.SIGURG)
	}
}

func (g *guest) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	g.thread.Store(int32(unix.Gettid()))
	err := g.boot()
	if err != nil {
		err = fmt.Errorf("/dev/kvm: %w", err)
	}
	g.verdict <- err
}

func (g *guest) boot() error {
	if v, err := ioctl(g.kvm, kvmGetAPIVersion, 0); err != nil || v != 12 {
		return fmt.Errorf("unknown interface version %d: %w", v, err)
	}
	vm, err := ioctl(g.kvm, kvmCreateVM, 0)
	if err != nil {
		return fmt.Errorf("create a machine: %w", err)
	}
	defer unix.Close(int(vm))
	memory, err := unix.Mmap(-1, 0, memorySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	defer unix.Munmap(memory)
	load(memory)
	region := struct {
		slot, flags         uint32
		guest, size, memory uint64
	}{size: memorySize, memory: uint64(uintptr(unsafe.Pointer(&memory[0])))}
	if _, err := ioctl(vm, kvmSetUserMemoryRegion, uintptr(unsafe.Pointer(&region))); err != nil {
		return fmt.Errorf("give memory: %w", err)
	}
	// Intel processors need three pages out of the way; others ignore it.
	_, _ = ioctl(vm, kvmSetTSSAddr, 0xfffbd000)
	vcpu, err := ioctl(vm, kvmCreateVCPU, 0)
	if err != nil {
		return fmt.Errorf("create a processor: %w", err)
	}
	defer unix.Close(int(vcpu))
	size, err := ioctl(g.kvm, kvmGetVCPUMmapSize, 0)
	if err != nil {
		return err
	}
	page, err := unix.Mmap(int(vcpu), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the processor: %w", err)
	}
	defer unix.Munmap(page)
	if err := g.setUp(vcpu); err != nil {
		return err
	}
	g.page.Store(&page)
	defer g.page.Store(nil)
	deadline := time.Now().Add(patience)
	for {
		_, err := ioctl(vcpu, kvmRun, 0)
		if errors.Is(err, unix.EINTR) && page[runImmediateExit] == 0 && time.Now().Before(deadline) {
			continue
		}
		if err != nil {
			return fmt.Errorf("run a test guest: %w", err)
		}
		break
	}
	switch reason := binary.LittleEndian.Uint32(page[runExitReason:]); reason {
	case exitIO:
		io := page[runIO:]
		data := binary.LittleEndian.Uint64(io[8:])
		if binary.LittleEndian.Uint16(io[2:]) == port && data < uint64(len(page)) && page[data] == success {
			return nil
		}
		return errors.New("a test guest found ring 3, SSE or its page fault not working")
	case exitShutdown:
		return errors.New("a test guest in long mode with SSE crashed")
	default:
		return fmt.Errorf("a test guest in long mode stopped with exit reason %d", reason)
	}
}

type segment struct {
	base                           uint64
	limit                          uint32
	selector                       uint16
	typ, present, dpl, db, s, l, g uint8
	avl, unusable, padding         uint8
}

type table struct {
	base    uint64
	limit   uint16
	padding [3]uint16
}

// setUp puts the processor into long mode at the start of code.
func (g *guest) setUp(vcpu uintptr) error {
	// struct kvm_cpuid2 with room for 256 entries of 40 bytes.
	var cpuid [2 + 256*10]uint32
	cpuid[0] = 256
	if _, err := ioctl(g.kvm, kvmGetSupportedCPUID, uintptr(unsafe.Pointer(&cpuid))); err != nil {
		return fmt.Errorf("ask for processor features: %w", err)
	}
	if _, err := ioctl(vcpu, kvmSetCPUID2, uintptr(unsafe.Pointer(&cpuid))); err != nil {
		return fmt.Errorf("set processor features: %w", err)
	}
	var s struct {
		cs, ds, es, fs, gs, ss, tr, ldt segment
		gdt, idt                        table
		cr0, cr2, cr3, cr4, cr8         uint64
		efer, apicBase                  uint64
		interruptBitmap                 [4]uint64
	}
	if _, err := ioctl(vcpu, kvmGetSregs, uintptr(unsafe.Pointer(&s))); err != nil {
		return fmt.Errorf("read registers: %w", err)
	}
	s.cs = segment{limit: 1<<32 - 1, selector: 0x08, typ: 11, present: 1, s: 1, l: 1, g: 1}
	data := segment{limit: 1<<32 - 1, selector: 0x10, typ: 3, present: 1, s: 1, db: 1, g: 1}
	s.ds, s.es, s.fs, s.gs, s.ss = data, data, data, data, data
	s.gdt = table{base: gdt, limit: 7*8 - 1}
	s.cr0 = 0x80010033 // PG WP NE ET MP PE
	s.cr3 = pml4
	s.cr4 = 0x620  // PAE OSFXSR OSXMMEXCPT
	s.efer = 0x500 // LMA LME
	if _, err := ioctl(vcpu, kvmSetSregs, uintptr(unsafe.Pointer(&s))); err != nil {
		return fmt.Errorf("enter long mode: %w", err)
	}
	var r struct {
		ax, bx, cx, dx, si, di, sp, bp, r8, r9, r10, r11, r12, r13, r14, r15, ip, flags uint64
	}
	r.sp, r.ip, r.flags = stack, text, 2
	if _, err := ioctl(vcpu, kvmSetRegs, uintptr(unsafe.Pointer(&r))); err != nil {
		return fmt.Errorf("set registers: %w", err)
	}
	return nil
}

func ioctl(fd, request, arg uintptr) (uintptr, error) {
	v, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, arg)
	if errno != 0 {
		return v, errno
	}
	return v, nil
}

// bootID names this boot of the host and who asks, since the right to open
// the device is the user's.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b)) + " " + strconv.Itoa(os.Geteuid())
}
