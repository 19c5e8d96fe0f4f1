package sys

import (
	"strings"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/fs/pseudo"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

func countCPUs(subject) int { return cpu.CPUs() }

func lookupCPU(c vfs.Caller, d *vfs.Inode, _ subject, name string) (*vfs.Inode, error) {
	i, ok := numbered(name, "cpu", cpu.CPUs())
	if !ok {
		return nil, unix.ENOENT
	}
	e := &otherCPU
	if i == 0 {
		e = &firstCPU
	}
	return tree.Node(d.FS, dynamic(d.Ino, i), e, subject{N: i}), nil
}

func listCPUs(c vfs.Caller, d *vfs.Inode, _ subject, pos int64, emit func(vfs.Dirent) bool) error {
	listNumbered("cpu", cpu.CPUs(), unix.DT_DIR, d.Ino, pos, emit)
	return nil
}

// cpuLink is what directories of CPUs elsewhere hold, nodeLink the same as
// seen from the node's directory.
var (
	cpuLink  = entry{Special: &pseudo.Special{Link: readCPULink}}
	nodeLink = entry{Special: &pseudo.Special{Link: readNodeLink}}
)

func readCPULink(c vfs.Caller, s subject) (string, error) {
	var t text
	t.S("../../../devices/system/cpu/cpu")
	t.I(s.N)
	return string(t), nil
}

func readNodeLink(c vfs.Caller, s subject) (string, error) {
	var t text
	t.S("../../cpu/cpu")
	t.I(s.N)
	return string(t), nil
}

func lookupCPULink(c vfs.Caller, d *vfs.Inode, s subject, name string) (*vfs.Inode, error) {
	return lookupLink(d, &cpuLink, name)
}

func lookupNodeCPU(c vfs.Caller, d *vfs.Inode, s subject, name string) (*vfs.Inode, error) {
	return lookupLink(d, &nodeLink, name)
}

func lookupLink(d *vfs.Inode, e *entry, name string) (*vfs.Inode, error) {
	i, ok := numbered(name, "cpu", cpu.CPUs())
	if !ok {
		return nil, unix.ENOENT
	}
	return tree.Node(d.FS, dynamic(d.Ino, i), e, subject{N: i}), nil
}

func listCPULinks(c vfs.Caller, d *vfs.Inode, _ subject, pos int64, emit func(vfs.Dirent) bool) error {
	listNumbered("cpu", cpu.CPUs(), unix.DT_LNK, d.Ino, pos, emit)
	return nil
}

// Masks and lists of CPUs.

func mask(t *text, set uint64) error {
	t.Mask(set, cpu.CPUs())
	t.C('\n')
	return nil
}

func list(t *text, set uint64) error {
	t.List(set)
	t.C('\n')
	return nil
}

func showOnline(t *text, c vfs.Caller, s subject) error  { return list(t, online()) }
func showAllMask(t *text, c vfs.Caller, s subject) error { return mask(t, online()) }
func showOwnMask(t *text, c vfs.Caller, s subject) error { return mask(t, 1<<s.N) }
func showOwnList(t *text, c vfs.Caller, s subject) error { return list(t, 1<<s.N) }

// storeOnline refuses to take a CPU off.
func storeOnline(c vfs.Caller, s subject, value string) error {
	switch strings.TrimSpace(value) {
	case "1":
		return nil
	case "0":
		return unix.EBUSY
	}
	return unix.EINVAL
}

func storeIgnored(vfs.Caller, subject, string) error { return nil }

// oneOf checks what is written to a file that shows its choices.
func oneOf(value string, choices ...string) error {
	value = strings.TrimSpace(value)
	for _, c := range choices {
		if c == value {
			return nil
		}
	}
	return unix.EINVAL
}

func storeHugeEnabled(c vfs.Caller, s subject, value string) error {
	return oneOf(value, "always", "madvise", "never")
}

func storeDefrag(c vfs.Caller, s subject, value string) error {
	return oneOf(value, "always", "defer", "defer+madvise", "madvise", "never")
}

// modalias names the processor for udev: vendor number, family and model as
// Linux encodes them, without the features.
func modalias(t *text) {
	a, _, _, _ := cpu.CPUID(1, 0)
	_, _, vendor, _ := cpu.CPUID(0, 0)
	family, model := a>>8&0xf, a>>4&0xf
	if family == 0xf {
		family += a >> 20 & 0xff
	}
	if family >= 6 {
		model |= a >> 16 & 0xf << 4
	}
	ven := uint64(0)
	const amd = 0x444d4163 // "cAMD", the end of AuthenticAMD
	if vendor == amd {
		ven = 2
	}
	t.S("cpu:type:x86,ven")
	t.X(ven, 4)
	t.S("fam")
	t.X(uint64(family), 4)
	t.S("mod")
	t.X(uint64(model), 4)
	t.S(":feature:\n")
}

func showModalias(t *text, c vfs.Caller, s subject) error {
	modalias(t)
	return nil
}

func showModaliasEvent(t *text, c vfs.Caller, s subject) error {
	t.S("MODALIAS=")
	modalias(t)
	return nil
}

// Caches.

func countCaches() int {
	n := 0
	for ; n < 16; n++ {
		if _, ok := cpu.CacheLevel(n); !ok {
			break
		}
	}
	return n
}

func lookupCache(c vfs.Caller, d *vfs.Inode, s subject, name string) (*vfs.Inode, error) {
	i, ok := numbered(name, "index", countCaches())
	if !ok {
		return nil, unix.ENOENT
	}
	return tree.Node(d.FS, dynamic(d.Ino, i), &cacheEntry, subject{N: s.N, M: i}), nil
}

func listCaches(c vfs.Caller, d *vfs.Inode, s subject, pos int64, emit func(vfs.Dirent) bool) error {
	listNumbered("index", countCaches(), unix.DT_DIR, d.Ino, pos, emit)
	return nil
}

func cacheOf(s subject) cpu.Cache {
	c, _ := cpu.CacheLevel(s.M)
	return c
}

// sharers are the CPUs that share the cache: all of them the last level, none
// the others, since every CPU is a core.
func sharers(s subject) uint64 {
	if cacheOf(s).Level >= 3 {
		return online()
	}
	return 1 << s.N
}

func figure(t *text, v uint32) error {
	t.U(uint64(v))
	t.C('\n')
	return nil
}

func showCacheLine(t *text, c vfs.Caller, s subject) error  { return figure(t, cacheOf(s).Line) }
func showCacheLevel(t *text, c vfs.Caller, s subject) error { return figure(t, cacheOf(s).Level) }
func showCacheSets(t *text, c vfs.Caller, s subject) error  { return figure(t, cacheOf(s).Sets) }
func showCacheWays(t *text, c vfs.Caller, s subject) error  { return figure(t, cacheOf(s).Ways) }

func showCachePartitions(t *text, c vfs.Caller, s subject) error {
	return figure(t, cacheOf(s).Partitions)
}

func showCacheID(t *text, c vfs.Caller, s subject) error {
	if cacheOf(s).Level >= 3 {
		return figure(t, 0)
	}
	return figure(t, uint32(s.N))
}

func showCacheCPUs(t *text, c vfs.Caller, s subject) error { return list(t, sharers(s)) }
func showCacheMask(t *text, c vfs.Caller, s subject) error { return mask(t, sharers(s)) }

func showCacheSize(t *text, c vfs.Caller, s subject) error {
	t.U(uint64(cacheOf(s).Size >> 10))
	t.S("K\n")
	return nil
}

func showCacheType(t *text, c vfs.Caller, s subject) error {
	switch cacheOf(s).Type {
	case 1:
		t.S("Data\n")
	case 2:
		t.S("Instruction\n")
	default:
		t.S("Unified\n")
	}
	return nil
}

// Memory of the one node.

func showNodeMeminfo(t *text, c vfs.Caller, s subject) error {
	m := mm.Memory()
	const kB = mm.PageSize / 1024
	file := m.Cached - min(m.Shmem, m.Cached)
	kernel := m.Total - min(m.Free+m.Cached+m.Anon+m.PageTables, m.Total)
	for _, l := range [...]struct {
		key   string
		pages uint64
	}{
		{"MemTotal", m.Total},
		{"MemFree", m.Free},
		{"MemUsed", m.Total - min(m.Free, m.Total)},
		{"SwapCached", 0},
		{"Active", file / 2},
		{"Inactive", m.Anon + m.Shmem + file - file/2},
		{"Active(anon)", 0},
		{"Inactive(anon)", m.Anon + m.Shmem},
		{"Active(file)", file / 2},
		{"Inactive(file)", file - file/2},
		{"Unevictable", 0},
		{"Mlocked", 0},
		{"Dirty", 0},
		{"Writeback", 0},
		{"FilePages", m.Cached},
		{"Mapped", file},
		{"AnonPages", m.Anon},
		{"Shmem", m.Shmem},
		{"KernelStack", 0},
		{"PageTables", m.PageTables},
		{"SecPageTables", 0},
		{"NFS_Unstable", 0},
		{"Bounce", 0},
		{"WritebackTmp", 0},
		{"KReclaimable", 0},
		{"Slab", kernel},
		{"SReclaimable", 0},
		{"SUnreclaim", kernel},
		{"AnonHugePages", 0},
		{"ShmemHugePages", 0},
		{"ShmemPmdMapped", 0},
		{"FileHugePages", 0},
		{"FilePmdMapped", 0},
	} {
		t.S("Node 0 ")
		at := len(*t)
		t.S(l.key)
		t.C(':')
		t.PadTo(at, 16)
		t.UW(l.pages*kB, 8)
		t.S(" kB\n")
	}
	t.S("Node 0 HugePages_Total:     0\nNode 0 HugePages_Free:      0\nNode 0 HugePages_Surp:      0\n")
	return nil
}

func showNodeVMStat(t *text, c vfs.Caller, s subject) error {
	m := mm.Memory()
	t.S("nr_free_pages ")
	t.U(m.Free)
	t.S("\nnr_anon_pages ")
	t.U(m.Anon)
	t.S("\nnr_file_pages ")
	t.U(m.Cached)
	t.S("\nnr_shmem ")
	t.U(m.Shmem)
	t.C('\n')
	return nil
}
