package proc

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// nameColumn is where the name of a mapping begins.
const nameColumn = 73

// vsyscall is the page that is emulated at the top of every address space,
// which is no VMA.
var vsyscall = mm.VMAInfo{Start: 0xffffffffff600000, End: 0xffffffffff601000, Exec: true, Name: "[vsyscall]"}

// mapHeader renders the line that maps and smaps have for each VMA.
func mapHeader(t *text, v *mm.VMAInfo) {
	start := len(*t)
	t.X(uint64(v.Start), 8)
	t.C('-')
	t.X(uint64(v.End), 8)
	t.C(' ')
	flag := func(on bool, c, no byte) {
		if on {
			t.C(c)
		} else {
			t.C(no)
		}
	}
	flag(v.Read, 'r', '-')
	flag(v.Write, 'w', '-')
	flag(v.Exec, 'x', '-')
	flag(v.Shared, 's', 'p')
	t.C(' ')
	t.X(v.Offset, 8)
	t.C(' ')
	t.X(uint64(unix.Major(v.Dev)), 2)
	t.C(':')
	t.X(uint64(unix.Minor(v.Dev)), 2)
	t.C(' ')
	t.U(v.Ino)
	t.C(' ')
	if v.Name != "" {
		t.PadTo(start, nameColumn)
		t.Mangle(v.Name, "\n")
	}
	t.C('\n')
}

// vmas returns the mappings of the process.
func vmas(as *mm.AddressSpace) []mm.VMAInfo {
	return as.AppendVMAs(make([]mm.VMAInfo, 0, 64))
}

func showMaps(t *text, c vfs.Caller, s subject) error {
	as := memory(s)
	if as == nil {
		return nil
	}
	defer as.Put()
	list := vmas(as)
	for i := range list {
		mapHeader(t, &list[i])
	}
	mapHeader(t, &vsyscall)
	return nil
}

// vmFlagNames are VmFlags of smaps by bit of VM_*, in the order of bits.
var vmFlagNames = [32]string{
	0: "rd", 1: "wr", 2: "ex", 3: "sh", 4: "mr", 5: "mw", 6: "me", 7: "ms", 8: "gd", 10: "pf",
	13: "lo", 14: "io", 15: "sr", 16: "rr", 17: "dc", 18: "de", 19: "lf", 20: "ac", 21: "nr", 22: "ht", 23: "sf",
	25: "wf", 26: "dd", 28: "mm", 29: "hg", 30: "nh", 31: "mg",
}

// smapsLine renders one figure of smaps, in bytes, as kB.
func smapsLine(t *text, key string, bytes uint64) {
	start := len(*t)
	t.S(key)
	t.C(':')
	t.PadTo(start, 16)
	t.UW(bytes/1024, 8)
	t.S(" kB\n")
}

func smapsUsage(t *text, u *mm.Usage, rollup bool) {
	smapsLine(t, "Rss", u.Rss)
	smapsLine(t, "Pss", u.Pss)
	smapsLine(t, "Pss_Dirty", u.PrivateDirty)
	if rollup {
		anon, file, shmem := pssParts(u)
		smapsLine(t, "Pss_Anon", anon)
		smapsLine(t, "Pss_File", file)
		smapsLine(t, "Pss_Shmem", shmem)
	}
	smapsLine(t, "Shared_Clean", u.SharedClean)
	smapsLine(t, "Shared_Dirty", u.SharedDirty)
	smapsLine(t, "Private_Clean", u.PrivateClean)
	smapsLine(t, "Private_Dirty", u.PrivateDirty)
	smapsLine(t, "Referenced", u.Rss)
	smapsLine(t, "Anonymous", u.Anonymous)
	for _, key := range [...]string{
		"LazyFree", "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped",
		"Shared_Hugetlb", "Private_Hugetlb", "Swap", "SwapPss",
	} {
		smapsLine(t, key, 0)
	}
	smapsLine(t, "Locked", u.Locked)
}

// pssParts divides Pss by what pages belong to, in proportion to Rss, which is
// as near as the figures allow.
func pssParts(u *mm.Usage) (anon, file, shmem uint64) {
	if u.Rss == 0 {
		return 0, 0, 0
	}
	anon = min(u.Anonymous, u.Pss)
	rest := u.Pss - anon
	if both := u.File + u.Shmem; both != 0 {
		shmem = rest * u.Shmem / both
	}
	return anon, rest - shmem, shmem
}

func showSmaps(t *text, c vfs.Caller, s subject) error {
	as := memory(s)
	if as == nil {
		return nil
	}
	defer as.Put()
	list := vmas(as)
	for i := range list {
		v := &list[i]
		mapHeader(t, v)
		u := as.Usage(v.Start, v.End)
		smapsRest(t, v, &u)
	}
	mapHeader(t, &vsyscall)
	smapsRest(t, &vsyscall, &mm.Usage{})
	return nil
}

func smapsRest(t *text, v *mm.VMAInfo, u *mm.Usage) {
	smapsLine(t, "Size", uint64(v.End-v.Start))
	smapsLine(t, "KernelPageSize", mm.PageSize)
	smapsLine(t, "MMUPageSize", mm.PageSize)
	smapsUsage(t, u, false)
	t.S("THPeligible:    0\nVmFlags: ")
	flags := v.Flags
	if v == &vsyscall {
		flags = 4
	}
	for bit, name := range vmFlagNames {
		if flags>>bit&1 != 0 && name != "" {
			t.S(name)
			t.C(' ')
		}
	}
	t.C('\n')
}

