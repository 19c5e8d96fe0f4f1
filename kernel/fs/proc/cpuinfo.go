package proc

import (
	"math/bits"

	"husk/kernel/cpu"
	"husk/kernel/vfs"
)

// processor is what CPUID tells of the machine's CPUs, which are all alike.
type processor struct {
	vendor                  [12]byte
	family, model, stepping uint32
	level                   uint32 // highest basic leaf
	extended                uint32 // highest extended leaf
	name                    [48]byte
	flush                   uint32 // bytes of a cache line
	physical, virtual       uint32 // bits of addresses
	cacheKB                 uint32 // of the last level
	power                   uint32 // 0x80000007 EDX
}

func identify() (p processor) {
	max, b, c, d := cpu.CPUID(0, 0)
	p.level = max
	put32(p.vendor[0:], b)
	put32(p.vendor[4:], d)
	put32(p.vendor[8:], c)
	a, b, _, _ := cpu.CPUID(1, 0)
	p.stepping = a & 0xf
	p.model = a >> 4 & 0xf
	p.family = a >> 8 & 0xf
	if p.family >= 6 {
		p.model |= a >> 16 & 0xf << 4
	}
	if p.family == 0xf {
		p.family += a >> 20 & 0xff
	}
	p.flush = b >> 8 & 0xff * 8
	p.extended, _, _, _ = cpu.CPUID(0x80000000, 0)
	if p.extended >= 0x80000004 {
		for i := range uint32(3) {
			a, b, c, d := cpu.CPUID(0x80000002+i, 0)
			for j, v := range [...]uint32{a, b, c, d} {
				put32(p.name[16*int(i)+4*j:], v)
			}
		}
	}
	p.physical, p.virtual = 36, 48
	if p.extended >= 0x80000008 {
		a, _, _, _ := cpu.CPUID(0x80000008, 0)
		p.physical, p.virtual = a&0xff, a>>8&0xff
	}
	if p.extended >= 0x80000007 {
		_, _, _, p.power = cpu.CPUID(0x80000007, 0)
	}
	for i := range uint32(8) {
		l, ok := cpu.CacheLevel(int(i))
		if !ok {
			break
		}
		p.cacheKB = l.Size >> 10 // the last is the largest
	}
	if p.cacheKB == 0 && p.extended >= 0x80000006 {
		_, _, c, _ := cpu.CPUID(0x80000006, 0)
		p.cacheKB = c >> 16
	}
	return p
}

func put32(b []byte, v uint32) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

// trimmed is a string of CPUID without its NULs and surrounding blanks.
func trimmed(b []byte) string {
	for len(b) > 0 && (b[0] == ' ' || b[0] == 0) {
		b = b[1:]
	}
	for i, c := range b {
		if c == 0 {
			b = b[:i]
			break
		}
	}
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return string(b)
}

// kHz is the frequency of the time stamp counter, which stands for that of
// the CPU.
func kHz() uint64 {
	p, ok := cpu.Clock()
	if !ok || p.Mult == 0 {
		return 0
	}
	// ns = tsc*Mult >> Shift, so a second has (10^9 << Shift) / Mult cycles.
	hi, lo := bits.Mul64(1_000_000, 1<<p.Shift)
	if hi >= p.Mult {
		return 0
	}
	q, _ := bits.Div64(hi, lo, p.Mult)
	return q
}

// showCPUInfo renders /proc/cpuinfo: one paragraph for each CPU, all of them
// cores of one package.
func showCPUInfo(t *text, c vfs.Caller, _ none) error {
	p := identify()
	freq := kHz()
	n := cpu.CPUs()
	// The flags are rendered once.
	var flags text
	appendFlags(&flags)
	vendor := trimmed(p.vendor[:])
	num := func(key string, v uint64) { t.S(key); t.U(v); t.C('\n') }
	for i := range n {
		num("processor\t: ", uint64(i))
		t.S("vendor_id\t: ")
		t.S(vendor)
		num("\ncpu family\t: ", uint64(p.family))
		num("model\t\t: ", uint64(p.model))
		t.S("model name\t: ")
		if name := trimmed(p.name[:]); name != "" {
			t.S(name)
		} else {
			t.S("unknown")
		}
		t.C('\n')
		num("stepping\t: ", uint64(p.stepping))
		if vendor == "GenuineIntel" {
			t.S("microcode\t: 0x1\n")
		} else if vendor == "AuthenticAMD" {
			t.S("microcode\t: 0x1000065\n")
		}
		t.S("cpu MHz\t\t: ")
		t.U(freq / 1000)
		t.C('.')
		t.U0(freq%1000, 3)
		t.C('\n')
		if p.cacheKB != 0 {
			t.S("cache size\t: ")
			t.U(uint64(p.cacheKB))
			t.S(" KB\n")
		}
		t.S("physical id\t: 0\n")
		num("siblings\t: ", uint64(n))
		num("core id\t\t: ", uint64(i))
		num("cpu cores\t: ", uint64(n))
		num("apicid\t\t: ", uint64(i))
		num("initial apicid\t: ", uint64(i))
		t.S("fpu\t\t: yes\nfpu_exception\t: yes\n")
		num("cpuid level\t: ", uint64(p.level))
		t.S("wp\t\t: yes\nflags\t\t:")
		*t = append(*t, flags...)
		t.S("\nbugs\t\t:\nbogomips\t: ")
		t.Fixed(freq * 2 / 10)
		num("\nclflush size\t: ", uint64(p.flush))
		num("cache_alignment\t: ", uint64(p.flush))
		t.S("address sizes\t: ")
		t.U(uint64(p.physical))
		t.S(" bits physical, ")
		t.U(uint64(p.virtual))
		t.S(" bits virtual\npower management:")
		appendPower(t, p.power)
		t.S("\n\n")
	}
	return nil
}

// appendPower renders the bits of CPUID 0x80000007 EDX that have no flag.
func appendPower(t *text, edx uint32) {
	names := [...]string{"ts", "fid", "vid", "ttp", "tm", "stc", "100mhzsteps", "hwpstate", "", "cpb", "eff_freq_ro", "proc_feedback", "acc_power"}
	for i, name := range names {
		if edx>>i&1 != 0 && name != "" {
			t.C(' ')
			t.S(name)
		}
	}
}
