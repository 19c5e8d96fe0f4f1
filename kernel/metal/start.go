//go:build baremetal

package metal

import "math/bits"

// start brings the machine up on the boot CPU, from the trampoline to the Go
// runtime's entry, which is where the first thread's frame points when start
// returns.
func start(info uint64, protocol uintptr) {
	c := &cpu0
	c.init(0)
	c.stack = top(&stack0)
	c.online = 1
	*at[uint64](uintptr(image.globalsScan)) = image.globals
	initSerial()
	buildIDT()
	loadDescriptors(c, &exceptionStacks0)
	detectFeatures()
	enableFeatures(c)
	enableXSAVE(c)

	// The boot structure lies low; how far memory goes, it must tell.
	initKernelTables(1 << 30)
	c.root = kernelRoot
	readBootInfo(info, protocol)
	directEnd = memoryEnd()
	giveMemory()
	extendDirect()

	initAPIC(c)
	beginCalibration()
	discoverMachine()
	initIOAPICs()
	initFutexes()
	initFiles()
	switchReturnPC = uint64(switchReturnAddr())
	c.makeIdle(&exceptionStacks0)
	initClock()
	initEpoch()
	startProcessors()
	firstThread(c)
}

// auxv tags (elf(5)).
const (
	atNull        = 0
	atPagesz      = 6
	atRandom      = 25
	atSysinfoEhdr = 33
)

// strings0 and random0 are what the first thread's stack points at.
var (
	strings0 [6144]byte
	random0  [16]byte
)

// hidden is the address of the pointer to the last string of the environment,
// GODEBUG, by which the runtime is told to leave AVX alone. It is removed as
// soon as the runtime has looked, or every package would parse it.
var hidden uintptr

// firstThread makes the runtime's first M, on a stack as execve(2) leaves it.
// The command line's words are the arguments; the environment is ours.
func firstThread(c *percpu) {
	const stackSize = 256 << 10
	stack := sysMmap(0, stackSize, 3, 0)
	populate(uintptr(stack)+stackSize-2*pageSize, 2*pageSize)

	var words [192]uint64
	n := 1
	text := 0
	begin := func() { words[n] = uint64(addressOf(&strings0)) + uint64(text); n++ }
	put := func(s string) {
		for i := 0; i < len(s) && text < len(strings0)-32; i++ {
			strings0[text] = s[i]
			text++
		}
	}
	end := func() { strings0[text] = 0; text++ }
	number := func(v uint64) {
		div := uint64(1)
		for v/div >= 10 {
			div *= 10
		}
		for ; div > 0; div /= 10 {
			strings0[text] = byte('0' + v/div%10)
			text++
		}
	}

	begin()
	put("kernel")
	end()
	argc := uint64(1)
	line := commandLine()
	for i := 0; i < len(line) && argc < 128 && text < 4096; {
		if line[i] == ' ' {
			i++
			continue
		}
		begin()
		argc++
		for ; i < len(line) && line[i] != ' ' && text < 4096; i++ {
			strings0[text] = line[i]
			text++
		}
		end()
	}
	words[0] = argc
	n++ // argv ends

	begin()
	put("GOMAXPROCS=")
	number(uint64(ncpu))
	end()
	// The kernel's heap is soft-limited to what is kept for it; frames for
	// programs come from the same pool.
	begin()
	put("GOMEMLIMIT=")
	number(heapLimit())
	end()
	if framesTotal > 200<<20/pageSize {
		// There is room for a heap of 16 MiB, a quarter of the limit or less:
		// garbage is collected a quarter as often.
		begin()
		put("GOGC=400")
		end()
	}
	if c.xsave {
		hidden = uintptr(n)
		begin()
		put("GODEBUG=cpu.avx=off,cpu.avx2=off,cpu.fma=off,cpu.avx512f=off,cpu.avx512bw=off,cpu.avx512vl=off")
		end()
	}
	n++ // envp ends

	fillRandom(addressOf(&random0), 16)
	aux := func(tag, value uint64) {
		words[n], words[n+1] = tag, value
		n += 2
	}
	aux(atPagesz, pageSize)
	aux(atRandom, uint64(addressOf(&random0)))
	aux(atSysinfoEhdr, uint64(buildVDSO()))
	aux(atNull, 0)

	sp := (stack + stackSize - uint64(n)*8) &^ 15
	for i := range n {
		*at[uint64](uintptr(sp) + uintptr(i)*8) = words[i]
	}
	if hidden != 0 {
		hidden = uintptr(sp) + hidden*8
	}
	m := newThread()
	t := &threads[m]
	t.altFlag = ssDisable
	t.frame = Frame{RIP: uint64(runtimeEntryAddr()), CS: 0x10, SS: 0x18, RFLAGS: 0x202, RSP: sp}
	c.setCurrent(m)
}

// seed is the state of the generator behind getrandom, for machines without
// RDRAND; with it, it is only mixed in.
var seed uint64

func nextRandom() uint64 {
	// SplitMix64 over the time-stamp counter's jitter.
	seed += 0x9e3779b97f4a7c15 ^ bits.RotateLeft64(rdtsc(), 32)
	z := seed
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	if features.rdrand {
		for range 10 {
			if v, ok := rdrand(); ok {
				return z ^ v
			}
		}
	}
	return z
}

func fillRandom(p, n uintptr) {
	for i := uintptr(0); i < n; i += 8 {
		v := nextRandom()
		for j := i; j < n && j < i+8; j++ {
			*at[byte](p + j) = byte(v)
			v >>= 8
		}
	}
}

func sysGetrandom(p, n uintptr) uint64 {
	n = min(n, 256)
	fillRandom(p, n)
	return uint64(n)
}
