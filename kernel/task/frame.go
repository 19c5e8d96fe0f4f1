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
	frameSize   = offSiginfo + sigInfoSize

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

// setupFrame makes the thread run a handler when it enters ring 3 next; mask is
// what the handler's return brings back. It reports false when the frame could
// not be written.
func (t *Thread) setupFrame(si *SigInfo, act *SigAction, mask SigSet) bool {
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

	// In place if the frame lies in one page, as nearly all do.
	size := int(fp-sp) + n + 4
	if p, ok := t.mem.Pin(mm.Addr(sp), size, mm.Write); ok {
		t.StoreFPU(p.B[fp-sp:][:n:n])
		t.writeFrame(p.B, sp, fp, si, act, mask)
		p.Unpin()
	} else {
		b := t.frameBuffer(size)
		clear(b)
		t.SaveFPU(b[fp-sp:][:n:n])
		t.writeFrame(b, sp, fp, si, act, mask)
		if c, err := t.mem.CopyOut(mm.Addr(sp), b); err != nil || c < size {
			return false
		}
	}
	if t.altstack.Flags&ssAutodisarm != 0 {
		t.altstack = AltStack{Flags: ssDisable}
	}

	t.RDI, t.RSI, t.RDX, t.RAX = uint64(si.Signo), sp+offSiginfo, sp+offUcontext, 0
	t.RSP, t.RIP = sp, act.Handler
	t.CS, t.SS = userCS, userSS
	t.RFLAGS &^= flagDF | flagRF | flagTF
	t.ResetFPU()
	return true
}

// writeFrame lays out the signal frame that starts at sp, around the extended
// state, which is at fp already.
func (t *Thread) writeFrame(b []byte, sp, fp uint64, si *SigInfo, act *SigAction, oldMask SigSet) {
	n := cpu.FPUSize()
	mask := uint64(oldMask)
	f := (*[frameSize]byte)(b)
	le.PutUint64(f[:], act.Restorer)
	flags := uint64(ucSigcontextSS | ucStrictRestorSS)
	if n > fxsaveSize {
		flags |= ucFPXstate
	}
	le.PutUint64(f[offUcontext:], flags)
	le.PutUint64(f[offUcontext+8:], 0) // uc_link
	le.PutUint64(f[offUcStack:], t.altstack.SP)
	le.PutUint64(f[offUcStack+8:], uint64(t.altstack.Flags))
	le.PutUint64(f[offUcStack+16:], t.altstack.Size)
	const m = offMcontext
	le.PutUint64(f[m+8*0:], t.R8)
	le.PutUint64(f[m+8*1:], t.R9)
	le.PutUint64(f[m+8*2:], t.R10)
	le.PutUint64(f[m+8*3:], t.R11)
	le.PutUint64(f[m+8*4:], t.R12)
	le.PutUint64(f[m+8*5:], t.R13)
	le.PutUint64(f[m+8*6:], t.R14)
	le.PutUint64(f[m+8*7:], t.R15)
	le.PutUint64(f[m+8*8:], t.RDI)
	le.PutUint64(f[m+8*9:], t.RSI)
	le.PutUint64(f[m+8*10:], t.RBP)
	le.PutUint64(f[m+8*11:], t.RBX)
	le.PutUint64(f[m+8*12:], t.RDX)
	le.PutUint64(f[m+8*13:], t.RAX)
	le.PutUint64(f[m+8*14:], t.RCX)
	le.PutUint64(f[m+8*15:], t.RSP)
	le.PutUint64(f[m+8*16:], t.RIP)
	le.PutUint64(f[m+8*17:], t.RFLAGS)
	le.PutUint64(f[m+8*18:], userCS|userSS<<48)
	le.PutUint64(f[m+8*19:], t.fault.code)
	le.PutUint64(f[m+8*20:], t.fault.trap)
	le.PutUint64(f[m+8*21:], mask)
	le.PutUint64(f[m+8*22:], t.fault.addr)
	le.PutUint64(f[m+8*23:], fp)
	*(*[offSigmask - m - 8*24]byte)(f[m+8*24:]) = [offSigmask - m - 8*24]byte{}
	le.PutUint64(f[offSigmask:], mask)
	si.encode((*[sigInfoSize]byte)(f[offSiginfo:]))

	x := b[fp-sp:]
	if n > fxsaveSize {
		w := (*[fxsaveSize]byte)(x)
		le.PutUint32(w[fpSoftware:], fpMagic1)
		le.PutUint32(w[fpSoftware+4:], uint32(n+4))
		le.PutUint64(w[fpSoftware+8:], cpu.XCR0())
		le.PutUint32(w[fpSoftware+16:], uint32(n))
		*(*[fxsaveSize - fpSoftware - 20]byte)(w[fpSoftware+20:]) = [fxsaveSize - fpSoftware - 20]byte{}
	}
	le.PutUint32(x[n:], fpMagic2)
}

