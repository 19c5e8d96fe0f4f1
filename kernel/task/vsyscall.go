package task

import (
	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/mm"
)

// vsyscallPage is where old programs call gettimeofday, time and getcpu, each
// at its own kilobyte. Nothing is mapped there: the instruction fetch faults
// and the call is served as Linux does with vsyscall=emulate.
const vsyscallPage = uintptr(0xffffffffff600000)

// vsyscall serves a fetch at addr and reports whether it was one of the calls.
func (t *Thread) vsyscall(addr uintptr) bool {
	if uint64(addr) != t.RIP {
		return false
	}
	var result int64
	ok := true
	switch addr - vsyscallPage {
	case 0x000:
		now := clock.Timespec(clock.Realtime())
		if t.RDI != 0 {
			var b [16]byte
			le.PutUint64(b[:], uint64(now.Sec))
			le.PutUint64(b[8:], uint64(now.Nsec/1000))
			ok = t.writable(t.RDI, b[:])
		}
		if t.RSI != 0 && ok {
			ok = t.writable(t.RSI, make([]byte, 8)) // struct timezone: UTC
		}
	case 0x400:
		result = clock.Realtime() / clock.Second
		if t.RDI != 0 {
			var b [8]byte
			le.PutUint64(b[:], uint64(result))
			ok = t.writable(t.RDI, b[:])
		}
	case 0x800:
		var b [4]byte
		le.PutUint32(b[:], uint32(cpu.CurrentCPU()))
		if t.RDI != 0 {
			ok = t.writable(t.RDI, b[:])
		}
		if t.RSI != 0 && ok {
			ok = t.writable(t.RSI, make([]byte, 4))
		}
	default:
		return false
	}
	var ret [8]byte
	if n, _ := t.mem.CopyIn(ret[:], mm.Addr(t.RSP)); n != len(ret) {
		return false
	}
	if !ok {
		t.force(&SigInfo{Signo: int32(unix.SIGSEGV), Code: segvMapErr})
		return true
	}
	t.RAX = uint64(result)
	t.RIP = le.Uint64(ret[:])
	t.RSP += 8
	return true
}

func (t *Thread) writable(a uint64, p []byte) bool {
	n, _ := t.mem.CopyOut(mm.Addr(a), p)
	return n == len(p)
}