func showSmapsRollup(t *text, c vfs.Caller, s subject) error {
	as := memory(s)
	if as == nil {
		return unix.ESRCH
	}
	defer as.Put()
	list := vmas(as)
	whole := mm.VMAInfo{Name: "[rollup]"}
	if len(list) > 0 {
		whole.Start, whole.End = list[0].Start, list[len(list)-1].End
	}
	mapHeader(t, &whole)
	u := as.Usage(0, mm.Addr(cpu.UserMax))
	smapsUsage(t, &u, true)
	return nil
}

// showNumaMaps renders what numa(7) says of each mapping: everything is on the
// one node there is.
func showNumaMaps(t *text, c vfs.Caller, s subject) error {
	as := memory(s)
	if as == nil {
		return nil
	}
	defer as.Put()
	list := vmas(as)
	for i := range list {
		v := &list[i]
		u := as.Usage(v.Start, v.End)
		t.X(uint64(v.Start), 8)
		t.S(" default")
		switch {
		case v.Name == "[heap]":
			t.S(" heap")
		case v.Name == "[stack]":
			t.S(" stack")
		case v.Name != "" && v.Name[0] == '/':
			t.S(" file=")
			t.Mangle(v.Name, "\n\t= ")
		}
		if u.Rss != 0 {
			figure := func(key string, bytes uint64) {
				if bytes != 0 {
					t.S(key)
					t.U(bytes / mm.PageSize)
				}
			}
			figure(" anon=", u.Anonymous)
			figure(" dirty=", u.PrivateDirty+u.SharedDirty)
			if u.Anonymous != u.Rss {
				figure(" mapped=", u.Rss)
			}
			figure(" N0=", u.Rss)
			t.S(" kernelpagesize_kB=4")
		}
		t.C('\n')
	}
	return nil
}

// pagemap is an open /proc/PID/pagemap: a word for each page of the address
// space, at its number times 8.
type pagemap struct {
	vfs.BaseOps
	s subject
}

func openPagemap(c vfs.Caller, s subject) (vfs.FileOps, error) { return &pagemap{s: s}, nil }

func (*pagemap) Seekable() bool { return true }

func (o *pagemap) Read(c vfs.Caller, f *vfs.File, b *mm.Buffer, off int64) (int, error) {
	const word = 8
	if off%word != 0 || b.Len()%word != 0 {
		return 0, unix.EINVAL
	}
	last := int64(cpu.UserMax) >> mm.PageShift
	done := 0
	var words []uint64
	var raw [64 * word]byte
	for b.Len() > 0 {
		page := off/word + int64(done/word)
		if page >= last {
			break
		}
		as := memory(o.s)
		if as == nil {
			break
		}
		n := min(b.Len()/word, len(raw)/word, int(last-page))
		words = as.AppendPageMap(words[:0], mm.Addr(page)<<mm.PageShift, n)
		as.Put()
		for i, w := range words {
			for j := range word {
				raw[i*word+j] = byte(w >> (8 * j))
			}
		}
		k, err := b.CopyOut(raw[:n*word])
		done += k
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// memoryFile is an open /proc/PID/mem: the address space at its addresses.
type memoryFile struct {
	vfs.BaseOps
	s subject
}

func openMemory(c vfs.Caller, s subject) (vfs.FileOps, error) { return &memoryFile{s: s}, nil }

func (*memoryFile) Seekable() bool { return true }

func (o *memoryFile) Read(c vfs.Caller, f *vfs.File, b *mm.Buffer, off int64) (int, error) {
	n, _, err := o.move(b, off, func(as *mm.AddressSpace, page []byte, at mm.Addr) (int, error) {
		n, bad := as.Peek(at, page)
		n, err := b.CopyOut(page[:n])
		if err == nil && n == 0 {
			err = bad
		}
		return n, err
	})
	return n, err
}

func (o *memoryFile) Write(c vfs.Caller, f *vfs.File, b *mm.Buffer, off int64) (int, int64, error) {
	return o.move(b, off, func(as *mm.AddressSpace, page []byte, at mm.Addr) (int, error) {
		n, err := b.CopyIn(page)
		if err != nil && n == 0 {
			return 0, err
		}
		return as.Poke(at, page[:n])
	})
}

// move copies page by page, until a page is missing: EIO when it is the first.
func (o *memoryFile) move(b *mm.Buffer, off int64, part func(*mm.AddressSpace, []byte, mm.Addr) (int, error)) (int, int64, error) {
	as := memory(o.s)
	if as == nil {
		return 0, off, nil
	}
	defer as.Put()
	page := make([]byte, min(b.Len(), mm.PageSize))
	done := 0
	for b.Len() > 0 {
		at := mm.Addr(off) + mm.Addr(done)
		room := mm.PageSize - int(at%mm.PageSize)
		n, err := part(as, page[:min(b.Len(), room, len(page))], at)
		done += n
		if err != nil {
			if done == 0 {
				return 0, off, unix.EIO
			}
			break
		}
	}
	return done, off + int64(done), nil
}
