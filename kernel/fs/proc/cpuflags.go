package proc

import "husk/kernel/cpu"

// flagWords are the words of CPU features in the order in which Linux prints
// them, each with the names of its bits.
var flagWords = [...]struct {
	read  func() uint32
	names [32]string
}{
	{leaf1EDX, [32]string{
		0: "fpu", 1: "vme", 2: "de", 3: "pse", 4: "tsc", 5: "msr", 6: "pae", 7: "mce",
		8: "cx8", 9: "apic", 11: "sep", 12: "mtrr", 13: "pge", 14: "mca", 15: "cmov", 16: "pat",
		17: "pse36", 18: "pn", 19: "clflush", 21: "dts", 22: "acpi", 23: "mmx", 24: "fxsr", 25: "sse",
		26: "sse2", 27: "ss", 28: "ht", 29: "tm", 30: "ia64", 31: "pbe",
	}},
	{ext1EDX, [32]string{
		11: "syscall", 19: "mp", 20: "nx", 22: "mmxext", 25: "fxsr_opt", 26: "pdpe1gb", 27: "rdtscp", 29: "lm",
		30: "3dnowext", 31: "3dnow",
	}},
	{synthetic, [32]string{
		8: "constant_tsc", 16: "rep_good", 20: "nopl", 22: "xtopology", 23: "tsc_reliable", 24: "nonstop_tsc", 25: "cpuid", 31: "tsc_known_freq",
	}},
	{leaf1ECX, [32]string{
		0: "pni", 1: "pclmulqdq", 2: "dtes64", 3: "monitor", 4: "ds_cpl", 5: "vmx", 6: "smx", 7: "est",
		8: "tm2", 9: "ssse3", 10: "cid", 11: "sdbg", 12: "fma", 13: "cx16", 14: "xtpr", 15: "pdcm",
		17: "pcid", 18: "dca", 19: "sse4_1", 20: "sse4_2", 21: "x2apic", 22: "movbe", 23: "popcnt", 24: "tsc_deadline_timer",
		25: "aes", 26: "xsave", 28: "avx", 29: "f16c", 30: "rdrand", 31: "hypervisor",
	}},
	{ext1ECX, [32]string{
		0: "lahf_lm", 1: "cmp_legacy", 2: "svm", 3: "extapic", 4: "cr8_legacy", 5: "abm", 6: "sse4a", 7: "misalignsse",
		8: "3dnowprefetch", 9: "osvw", 10: "ibs", 11: "xop", 12: "skinit", 13: "wdt", 15: "lwp", 16: "fma4",
		17: "tce", 19: "nodeid_msr", 21: "tbm", 22: "topoext", 23: "perfctr_core", 24: "perfctr_nb", 26: "bpext", 27: "ptsc",
		28: "perfctr_llc", 29: "mwaitx",
	}},
	{leaf7EBX, [32]string{
		0: "fsgsbase", 1: "tsc_adjust", 2: "sgx", 3: "bmi1", 4: "hle", 5: "avx2", 7: "smep", 8: "bmi2",
		9: "erms", 10: "invpcid", 11: "rtm", 12: "cqm", 14: "mpx", 15: "rdt_a", 16: "avx512f", 17: "avx512dq",
		18: "rdseed", 19: "adx", 20: "smap", 21: "avx512ifma", 23: "clflushopt", 24: "clwb", 25: "intel_pt", 26: "avx512pf",
		27: "avx512er", 28: "avx512cd", 29: "sha_ni", 30: "avx512bw", 31: "avx512vl",
	}},
	{leafD1EAX, [32]string{
		0: "xsaveopt", 1: "xsavec", 2: "xgetbv1", 3: "xsaves",
	}},
	{leaf7_1EAX, [32]string{
		4: "avx_vnni", 5: "avx512_bf16",
	}},
	{ext8EBX, [32]string{
		0: "clzero", 1: "irperf", 2: "xsaveerptr", 4: "rdpru", 9: "wbnoinvd", 24: "amd_ppin", 27: "virt_ssbd",
	}},
	{leaf6EAX, [32]string{
		0: "dtherm", 1: "ida", 2: "arat", 4: "pln", 6: "pts", 7: "hwp", 8: "hwp_notify", 9: "hwp_act_window",
		10: "hwp_epp", 11: "hwp_pkg_req",
	}},
	{leaf7ECX, [32]string{
		1: "avx512vbmi", 2: "umip", 3: "pku", 4: "ospke", 5: "waitpkg", 6: "avx512_vbmi2", 8: "gfni", 9: "vaes",
		10: "vpclmulqdq", 11: "avx512_vnni", 12: "avx512_bitalg", 13: "tme", 14: "avx512_vpopcntdq", 22: "rdpid", 24: "bus_lock_detect",
		25: "cldemote", 27: "movdiri", 28: "movdir64b", 29: "enqcmd",
	}},
	{leaf7EDX, [32]string{
		2: "avx512_4vnniw", 3: "avx512_4fmaps", 4: "fsrm", 8: "avx512_vp2intersect", 10: "md_clear", 14: "serialize", 16: "tsxldtrk", 18: "pconfig",
		19: "arch_lbr", 22: "amx_bf16", 23: "avx512_fp16", 24: "amx_tile", 25: "amx_int8", 28: "flush_l1d", 29: "arch_capabilities",
	}},
}

