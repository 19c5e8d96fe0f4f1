package task

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
)

var le = binary.LittleEndian

// A signal frame of amd64, from the stack pointer that the handler starts
// with upwards (arch/x86/include/asm/sigframe.h):
//
//	restorer   8 bytes, where the handler returns to
//	ucontext   flags, link, stack_t, sigcontext, mask
//	siginfo    128 bytes
//	…          to the 64-byte boundary where the extended state starts:
//	xsave      in the standard format, software bytes at 464, second magic after it
//
// The stack pointer is 8 below a multiple of 16, as after a call.
const (
	offUcontext = 8
	offUcStack  = offUcontext + 16
	offMcontext = offUcontext + 40
	offFpstate  = offMcontext + 184
	offSigmask  = offMcontext + 256
	offSiginfo  = offSigmask + 8
	frameSize   = offSiginfo + 128

	// frameRoom is what thread.frame holds besides the extended state.
	frameRoom = 4 + frameSize

	redZone = 128 // below the stack pointer, the ABI's

	fpSoftware = 464 // sw_reserved of the FXSAVE area
	fpMagic1   = 0x46505853
	fpMagic2   = 0x46505845
	fxsaveSize = 512
)

// uc_flags.
const (
	ucFPXstate       = 1
	ucSigcontextSS   = 2
	ucStrictRestorSS = 4
)

// Segment selectors as Linux gives them to programs.
const (
	userCS = 0x33
	userSS = 0x2b
)

// The flags that rt_sigreturn takes from the frame (FIX_EFLAGS).
const (
	flagCF    = 1 << 0
	flagTF    = 1 << 8
	flagIF    = 1 << 9
	flagDF    = 1 << 10
	flagRF    = 1 << 16
	flagAC    = 1 << 18
	flagsUser = flagAC | 1<<11 | flagDF | flagTF | 1<<7 | 1<<6 | 1<<4 | 1<<2 | flagCF | flagRF
)

// AltStack is stack_t. The flags are kept as the program gave them.
type AltStack struct {
	SP    uint64
	Flags uint32
	Size  uint64
}

// ss_flags.
const (
	ssOnStack    = 1
	ssDisable    = 2
	ssAutodisarm = 1 << 31
)

// minSigStackSize is MINSIGSTKSZ, the least that sigaltstack(2) takes.
const minSigStackSize = 2048

// has reports whether sp lies on the alternate stack and counts as being on it.
func (s *AltStack) has(sp uint64) bool {
	return s.Flags&ssAutodisarm == 0 && sp > s.SP && sp-s.SP <= s.Size
}

// status is ss_flags as shown to the program while sp is its stack pointer.
func (s *AltStack) status(sp uint64) uint32 {
	switch {
	case s.Size == 0:
		return ssDisable
	case s.has(sp):
		return ssOnStack | s.Flags&ssAutodisarm
	}
	return s.Flags & ssAutodisarm
}

// Sigaltstack serves sigaltstack(2).
func (t *Thread) Sigaltstack(set *AltStack) (AltStack, error) {
	old := t.altstack
	old.Flags = t.altstack.status(t.RSP)
	if old.Size == 0 {
		old.SP = 0
	}
	if set == nil {
		return old, nil
	}
	if t.altstack.has(t.RSP) {
		return old, unix.EPERM
	}
	mode := set.Flags &^ ssAutodisarm
	if mode != ssDisable && mode != ssOnStack && mode != 0 {
		return old, unix.EINVAL
	}
	if mode == ssDisable {
		t.altstack = AltStack{Flags: set.Flags}
		return old, nil
	}
	if set.Size < minSigStackSize {
		return old, unix.ENOMEM
	}
	t.altstack = *set
	return old, nil
}

// framePlace returns where the extended state of n bytes and the frame go when
// the stack is free below sp.
func framePlace(sp uint64, n int) (fp, frame uint64) {
	fp = (sp - uint64(n+4)) &^ 63
	return fp, (fp-frameSize)&^15 - 8
}

