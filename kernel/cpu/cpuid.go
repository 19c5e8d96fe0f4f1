package cpu

// CPUID executes the CPUID instruction (Intel SDM vol. 2A). It may be used at
// any privilege level and so needs no machine.
func CPUID(leaf, sub uint32) (eax, ebx, ecx, edx uint32)

// Hwcap returns AT_HWCAP (CPUID 1, EDX) and AT_HWCAP2 of the auxiliary vector.
func Hwcap() (hwcap, hwcap2 uint64) {
	_, _, _, edx := CPUID(1, 0)
	if userFSGSBase() {
		const hwcap2FSGSBase = 1 << 1
		hwcap2 = hwcap2FSGSBase
	}
	return uint64(edx), hwcap2
}