// appendFlags renders the features of the CPU, each after a blank.
func appendFlags(t *text) {
	for i := range flagWords {
		w := &flagWords[i]
		bits := w.read()
		for b, name := range w.names {
			if bits>>b&1 != 0 && name != "" {
				t.C(' ')
				t.S(name)
			}
		}
	}
}

// leaf returns the registers of a CPUID leaf, zeros where there is none.
func leaf(n, sub uint32) (a, b, c, d uint32) {
	if top, _, _, _ := cpu.CPUID(n&0x80000000, 0); top < n {
		return 0, 0, 0, 0
	}
	return cpu.CPUID(n, sub)
}

func leaf1EDX() uint32 { _, _, _, d := leaf(1, 0); return d }
func leaf1ECX() uint32 { _, _, c, _ := leaf(1, 0); return c }
func ext1EDX() uint32  { _, _, _, d := leaf(0x80000001, 0); return d }
func ext1ECX() uint32  { _, _, c, _ := leaf(0x80000001, 0); return c }
func leaf6EAX() uint32 { a, _, _, _ := leaf(6, 0); return a }
func leaf7EBX() uint32 { _, b, _, _ := leaf(7, 0); return b }
func leaf7ECX() uint32 { _, _, c, _ := leaf(7, 0); return c }
func leaf7EDX() uint32 { _, _, _, d := leaf(7, 0); return d }
func ext8EBX() uint32  { _, b, _, _ := leaf(0x80000008, 0); return b }

func leaf7_1EAX() uint32 {
	if top, _, _, _ := leaf(7, 0); top < 1 {
		return 0
	}
	a, _, _, _ := leaf(7, 1)
	return a
}

func leafD1EAX() uint32 {
	const xsave = 1 << 26
	if leaf1ECX()&xsave == 0 {
		return 0
	}
	a, _, _, _ := leaf(0xd, 1)
	return a
}

// synthetic are the features that Linux derives: a time stamp counter that
// ticks evenly, string instructions that are fast, and the like.
func synthetic() uint32 {
	const (
		constantTSC = 1 << 8
		repGood     = 1 << 16
		nopl        = 1 << 20
		xtopology   = 1 << 22
		nonstopTSC  = 1 << 24
		cpuid       = 1 << 25
	)
	f := uint32(repGood | nopl | cpuid)
	if _, _, _, d := leaf(0x80000007, 0); d>>8&1 != 0 {
		f |= constantTSC | nonstopTSC
	}
	if _, b, _, _ := leaf(0xb, 0); b != 0 {
		f |= xtopology
	}
	return f
}
