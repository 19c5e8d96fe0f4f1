package task

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
)

// frameProgram is machine code for address 0x400078 that installs a handler
// for SIGUSR1 (SA_SIGINFO, mask SIGKILL), blocks signal 18, fills registers with
// patterns (rbx 01…, rbp 02…, r12–r15 03…–06…, r8–r10 07…–09…, rdx 0a…), sets
// the direction flag and kills itself. The handler writes 32 bytes (its first
// argument, flags and stack pointer) and then 4096 bytes from its stack pointer
// to standard output, and exits.
const frameProgram = `
b80d000000bf0a000000488d350701000031d241ba080000000f05b80e000000bf02000000488d350c01000031d241ba
080000000f05b8270000000f0589c748bb010101010101010148bd020202020202020249bc030303030303030349bd04
0404040404040449be050505050505050549bf060606060606060649b8070707070707070749b9080808080808080849
ba090909090909090948ba0a0a0a0a0a0a0a0abe0a000000b83e000000fd0f05ebfe4889e69c415f4c893d8900000048
893d7a000000b801000000bf01000000488d15690000004989f44889d6ba200000004c89256700000048c7c001000000
0f054c89e6ba00100000b801000000bf010000000f05b83c00000031ff0f05b80f0000000f0566902a01400000000000
040000040000000087014000000000000001000000000000000002000000000000000000000000000000000000000000
00000000000000000000000000000000
`

// nativeFrame runs frameProgram on the host and returns what the handler saw.
func nativeFrame(t *testing.T) (pid int, arg, flags, sp uint64, frame []byte) {
	t.Helper()
	code, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(frameProgram), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	const base, headers = 0x400000, 120
	h := make([]byte, headers)
	copy(h, "\x7fELF\x02\x01\x01")
	le.PutUint16(h[16:], 2)  // ET_EXEC
	le.PutUint16(h[18:], 62) // EM_X86_64
	le.PutUint32(h[20:], 1)
	le.PutUint64(h[24:], base+headers) // entry
	le.PutUint64(h[32:], 64)           // program headers
	le.PutUint16(h[52:], 64)
	le.PutUint16(h[54:], 56)
	le.PutUint16(h[56:], 1)
	p := h[64:]
	le.PutUint32(p, 1)     // PT_LOAD
	le.PutUint32(p[4:], 7) // RWX
	le.PutUint64(p[16:], base)
	le.PutUint64(p[32:], uint64(headers+len(code)))
	le.PutUint64(p[40:], uint64(headers+len(code)))
	le.PutUint64(p[48:], 0x1000)
	name := filepath.Join(t.TempDir(), "frame")
	if err := os.WriteFile(name, append(h, code...), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Skipf("cannot run a program of 500 bytes: %v", err)
	}
	b := out.Bytes()
	if len(b) < 32+frameSize+1024 {
		t.Fatalf("the program wrote %d bytes", len(b))
	}
	return cmd.Process.Pid, le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:]), b[32:]
}

