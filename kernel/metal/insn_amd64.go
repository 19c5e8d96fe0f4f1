//go:build baremetal

package metal

func rdmsr(reg uint32) uint64
func wrmsr(reg uint32, value uint64)
func cpuid(leaf, sub uint32) (a, b, c, d uint32)
func rdtsc() uint64
func xsetbv(value uint64)
func readCR0() uint64
func writeCR0(value uint64)
func readCR2() uintptr
func writeCR3(value uint64)
func readCR4() uint64
func writeCR4(value uint64)
func invlpg(addr uintptr)
func pause()
func haltForever()
func fninit()
func rdrand() (v uint64, ok bool)
func zeroPage(addr uintptr)
func zeroPageAVX(addr uintptr)
func copyAVX(dst, src, blocks uintptr)
func loadTables(gdtr, idtr uintptr)
func saveLive(area uintptr)
func fetchHere(area uintptr, drop bool) bool
func storeHere(area, dst uintptr) bool
func disownHere(area uintptr)
func readMXCSRMask() uint32
func mmioWrite(addr uintptr, v uint32)

func vectorsAddr() uintptr
func syscallEntryAddr() uintptr
func idleLoopAddr() uintptr
func switchReturnAddr() uintptr
func vdsoClockGettimeAddr() uintptr
func runtimeEntryAddr() uintptr
func apEntryAddr() uintptr

// In8 to Out32 are port I/O.
func In8(port uint16) uint8
func In16(port uint16) uint16
func In32(port uint16) uint32
func Out8(port uint16, v uint8)
func Out16(port uint16, v uint16)
func Out32(port uint16, v uint32)
