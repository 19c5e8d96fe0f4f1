package loader

import (
	"sync"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/loader/vdso"
	"husk/kernel/mm"
)

// vdsoPages is the file of two pages that every process maps: the data page,
// "[vvar]", and the code page, "[vdso]". It is made by the first exec.
var vdsoPages vdsoPagesType

type vdsoPagesType struct {
	once sync.Once
	// mu serialises updates of data.
	mu    sync.Mutex
	data  vdso.Data
	cache *mm.PageCache
}

// vdsoFile is the mm.Mappable of the two pages; it lives forever.
type vdsoFile struct{ name string }

func (f vdsoFile) PageCache() *mm.PageCache { return vdsoPages.cache }
func (f vdsoFile) MapName() string          { return f.name }
func (vdsoFile) MapDev() uint64             { return 0 }
func (vdsoFile) MapIno() uint64             { return 0 }
func (vdsoFile) Get()                       {}
func (vdsoFile) Put()                       {}

func initVDSO() {
	v := &vdsoPages
	v.cache = mm.NewPageCache(nil)
	if p, ok := cpu.Clock(); ok {
		v.data = vdso.Data{Base: p.Base, Mult: p.Mult, Shift: uint64(p.Shift), Flags: vdso.FlagClock}
		v.data.RealOffset = uint64(cpu.BootTime())
		v.data.TAIOffset = v.data.RealOffset
	}
	if cpu.TSCAux() {
		v.data.Flags |= vdso.FlagTSCAux
	}
	writePage(vdso.Image(), pageSize)
	v.publish()
}

// publish writes the data page: the sequence is odd while it changes. mu is
// held, or the page is not yet mapped.
func (v *vdsoPagesType) publish() {
	var raw [vdso.DataSize]byte
	v.data.Seq++
	v.data.Encode(raw[:])
	writePage(string(raw[:8]), 0)
	writePage(string(raw[8:]), 8)
	v.data.Seq++
	v.data.Encode(raw[:])
	writePage(string(raw[:8]), 0)
}

// SetClockOffsets changes what the vDSO adds to CLOCK_MONOTONIC to give
// CLOCK_REALTIME and CLOCK_TAI, in nanoseconds (clock_settime(2)).
func SetClockOffsets(real, tai int64) {
	v := &vdsoPages
	v.once.Do(initVDSO)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.data.RealOffset, v.data.TAIOffset = uint64(real), uint64(tai)
	v.publish()
}

func writePage(s string, off uint64) {
	b := mm.KernelBuffer([]byte(s))
	_, _ = vdsoPages.cache.WriteAt(&b, off) // two pages of boot memory; a machine without them has ended already
}

// mapVDSO maps data and code and returns the code's address.
func mapVDSO(as *mm.AddressSpace) (uint64, error) {
	vdsoPages.once.Do(initVDSO)
	at, err := as.Map(mm.MapRequest{
		Len: 2 * pageSize, Prot: unix.PROT_READ, Flags: unix.MAP_PRIVATE,
		File: vdsoFile{"[vvar]"}, MaxProt: unix.PROT_READ, Name: "[vvar]",
	})
	if err != nil {
		return 0, err
	}
	code := at + pageSize
	_, err = as.Map(mm.MapRequest{
		Addr: code, Len: pageSize, Prot: unix.PROT_READ | unix.PROT_EXEC, Flags: unix.MAP_PRIVATE | unix.MAP_FIXED,
		File: vdsoFile{"[vdso]"}, Offset: pageSize, MaxProt: unix.PROT_READ | unix.PROT_EXEC, Name: "[vdso]",
	})
	return uint64(code), err
}
