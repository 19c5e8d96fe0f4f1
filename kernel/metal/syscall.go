//go:build baremetal

package metal

// The system calls that the Go runtime issues, and those of package cpu.

const (
	eperm     = 1
	enoent    = 2
	esrch     = 3
	ebadf     = 9
	eagain    = 11
	enomem    = 12
	einval    = 22
	emfile    = 24
	enospc    = 28
	enodev    = 19
	enosys    = 38
	etimedout = 110
)

func errno(e uint64) uint64 { return -e }

// Calls of package cpu, above every number of Linux's.
const (
	kcallAlloc = 0x4000 + iota
	kcallArea
	kcallFree
	kcallContiguous
	kcallFlush
	kcallForgetRoot
	kcallMMIO
	kcallIRQ
	kcallMSI
	kcallIRQDone
	kcallAlarm
	kcallKick
	kcallFetchFPU
	kcallPowerOff
	kcallSerial
)

// kernelSyscall serves SYSCALL in ring 0; f is the current thread's frame. It
// returns true if that is not to be continued as it is: another thread runs,
// or a signal is to be handled.
func kernelSyscall(f *Frame) bool {
	c := thisCPU()
	changed := false
	schedLock.lock()
	switch f.RAX {
	case 0:
		f.RAX = sysRead(f.RDI, uintptr(f.RSI), uintptr(f.RDX))
	case 1:
		f.RAX = sysWrite(f.RDI, uintptr(f.RSI), uintptr(f.RDX))
	case 3:
		f.RAX = sysClose(f.RDI)
	case 9:
		f.RAX = sysMmap(uintptr(f.RDI), uintptr(f.RSI), f.RDX, f.R10)
	case 11:
		f.RAX = sysMunmap(uintptr(f.RDI), uintptr(f.RSI))
	case 13:
		sysSigaction(f)
	case 14:
		sysSigprocmask(c, f)
	case 15:
		sysSigreturn(c, f)
		changed = true
	case 24:
		f.RAX = 0
		changed = sysYield(c)
	case 28:
		f.RAX = sysMadvise(uintptr(f.RDI), uintptr(f.RSI), f.RDX)
	case 35:
		sysNanosleep(c, f)
		changed = true
	case 39:
		f.RAX = 1
	case 56:
		f.RAX = sysClone(c, f)
	case 60:
		sysExit(c)
		changed = true
	case 72:
		f.RAX = sysFcntl(f.RDI, f.RSI)
	case 131:
		sysSigaltstack(c, f)
	case 157: // prctl: names of memory areas
		f.RAX = errno(einval)
	case 158: // arch_prctl
		const setFS = 0x1002
		if f.RDI == setFS {
			current(c).fs = uintptr(f.RSI)
			c.threadFS = uintptr(f.RSI)
			f.RAX = 0
		} else {
			f.RAX = errno(einval)
		}
	case 186:
		f.RAX = uint64(c.current) + firstTID
	case 202:
		changed = sysFutex(c, f)
	case 204:
		*at[uint64](uintptr(f.RDX)) = 1<<ncpu - 1
		f.RAX = 8
	case 228:
		now := Nanotime()
		if f.RDI == 0 {
			now += clockEpoch
		}
		*at[[2]int64](uintptr(f.RSI)) = [2]int64{now / 1_000_000_000, now % 1_000_000_000}
		f.RAX = 0
	case 231:
		schedLock.unlock()
		exitGroup(uint8(f.RDI))
	case 234:
		sysTgkill(c, f)
	case 257, 269: // openat, faccessat
		f.RAX = errno(enoent)
	case 281:
		changed = sysEpollWait(c, f)
	case 233:
		f.RAX = sysEpollCtl(f.RSI, f.RDX, uintptr(f.R10))
	case 290:
		f.RAX = newFile(fileEvent, f.RDI)
	case 291:
		f.RAX = newFile(fileEpoll, 0)
	case 302: // prlimit64
		if f.R10 != 0 {
			*at[[2]uint64](uintptr(f.R10)) = [2]uint64{1 << 20, 1 << 20}
		}
		f.RAX = 0
	case 318:
		f.RAX = sysGetrandom(uintptr(f.RDI), uintptr(f.RSI))

	case kcallAlloc:
		f.RAX = kcallAllocFrames(uintptr(f.RDI), uintptr(f.RSI))
	case kcallArea:
		endBoot(c)
		f.RAX = kcallNewArea()
	case kcallFree:
		kcallFreeFrames(uintptr(f.RDI), uintptr(f.RSI))
	case kcallContiguous:
		f.RAX = kcallAllocContiguous(f.RDI)
	case kcallFlush:
		flushAll(f.RDI, uintptr(f.RSI), uintptr(f.RDX))
	case kcallForgetRoot:
		forgetRoot(c, f.RDI)
	case kcallMMIO:
		vmLock.lock()
		f.RAX = uint64(mapMMIO(f.RDI, uintptr(f.RSI)))
		vmLock.unlock()
	case kcallIRQ:
		f.RAX = kcallOpenIRQ(uint32(f.RDI))
	case kcallMSI:
		f.RAX = kcallOpenMSI()
	case kcallIRQDone:
		kcallHandledIRQ(uint(f.RDI))
	case kcallAlarm:
		alarmAt = max(int64(f.RDI), 1)
		c.armTimer()
	case kcallKick:
		sendIPI(cpuAt(uint32(f.RDI)).apicID, vectorReschedule)
	case kcallFetchFPU:
		fetchFPU(c, uintptr(f.RDI), f.RSI != 0)
	case kcallPowerOff:
		schedLock.unlock()
		powerOff(uint8(f.RDI))
	case kcallSerial:
		for i := range uintptr(f.RSI) {
			putc(*at[byte](uintptr(f.RDI) + i))
		}
	default:
		f.RAX = errno(enosys)
	}
	if deliver(current(c)) {
		changed = true
	}
	schedLock.unlock()
	return changed
}

// interrupt handles the interrupt whose vector is in the current thread's
// frame and decides which thread goes on.
func interrupt() {
	c := thisCPU()
	vector := uint32(current(c).frame.Vector)
	c.taken[interruptKind(vector)]++
	switch vector {
	case vectorFlush:
		serveFlush(c)
		endOfInterrupt()
		return
	case vectorFetch:
		serveFetch(c)
		endOfInterrupt()
		return
	case vectorHalt:
		haltForever()
	case vectorSpurious:
		return
	}
	schedLock.lock()
	switch {
	case vector == vectorTimer:
		c.timerExpired()
	case vector >= vectorIRQ && vector < vectorIRQ+irqSlots:
		deviceInterrupt(c, uint(vector-vectorIRQ))
	}
	endOfInterrupt()
	c.waking = false
	if c.current == c.idle && runHead >= 0 {
		threads[c.idle].state = threadIdle
		c.schedule()
	}
	deliver(current(c))
	schedLock.unlock()
}