// setupFrame makes the thread run a handler when it enters ring 3 next. It
// reports false when the frame could not be written.
func (t *Thread) setupFrame(si *SigInfo, act *SigAction) bool {
	if act.Flags&saRestorer == 0 {
		return false // amd64 has no other way back
	}
	nested := t.altstack.has(t.RSP)
	sp := t.RSP - redZone
	entering := false
	if act.Flags&saOnStack != 0 && t.altstack.Size != 0 && !t.altstack.has(sp) {
		sp = t.altstack.SP + t.altstack.Size
		entering = true
	}
	n := cpu.FPUSize()
	fp, sp := framePlace(sp, n)
	if (nested || entering) && !(sp > t.altstack.SP && sp-t.altstack.SP <= t.altstack.Size) {
		return false
	}

	img := t.fpuImage()
	img = img[:n+4]
	if n > fxsaveSize {
		le.PutUint32(img[fpSoftware:], fpMagic1)
		le.PutUint32(img[fpSoftware+4:], uint32(n+4))
		le.PutUint64(img[fpSoftware+8:], cpu.XCR0())
		le.PutUint32(img[fpSoftware+16:], uint32(n))
		clear(img[fpSoftware+20 : fxsaveSize])
	}
	le.PutUint32(img[n:], fpMagic2)
	if c, err := t.mem.CopyOut(mm.Addr(fp), img); err != nil || c < len(img) {
		return false
	}

	f := t.frame[:frameSize]
	clear(f)
	le.PutUint64(f, act.Restorer)
	flags := uint64(ucSigcontextSS | ucStrictRestorSS)
	if n > fxsaveSize {
		flags |= ucFPXstate
	}
	le.PutUint64(f[offUcontext:], flags)
	le.PutUint64(f[offUcStack:], t.altstack.SP)
	le.PutUint32(f[offUcStack+8:], t.altstack.Flags)
	le.PutUint64(f[offUcStack+16:], t.altstack.Size)
	if t.altstack.Flags&ssAutodisarm != 0 {
		t.altstack = AltStack{Flags: ssDisable}
	}
	m := f[offMcontext:]
	for i, v := range [...]uint64{
		t.R8, t.R9, t.R10, t.R11, t.R12, t.R13, t.R14, t.R15,
		t.RDI, t.RSI, t.RBP, t.RBX, t.RDX, t.RAX, t.RCX, t.RSP, t.RIP, t.RFLAGS,
		userCS | userSS<<48,
		t.fault.code, t.fault.trap, uint64(t.oldMask()), t.fault.addr, fp,
	} {
		le.PutUint64(m[8*i:], v)
	}
	le.PutUint64(f[offSigmask:], uint64(t.oldMask()))
	si.encode(f[offSiginfo:])
	if c, err := t.mem.CopyOut(mm.Addr(sp), f); err != nil || c < len(f) {
		return false
	}

	t.RDI, t.RSI, t.RDX, t.RAX = uint64(si.Signo), sp+offSiginfo, sp+offUcontext, 0
	t.RSP, t.RIP = sp, act.Handler
	t.CS, t.SS = userCS, userSS
	t.RFLAGS &^= flagDF | flagRF | flagTF
	t.ResetFPU()

	t.work.And(^uint32(workRestoreMask)) // the frame restores it
	mask := t.blocked | act.Mask
	if act.Flags&saNoDefer == 0 {
		mask |= sigBit(int(si.Signo))
	}
	t.setMask(mask)
	return true
}

// oldMask is the mask that the handler's return brings back.
func (t *Thread) oldMask() SigSet {
	if t.work.Load()&workRestoreMask != 0 {
		return t.savedMask
	}
	return t.blocked
}