func TestSignalFrameIsLaidOutAsLinuxDoes(t *testing.T) {
	pid, arg, flags, sp, want := nativeFrame(t)
	reg := func(i int) uint64 { return le.Uint64(want[offMcontext+8*i:]) }
	oldSP, fp := reg(15), reg(23)
	if fp < sp || fp-sp+fxsaveSize > uint64(len(want)) {
		t.Fatalf("extended state at %#x, frame at %#x", fp, sp)
	}
	xsave := want[fp-sp:]
	if le.Uint32(xsave[fpSoftware:]) != fpMagic1 {
		t.Errorf("no magic number at %d", fpSoftware)
	}
	size := le.Uint32(xsave[fpSoftware+16:])
	if le.Uint32(xsave[fpSoftware+4:]) != size+4 {
		t.Errorf("extended size %d of %d", le.Uint32(xsave[fpSoftware+4:]), size)
	}
	if int(fp-sp)+int(size)+4 <= len(want) && le.Uint32(xsave[size:]) != fpMagic2 {
		t.Error("no second magic number")
	}
	if gotFP, gotSP := framePlace(oldSP-redZone, int(size)); gotFP != fp || gotSP != sp {
		t.Errorf("framePlace: %#x %#x, Linux: %#x %#x", gotFP, gotSP, fp, sp)
	}

	// The same registers and signal through our own code.
	as, err := mm.NewAddressSpace()
	if err != nil {
		t.Fatal(err)
	}
	defer as.Put()
	low := mm.Addr(oldSP-0x8000) &^ 0xfff
	if _, err := as.Map(mm.MapRequest{
		Addr: low, Len: 0x9000, Prot: unix.PROT_READ | unix.PROT_WRITE,
		Flags: unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_FIXED,
	}); err != nil {
		t.Fatal(err)
	}
	th := NewInit()
	th.mem = as
	th.blocked = 0x20000
	th.R8, th.R9, th.R10, th.R11 = reg(0), reg(1), reg(2), reg(3)
	th.R12, th.R13, th.R14, th.R15 = reg(4), reg(5), reg(6), reg(7)
	th.RDI, th.RSI, th.RBP, th.RBX = reg(8), reg(9), reg(10), reg(11)
	th.RDX, th.RAX, th.RCX, th.RSP = reg(12), reg(13), reg(14), reg(15)
	th.RIP, th.RFLAGS = reg(16), reg(17)
	before := th.Regs
	si := SigInfo{Signo: int32(unix.SIGUSR1)}
	si.setSender(pid, uint32(os.Getuid()))
	restorer := le.Uint64(want)
	act := &SigAction{Handler: 0x40012a, Flags: saSigInfo | saRestorer, Restorer: restorer, Mask: 0x100}
	if !th.setupFrame(&si, act, th.maskForHandler(int(si.Signo), act)) {
		t.Fatal("setupFrame failed")
	}
	got := make([]byte, frameSize)
	if _, err := as.CopyIn(got, mm.Addr(th.RSP)); err != nil {
		t.Fatal(err)
	}
	gotFP := le.Uint64(got[offFpstate:])
	le.PutUint64(got[offFpstate:], fp) // the host has more extended state than the fake
	for i := 0; i < frameSize; i += 8 {
		if i == offMcontext+19*8 || i == offMcontext+20*8 || i == offMcontext+22*8 {
			continue // err, trapno, cr2: of a fault that the host has seen
		}
		if g, w := le.Uint64(got[i:]), le.Uint64(want[i:]); g != w {
			t.Errorf("offset %d: %#x, Linux: %#x", i, g, w)
		}
	}
	if th.RDI != arg || th.RFLAGS&^0x8d5 != flags&^0x8d5 {
		t.Errorf("argument %#x, flags %#x; Linux: %#x, %#x", th.RDI, th.RFLAGS, arg, flags)
	}
	if th.RSP%16 != 8 || th.RSI != th.RSP+offSiginfo || th.RDX != th.RSP+offUcontext || gotFP%64 != 0 {
		t.Errorf("handler starts with rsp=%#x rsi=%#x rdx=%#x fp=%#x", th.RSP, th.RSI, th.RDX, gotFP)
	}
	if th.blocked != 0x20000|sigBit(int(unix.SIGUSR1)) { // SIGKILL is never blocked
		t.Errorf("handler's mask %#x", th.blocked)
	}

	// And back: everything as it was.
	th.RSP += 8
	th.RBX, th.R12, th.RFLAGS = 0, 0, flagIF|2
	if rax := th.Sigreturn(); uint64(rax) != before.RAX {
		t.Errorf("sigreturn gives rax %#x, want %#x", rax, before.RAX)
	}
	after := th.Regs
	after.OrigRAX, after.CS, after.SS = before.OrigRAX, before.CS, before.SS
	after.RFLAGS = after.RFLAGS &^ flagIF // the fake's registers began without it
	before.RFLAGS &^= flagIF
	if after != before || th.blocked != 0x20000 {
		t.Errorf("after sigreturn:\n%+v\nbefore:\n%+v\nmask %#x", after, before, th.blocked)
	}
}

func TestSigreturnRefusesWhatTheProgramMayNotSet(t *testing.T) {
	end := boot(t, func(u *user3) {
		u.must(func(t *Thread) error {
			t.RFLAGS = flagIF | 2
			t.setupFrame(&SigInfo{Signo: 10}, &SigAction{Handler: handlerAddr, Flags: saRestorer, Restorer: restorerAddr}, t.blocked)
			f := t.RSP
			_ = t.mem.Store64(mm.Addr(f+offMcontext+17*8), ^uint64(0)) // flags
			_ = t.mem.Store64(mm.Addr(f+offMcontext+18*8), 0x0010_0000_0000_0008)
			_ = t.mem.Store64(mm.Addr(f+offMcontext+16*8), 1<<47)
			t.RSP += 8
			t.Sigreturn()
			if t.RFLAGS != flagsUser|flagIF|2 {
				u.m.t.Errorf("flags %#x", t.RFLAGS)
			}
			if t.CS != userCS || t.SS != userSS {
				u.m.t.Errorf("cs %#x ss %#x", t.CS, t.SS)
			}
			if t.work.Load()&workSignal == 0 || !t.pending.set.Has(int(unix.SIGSEGV)) {
				u.m.t.Error("a non-canonical RIP raises no signal")
			}
			return nil
		})
	})
	if end.Status != int(unix.SIGSEGV) {
		t.Errorf("status %#x", end.Status)
	}
	if end.Crash == nil || end.Crash.Signal != int(unix.SIGSEGV) || end.Crash.Registers == "" {
		t.Errorf("crash report %+v", end.Crash)
	}
}
