//go:build baremetal

package metal

// features is what the boot CPU offers; the others are assumed to be alike.
var features struct {
	fsgsbase, smep, smap, umip, mce bool
	xsave, x2apic, tscDeadline      bool
	gigabytePages, rdrand           bool
	rdtscp                          bool
	invariantTSC                    bool
	tcg, kvm                        bool
	maxLeaf                         uint32
	xcr0                            uint64
	xsaveSize                       uint32
	mxcsrMask                       uint32
}

// Hypervisor signatures (leaf 0x40000000, EBX).
const (
	signatureTCG = 'T' | 'C'<<8 | 'G'<<16 | 'T'<<24
	signatureKVM = 'K' | 'V'<<8 | 'M'<<16 | 'K'<<24
)

func detectFeatures() {
	f := &features
	f.maxLeaf, _, _, _ = cpuid(0, 0)
	_, _, c1, d1 := cpuid(1, 0)
	f.mce = d1&(1<<7) != 0
	f.xsave = c1&(1<<26) != 0
	f.x2apic = c1&(1<<21) != 0
	f.tscDeadline = c1&(1<<24) != 0
	f.rdrand = c1&(1<<30) != 0
	if f.maxLeaf >= 7 {
		_, b7, c7, _ := cpuid(7, 0)
		f.fsgsbase = b7&1 != 0
		f.smep = b7&(1<<7) != 0
		f.smap = b7&(1<<20) != 0
		f.umip = c7&(1<<2) != 0
	}
	maxExt, _, _, _ := cpuid(0x80000000, 0)
	_, _, _, d := cpuid(0x80000001, 0)
	f.rdtscp = d&(1<<27) != 0
	f.gigabytePages = d&(1<<26) != 0
	if maxExt >= 0x80000007 {
		_, _, _, d = cpuid(0x80000007, 0)
		f.invariantTSC = d&(1<<8) != 0
	}
	if c1&(1<<31) != 0 {
		_, sig, _, _ := cpuid(0x40000000, 0)
		f.tcg = sig == signatureTCG
		f.kvm = sig == signatureKVM
	}
	f.xcr0 = 3
	f.xsaveSize = 576
	if !f.xsave {
		return
	}
	lo, _, _, hi := cpuid(0xd, 0)
	// x87, SSE, AVX, and the three of AVX-512 if all are there. Nothing that
	// must be asked for (AMX), nothing that the kernel would have to know
	// about (PKRU).
	supported := uint64(lo) | uint64(hi)<<32
	f.xcr0 = supported & 7
	if supported&0xe4 == 0xe4 {
		f.xcr0 |= 0xe0
	}
	for n := uint32(2); n < 8; n++ {
		if f.xcr0&(1<<n) != 0 {
			size, offset, _, _ := cpuid(0xd, n)
			f.xsaveSize = max(f.xsaveSize, offset+size)
		}
	}
}

// Control register bits (Intel SDM vol. 3, 2.5).
const (
	cr0MP = 1 << 1
	cr0EM = 1 << 2
	cr0TS = 1 << 3
	cr0NE = 1 << 5
	cr0WP = 1 << 16

	cr4MCE        = 1 << 6
	cr4PGE        = 1 << 7
	cr4OSFXSR     = 1 << 9
	cr4OSXMMEXCPT = 1 << 10
	cr4UMIP       = 1 << 11
	cr4FSGSBASE   = 1 << 16
	cr4OSXSAVE    = 1 << 18
	cr4SMEP       = 1 << 20
	cr4SMAP       = 1 << 21

	msrEFER  = 0xc0000080
	msrSTAR  = 0xc0000081
	msrLSTAR = 0xc0000082
	msrCSTAR = 0xc0000083
	msrFMASK = 0xc0000084
)

// enableFeatures sets this CPU's control registers and system call entry.
func enableFeatures(c *percpu) {
	f := &features
	writeCR0(readCR0()&^(cr0EM|cr0TS) | cr0MP | cr0NE | cr0WP)
	cr4 := readCR4() | cr4PGE | cr4OSFXSR | cr4OSXMMEXCPT
	set := func(have bool, bit uint64) {
		if have {
			cr4 |= bit
		}
	}
	set(f.mce, cr4MCE) // else a machine check is a silent reset
	set(f.fsgsbase, cr4FSGSBASE)
	set(f.smep, cr4SMEP)
	set(f.smap, cr4SMAP)
	set(f.umip, cr4UMIP)
	writeCR4(cr4)
	c.fsgsbase = f.fsgsbase
	c.slowFlags = 0x10100 // RF and TF
	if !f.fsgsbase {
		c.slowFlags = 0xffffffff
	}
	fninit()
	if f.rdtscp {
		const msrTSCAux = 0xc0000103
		wrmsr(msrTSCAux, uint64(c.id))
	}

	// SYSCALL loads CS and SS from bits 32 to 47, SYSRET from 48 on (plus
	// 16 and 8).
	wrmsr(msrSTAR, 0x10<<32|0x23<<48)
	wrmsr(msrLSTAR, uint64(syscallEntryAddr()))
	wrmsr(msrCSTAR, uint64(syscallEntryAddr())) // never: no 32-bit code
	// Cleared on entry: all but the fixed bit.
	wrmsr(msrFMASK, 0x3ffffd)
}

// enableXSAVE turns on, on this CPU, what programs may use beyond SSE. It comes
// before the runtime, which therefore must be told not to use it: the upper
// halves of vector registers are the user's while the kernel runs. Later would
// do, but it changes what a binary translator such as QEMU's may assume of all
// code, which is then translated again.
func enableXSAVE(c *percpu) {
	if !features.xsave {
		return
	}
	writeCR4(readCR4() | cr4OSXSAVE)
	xsetbv(features.xcr0)
	mask := features.xcr0 &^ 2
	c.fpuMaskLo, c.fpuMaskHi = uint32(mask), uint32(mask>>32)
	c.xsave = true
	wide = features.xcr0&0xe4 == 4
}