// Sigreturn serves rt_sigreturn(2). It returns the value of RAX.
func (t *Thread) Sigreturn() uintptr {
	t.restart = nil
	t.fpuBuffer()
	f := t.frame[:frameSize]
	sp := t.RSP - 8
	if n, err := t.mem.CopyIn(f, mm.Addr(sp)); err != nil || n < len(f) {
		return t.badFrame()
	}
	m := f[offMcontext:]
	reg := func(i int) uint64 { return le.Uint64(m[8*i:]) }
	mask := SigSet(le.Uint64(f[offSigmask:]))
	stack := AltStack{SP: le.Uint64(f[offUcStack:]), Flags: le.Uint32(f[offUcStack+8:]), Size: le.Uint64(f[offUcStack+16:])}
	fp := reg(23)

	t.R8, t.R9, t.R10, t.R11 = reg(0), reg(1), reg(2), reg(3)
	t.R12, t.R13, t.R14, t.R15 = reg(4), reg(5), reg(6), reg(7)
	t.RDI, t.RSI, t.RBP, t.RBX = reg(8), reg(9), reg(10), reg(11)
	t.RDX, t.RAX, t.RCX, t.RSP = reg(12), reg(13), reg(14), reg(15)
	t.RIP = reg(16)
	t.RFLAGS = t.RFLAGS&^flagsUser | reg(17)&flagsUser
	t.CS, t.SS = userCS, userSS
	t.OrigRAX = notSyscall // no restart
	rax := t.RAX

	t.setMask(mask)
	if !t.restoreFPU(fp) {
		return t.badFrame()
	}
	// A stack that cannot be set is no error here; the present one stays.
	_, _ = t.Sigaltstack(&stack)
	if !canonical(t.RIP) {
		t.badFrame() // IRET would fault
		return uintptr(rax)
	}
	return uintptr(rax)
}

func (t *Thread) fpuBuffer() {
	if n := cpu.FPUSize() + frameRoom; cap(t.frame) < n {
		t.frame = make([]byte, n)
	}
}

// canonical reports whether an address has the form that the processor takes.
func canonical(a uint64) bool { return uint64(int64(a)<<16>>16) == a }

// badFrame raises SIGSEGV for a frame that cannot be used.
func (t *Thread) badFrame() uintptr {
	t.OrigRAX = notSyscall
	t.forceSegv()
	return 0
}

// restoreFPU loads the extended state that a frame points to; 0 means none.
func (t *Thread) restoreFPU(fp uint64) bool {
	n := cpu.FPUSize()
	img := t.frame[:n]
	if fp == 0 {
		t.ResetFPU()
		return true
	}
	if c, err := t.mem.CopyIn(img[:fxsaveSize], mm.Addr(fp)); err != nil || c < fxsaveSize {
		return false
	}
	if le.Uint32(img[fpSoftware:]) != fpMagic1 {
		return t.RestoreFPU(img[:fxsaveSize])
	}
	size := uint64(le.Uint32(img[fpSoftware+16:]))
	if size < fxsaveSize+64 || size > uint64(n) || le.Uint32(img[fpSoftware+4:]) < uint32(size) {
		return t.RestoreFPU(img[:fxsaveSize])
	}
	var magic [4]byte
	if c, err := t.mem.CopyIn(magic[:], mm.Addr(fp+size)); err != nil || c < 4 || le.Uint32(magic[:]) != fpMagic2 {
		return t.RestoreFPU(img[:fxsaveSize])
	}
	clear(img[size:])
	if c, err := t.mem.CopyIn(img[fxsaveSize:size], mm.Addr(fp+fxsaveSize)); err != nil || c < int(size)-fxsaveSize {
		return false
	}
	clear(img[fpSoftware:fxsaveSize])
	return t.RestoreFPU(img)
}

// encode writes the siginfo_t.
func (si *SigInfo) encode(b []byte) {
	le.PutUint32(b, uint32(si.Signo))
	le.PutUint32(b[4:], uint32(si.Errno))
	le.PutUint32(b[8:], uint32(si.Code))
	le.PutUint32(b[12:], 0)
	for i, v := range si.Fields {
		le.PutUint64(b[16+8*i:], v)
	}
}

// Encode returns the siginfo_t's bytes.
func (si *SigInfo) Encode() (b [128]byte) {
	si.encode(b[:])
	return b
}

// DecodeSigInfo reads a siginfo_t.
func DecodeSigInfo(b *[128]byte) (si SigInfo) {
	si.Signo, si.Errno, si.Code = int32(le.Uint32(b[:])), int32(le.Uint32(b[4:])), int32(le.Uint32(b[8:]))
	for i := range si.Fields {
		si.Fields[i] = le.Uint64(b[16+8*i:])
	}
	return si
}