// Sigreturn serves rt_sigreturn(2). It returns the value of RAX.
func (t *Thread) Sigreturn() uintptr {
	t.restart = nil
	sp := t.RSP - 8
	// Where setupFrame puts the extended state, which is nearly always in the
	// same page.
	fp := (sp + frameSize + 8 + 63) &^ 63
	size := int(fp-sp) + cpu.FPUSize() + 4
	p, pinned := t.mem.Pin(mm.Addr(sp), size, mm.Read)
	b := p.B
	if !pinned {
		b = t.frameBuffer(frameSize)
		if n, err := t.mem.CopyIn(b, mm.Addr(sp)); err != nil || n < frameSize {
			return t.badFrame()
		}
	}
	f := (*[frameSize]byte)(b)
	mask := SigSet(le.Uint64(f[offSigmask:]))
	stack := AltStack{SP: le.Uint64(f[offUcStack:]), Flags: le.Uint32(f[offUcStack+8:]), Size: le.Uint64(f[offUcStack+16:])}

	const m = offMcontext
	t.R8 = le.Uint64(f[m+8*0:])
	t.R9 = le.Uint64(f[m+8*1:])
	t.R10 = le.Uint64(f[m+8*2:])
	t.R11 = le.Uint64(f[m+8*3:])
	t.R12 = le.Uint64(f[m+8*4:])
	t.R13 = le.Uint64(f[m+8*5:])
	t.R14 = le.Uint64(f[m+8*6:])
	t.R15 = le.Uint64(f[m+8*7:])
	t.RDI = le.Uint64(f[m+8*8:])
	t.RSI = le.Uint64(f[m+8*9:])
	t.RBP = le.Uint64(f[m+8*10:])
	t.RBX = le.Uint64(f[m+8*11:])
	t.RDX = le.Uint64(f[m+8*12:])
	t.RAX = le.Uint64(f[m+8*13:])
	t.RCX = le.Uint64(f[m+8*14:])
	t.RSP = le.Uint64(f[m+8*15:])
	t.RIP = le.Uint64(f[m+8*16:])
	t.RFLAGS = t.RFLAGS&^flagsUser | le.Uint64(f[m+8*17:])&flagsUser
	here, ok := fp, false
	if fp = le.Uint64(f[m+8*23:]); pinned {
		if fp == here {
			ok = t.loadFPU(b[fp-sp:])
		}
		p.Unpin()
	}
	if !pinned || fp != here {
		ok = t.restoreFPU(fp)
	}
	t.CS, t.SS = userCS, userSS
	t.OrigRAX = notSyscall // no restart
	rax := t.RAX

	t.setMask(mask)
	if !ok {
		return t.badFrame()
	}
	// A stack that cannot be set is no error here; the present one stays.
	if stack != t.altstack {
		_, _ = t.Sigaltstack(&stack)
	}
	if !canonical(t.RIP) {
		t.badFrame() // IRET would fault
		return uintptr(rax)
	}
	return uintptr(rax)
}

// frameBuffer returns n bytes to build or read a frame in that does not lie
// in one page.
func (t *Thread) frameBuffer(n int) []byte {
	if cap(t.frame) < n {
		t.frame = make([]byte, n)
	}
	return t.frame[:n]
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
	if fp == 0 {
		t.ResetFPU()
		return true
	}
	n := cpu.FPUSize() + 4
	if p, ok := t.mem.Pin(mm.Addr(fp), n, mm.Read); ok {
		ok = t.loadFPU(p.B)
		p.Unpin()
		return ok
	}
	b := t.frameBuffer(n)
	c, _ := t.mem.CopyIn(b, mm.Addr(fp))
	return c >= fxsaveSize && t.loadFPU(b[:c])
}

// loadFPU loads the extended state of a frame: all of it if the software
// bytes and the second magic number vouch for it, else the old part. The
// image may change meanwhile.
func (t *Thread) loadFPU(img []byte) bool {
	n := cpu.FPUSize()
	w := (*[fxsaveSize]byte)(img)
	size := int(le.Uint32(w[fpSoftware+16:]))
	if le.Uint32(w[fpSoftware:]) != fpMagic1 ||
		size < fxsaveSize+64 || size > n || int(le.Uint32(w[fpSoftware+4:])) < size ||
		len(img) < size+4 || le.Uint32(img[size:]) != fpMagic2 {
		return t.RestoreFPU(img[:fxsaveSize])
	}
	if size < n { // what is missing is as a fresh program's
		full := make([]byte, n)
		copy(full, img[:size])
		return t.RestoreFPU(full)
	}
	return t.RestoreFPU(img[:n])
}

// sigInfoSize is the size of siginfo_t.
const sigInfoSize = 128

// encode writes the siginfo_t.
func (si *SigInfo) encode(b *[sigInfoSize]byte) {
	le.PutUint32(b[:], uint32(si.Signo))
	le.PutUint32(b[4:], uint32(si.Errno))
	le.PutUint32(b[8:], uint32(si.Code))
	le.PutUint32(b[12:], 0)
	f := &si.Fields
	for i := 0; i < len(f); i += 2 {
		le.PutUint64(b[16+8*i:], f[i])
		le.PutUint64(b[24+8*i:], f[i+1])
	}
}

// Encode returns the siginfo_t's bytes.
func (si *SigInfo) Encode() (b [128]byte) {
	si.encode(&b)
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
