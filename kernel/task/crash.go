package task

import (
	"husk/kernel/mm"
	"husk/spec"
)

// maxFrames bounds a backtrace.
const maxFrames = 48

// crashReport describes the state of the thread as a fatal signal finds it.
// It is made for the first process only; the ends of others are its affair.
func (t *Thread) crashReport(si *SigInfo, reason string) *Crash {
	if t.Process.tgid != 1 {
		return nil
	}
	c := &Crash{
		Signal: int(si.Signo), Code: int(si.Code), Addr: si.Fields[0],
		PID: t.Process.tgid, TID: t.TID, Command: t.Name(), Reason: reason,
		Registers: t.registers(),
	}
	if si.Code <= 0 || si.Code == siKernel {
		c.Addr = 0 // the union holds something else
	}
	t.backtrace(c)
	return c
}

// registers lists the registers as name=value.
func (t *Thread) registers() string {
	b := make([]byte, 0, 512)
	for i, r := range [...]struct {
		name string
		v    uint64
	}{
		{"rip", t.RIP},
		{"rsp", t.RSP},
		{"rbp", t.RBP},
		{"rflags", t.RFLAGS},
		{"rax", t.RAX},
		{"rbx", t.RBX},
		{"rcx", t.RCX},
		{"rdx", t.RDX},
		{"rsi", t.RSI},
		{"rdi", t.RDI},
		{"r8", t.R8},
		{"r9", t.R9},
		{"r10", t.R10},
		{"r11", t.R11},
		{"r12", t.R12},
		{"r13", t.R13},
		{"r14", t.R14},
		{"r15", t.R15},
		{"fs", t.FSBase},
		{"gs", t.GSBase},
	} {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, r.name...)
		b = append(b, '=')
		b = appendHex16(b, r.v)
	}
	return string(b)
}

func appendHex16(b []byte, v uint64) []byte {
	for s := 60; s >= 0; s -= 4 {
		b = append(b, "0123456789abcdef"[v>>s&15])
	}
	return b
}

// backtrace follows the frame pointers. Code that keeps none is common: then
// words on the stack that point behind a call instruction stand in.
func (t *Thread) backtrace(c *Crash) {
	t.addFrame(c, t.RIP)
	if len(c.Frames) == 0 || c.Frames[0].File == "" {
		// Nothing is mapped at RIP: a call through a bad pointer. Where it
		// came from is on top of the stack.
		if ret, ok := t.word(t.RSP); ok && t.afterCall(ret) {
			t.addFrame(c, ret)
		}
	}
	n := len(c.Frames)
	for fp := t.RBP; len(c.Frames) < maxFrames && fp%8 == 0 && fp >= t.RSP && fp-t.RSP < 8<<20; {
		next, ok1 := t.word(fp)
		ret, ok2 := t.word(fp + 8)
		if !ok1 || !ok2 || !t.afterCall(ret) {
			break
		}
		t.addFrame(c, ret)
		if next <= fp {
			break
		}
		fp = next
	}
	if len(c.Frames) > n+1 {
		return
	}
	c.Frames = c.Frames[:n]
	for a := t.RSP &^ 7; a < t.RSP+16<<10 && len(c.Frames) < maxFrames; a += 8 {
		v, ok := t.word(a)
		if !ok {
			return
		}
		if t.afterCall(v) {
			t.addFrame(c, v)
		}
	}
}

func (t *Thread) word(a uint64) (uint64, bool) {
	if a%8 != 0 {
		return 0, false
	}
	v, err := t.mem.Load64(mm.Addr(a))
	return v, err == nil
}

// afterCall reports whether a call instruction ends right before a.
func (t *Thread) afterCall(a uint64) bool {
	if a < 1<<16 {
		return false
	}
	v, ok := t.mem.VMAAt(mm.Addr(a))
	if !ok || !v.Exec {
		return false
	}
	var b [7]byte
	if n, _ := t.mem.CopyIn(b[:], mm.Addr(a-7)); n < len(b) {
		return false
	}
	if b[2] == 0xe8 { // call rel32
		return true
	}
	// call r/m: FF /2, of 2, 3, 4, 6 or 7 bytes.
	for _, n := range [...]int{2, 3, 4, 6, 7} {
		if at := len(b) - n; b[at] == 0xff && b[at+1]>>3&7 == 2 {
			return true
		}
	}
	return false
}

// addFrame appends an address with the place in the file that it is mapped from.
func (t *Thread) addFrame(c *Crash, pc uint64) {
	f := spec.Frame{PC: pc}
	if v, ok := t.mem.VMAAt(mm.Addr(pc)); ok {
		f.File = v.Name
		f.Offset = pc - uint64(v.Start) + v.Offset
	}
	c.Frames = append(c.Frames, f)
}
