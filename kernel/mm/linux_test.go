package mm

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// window is where TestLikeLinux maps, here and in the test's own process: far
// from what the host's kernel chooses by itself.
const (
	windowStart = Addr(0x200000000000)
	windowPages = 48
	windowEnd   = windowStart + windowPages<<PageShift
	filePagesN  = 20
)

func rawErr(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

func hostCall(nr uintptr, a ...uintptr) (uintptr, error) {
	var v [6]uintptr
	copy(v[:], a)
	r, _, e := unix.Syscall6(nr, v[0], v[1], v[2], v[3], v[4], v[5])
	return r, rawErr(e)
}

// hostProt is the protection and sharing of each page of the window in the
// test's own process, "" where nothing is mapped.
func hostProt(t *testing.T) (p [windowPages]string) {
	raw, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		lo, hi, _ := strings.Cut(f[0], "-")
		a, _ := strconv.ParseUint(lo, 16, 64)
		b, _ := strconv.ParseUint(hi, 16, 64)
		for x := max(Addr(a), windowStart); x < min(Addr(b), windowEnd); x += PageSize {
			p[(x-windowStart)>>PageShift] = f[1]
		}
	}
	return p
}

func kernelAtLeast(major, minor int) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	a, rest, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), ".")
	b, _, _ := strings.Cut(rest, ".")
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return x > major || x == major && y >= minor
}

type bounds struct{ start, end Addr }

// hostBounds is the host's VMA that a lies in.
func hostBounds(t *testing.T, x Addr) bounds {
	raw, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(raw)) {
		lo, hi, _ := strings.Cut(strings.Fields(line)[0], "-")
		a, _ := strconv.ParseUint(lo, 16, 64)
		b, _ := strconv.ParseUint(hi, 16, 64)
		if Addr(a) <= x && x < Addr(b) {
			return bounds{Addr(a), Addr(b)}
		}
	}
	return bounds{}
}

func (as *AddressSpace) bounds(x Addr) bounds {
	if v, ok := as.VMAAt(x); ok {
		return bounds{v.Start, v.End}
	}
	return bounds{}
}

func ourProt(as *AddressSpace) (p [windowPages]string) {
	for _, v := range as.AppendVMAs(nil) {
		s := []byte("---p")
		if v.Read {
			s[0] = 'r'
		}
		if v.Write {
			s[1] = 'w'
		}
		if v.Exec {
			s[2] = 'x'
		}
		if v.Shared {
			s[3] = 's'
		}
		for x := max(v.Start, windowStart); x < min(v.End, windowEnd); x += PageSize {
			p[(x-windowStart)>>PageShift] = string(s)
		}
	}
	return p
}

func hostRead(a Addr, p []byte) bool {
	local := []unix.Iovec{{Base: &p[0], Len: uint64(len(p))}}
	n, err := unix.ProcessVMReadv(os.Getpid(), local, []unix.RemoteIovec{{Base: uintptr(a), Len: len(p)}}, 0)
	return err == nil && n == len(p)
}

func hostWrite(a Addr, p []byte) bool {
	local := []unix.Iovec{{Base: &p[0], Len: uint64(len(p))}}
	n, err := unix.ProcessVMWritev(os.Getpid(), local, []unix.RemoteIovec{{Base: uintptr(a), Len: len(p)}}, 0)
	return err == nil && n == len(p)
}

// TestLikeLinux makes random calls here and on the kernel that runs the test
// and compares errors, protections and contents.
func TestLikeLinux(t *testing.T) {
	checkLeaks(t)
	_, err := hostCall(unix.SYS_MMAP, uintptr(windowStart), windowPages<<PageShift, 0,
		anon|unix.MAP_FIXED_NOREPLACE|unix.MAP_NORESERVE, ^uintptr(0))
	if err != nil {
		t.Skip("window:", err)
	}
	defer hostCall(unix.SYS_MUNMAP, uintptr(windowStart), windowPages<<PageShift)
	fd, err := unix.MemfdCreate("husk-test", 0)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, filePagesN<<PageShift); err != nil {
		t.Fatal(err)
	}
	f := &testFile{cache: NewPageCache(nil)}
	f.cache.Truncate(filePagesN << PageShift)
	defer f.cache.Release()
	as := newSpace(t)
	defer as.Put()
	mustMap(t, as, MapRequest{
		Addr: windowStart, Len: windowPages << PageShift, Flags: anon | unix.MAP_FIXED_NOREPLACE | unix.MAP_NORESERVE,
	})

	// Fixed seeds: whether a private page has been copied already, and so
	// whether it still follows its file, is not specified, and about one run
	// in fifty would meet a case in which Linux copies earlier or later.
	seed := uint64(1)
	if s := os.Getenv("HUSK_MM_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	r := rand.New(rand.NewPCG(seed, 0))
	steps := 4000
	if testing.Short() {
		steps = 500
	}
	// What mremap checks first changed with Linux 6.17.
	likeNew := kernelAtLeast(6, 17)
	var history []string
	for step := range steps {
		page := func() Addr {
			a := windowStart + Addr(r.IntN(windowPages))<<PageShift
			if r.IntN(40) == 0 {
				a += Addr(r.IntN(PageSize))
			}
			return a
		}
		length := func(a Addr) uint64 {
			n := uint64(r.IntN(12)) << PageShift
			if r.IntN(8) == 0 {
				n += uint64(r.IntN(PageSize))
			}
			if a+Addr(n) > windowEnd {
				n = uint64(windowEnd - a)
			}
			return n
		}
		a := page()
		n := length(a)
		var what string
		var want, got error
		note := func(name string, args ...uint64) {
			what = name
			for _, x := range args {
				what += " " + strconv.FormatUint(x, 16)
			}
		}
		switch r.IntN(16) {
		case 0, 1:
			prot := r.IntN(8)
			flags := anon | unix.MAP_FIXED
			if r.IntN(4) == 0 {
				flags = unix.MAP_SHARED | unix.MAP_ANONYMOUS | unix.MAP_FIXED
			}
			if r.IntN(6) == 0 {
				flags |= unix.MAP_FIXED_NOREPLACE
			}
			if r.IntN(30) == 0 {
				flags &^= unix.MAP_TYPE
			}
			note("mmap", uint64(a), n, uint64(prot), uint64(flags))
			_, want = hostCall(unix.SYS_MMAP, uintptr(a), uintptr(n), uintptr(prot), uintptr(flags), ^uintptr(0))
			_, got = as.Map(MapRequest{Addr: a, Len: n, Prot: prot, Flags: flags})
		case 2, 3:
			prot := r.IntN(8)
			flags := unix.MAP_FIXED | 1 + r.IntN(2)
			off := uint64(r.IntN(filePagesN+2)) << PageShift
			note("mmap file", uint64(a), n, uint64(prot), uint64(flags), off)
			_, want = hostCall(unix.SYS_MMAP, uintptr(a), uintptr(n), uintptr(prot), uintptr(flags), uintptr(fd), uintptr(off))
			_, got = as.Map(MapRequest{Addr: a, Len: n, Prot: prot, Flags: flags, File: f, Offset: off})
		case 4:
			note("munmap", uint64(a), n)
			_, want = hostCall(unix.SYS_MUNMAP, uintptr(a), uintptr(n))
			got = as.Unmap(a, n)
		case 5, 6:
			prot := r.IntN(8)
			if r.IntN(20) == 0 {
				prot = r.IntN(1 << 27)
			}
			note("mprotect", uint64(a), n, uint64(prot))
			_, want = hostCall(unix.SYS_MPROTECT, uintptr(a), uintptr(n), uintptr(prot))
			got = as.Protect(a, n, prot)
		case 7:
			if !likeNew {
				continue
			}
			to := page()
			m := length(to)
			flags := []int{0, 3, 3, 3, 7, 5, 8, 2}[r.IntN(8)]
			if flags&1 != 0 && flags&2 == 0 {
				flags = 0 // the kernel would choose the address
			}
			if flags == 7 {
				m = n
			}
			if to+Addr(m) > windowEnd || a+Addr(m) > windowEnd {
				continue
			}
			if hostBounds(t, a) != as.bounds(a) {
				continue // Linux joins VMAs less readily once they have pages
			}
			note("mremap", uint64(a), n, m, uint64(flags), uint64(to))
			var x uintptr
			var y Addr
			x, want = hostCall(unix.SYS_MREMAP, uintptr(a), uintptr(n), uintptr(m), uintptr(flags), uintptr(to))
			y, got = as.Remap(RemapRequest{Old: a, OldLen: n, NewLen: m, Flags: flags, New: to})
			if want == nil && got == nil && x != uintptr(y) {
				t.Fatalf("%s: %#x, want %#x", what, y, x)
			}
		case 8:
			advice := []int{0, 1, 2, 3, 4, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23, 24, 50}[r.IntN(19)]
			if advice == unix.MADV_REMOVE && !likeNew {
				continue
			}
			if b := hostBounds(t, a); advice == unix.MADV_FREE && (b != as.bounds(a) || a+Addr(n) > b.end) {
				continue // how much of it Linux drops cannot be known
			}
			note("madvise", uint64(a), n, uint64(advice))
			_, want = hostCall(unix.SYS_MADVISE, uintptr(a), uintptr(n), uintptr(advice))
			if advice == unix.MADV_FREE && want == nil {
				// Linux may keep the contents; make it forget them too.
				_, want = hostCall(unix.SYS_MADVISE, uintptr(a), uintptr(n), unix.MADV_DONTNEED)
			}
			got = as.Advise(a, n, advice)
		case 9:
			flags := r.IntN(8)
			note("msync", uint64(a), n, uint64(flags))
			_, want = hostCall(unix.SYS_MSYNC, uintptr(a), uintptr(n), uintptr(flags))
			got = as.Sync(a, n, flags)
		case 10:
			note("mlock", uint64(a), n)
			_, want = hostCall(unix.SYS_MLOCK, uintptr(a), uintptr(n))
			got = as.Lock(a, n, false, true)
		case 11:
			note("munlock", uint64(a), n)
			_, want = hostCall(unix.SYS_MUNLOCK, uintptr(a), uintptr(n))
			got = as.Unlock(a, n)
		case 12:
			size := int64(r.IntN(filePagesN << PageShift))
			note("ftruncate", uint64(size))
			want = unix.Ftruncate(fd, size)
			f.cache.Truncate(uint64(size))
		case 13:
			p := bytes.Repeat([]byte{byte(step)}, 1+r.IntN(9000))
			off := uint64(r.IntN(filePagesN << PageShift))
			note("pwrite", off, uint64(len(p)))
			_, want = unix.Pwrite(fd, p, int64(off))
			b := KernelBuffer(p)
			_, got = f.cache.WriteAt(&b, off)
		default:
			p := bytes.Repeat([]byte{byte(step)}, 1+r.IntN(5000))
			if a+Addr(len(p)) > windowEnd {
				continue
			}
			prots := ourProt(as)
			ok := true
			for x := a.pageDown(); x < a+Addr(len(p)); x += PageSize {
				ok = ok && strings.HasPrefix(prots[(x-windowStart)>>PageShift], "rw")
			}
			if !ok {
				continue // process_vm_writev is partial in other ways
			}
			note("write", uint64(a), uint64(len(p)))
			h := hostWrite(a, p)
			k, _ := as.CopyOut(a, p)
			if h != (k == len(p)) {
				t.Errorf("%s: %v, want %v", what, k == len(p), h)
			}
			if !h {
				// How much of a failed write was done differs.
				continue
			}
		}
		history = append(history, what)
		if want != got {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
		hp, op := hostProt(t), ourProt(as)
		for i := range hp {
			x := windowStart + Addr(i)<<PageShift
			if hp[i] != op[i] {
				t.Errorf("after %s: page %d is %q, want %q", what, i, op[i], hp[i])
				continue
			}
			if !strings.HasPrefix(hp[i], "r") {
				continue
			}
			var h, o [PageSize]byte
			hok := hostRead(x, h[:])
			_, err := as.CopyIn(o[:], x)
			if hok != (err == nil) || hok && h != o {
				k := 0
				for k < PageSize-1 && o[k] == h[k] {
					k++
				}
				t.Errorf("after %s: page %d (%s) readable %v, want %v; byte %#x is %d, want %d", what, i, hp[i], err == nil, hok, k, o[k], h[k])
			}
		}
		if err := as.check(); err != "" {
			t.Errorf("after %s: %s", what, err)
		}
		if t.Failed() {
			for _, s := range history[max(0, len(history)-20):] {
				t.Log(s)
			}
			return
		}
	}
}

// check verifies what must hold of an address space that nobody uses.
func (as *AddressSpace) check() string {
	var total uint64
	for i, v := range as.vmas {
		switch {
		case v.start >= v.end || v.start&pageMask|v.end&pageMask != 0:
			return "empty or crooked VMA"
		case i > 0 && as.vmas[i-1].end > v.start:
			return "VMAs overlap"
		case i > 0 && as.vmas[i-1].extends(v):
			return "VMAs not joined"
		}
		total += v.size() >> PageShift
	}
	if total != as.totalPages {
		return "total is " + strconv.FormatUint(as.totalPages, 10) + ", not " + strconv.FormatUint(total, 10)
	}
	for a := Addr(0); ; {
		p, at := as.nextTable(a, userMax)
		if p == nil {
			return ""
		}
		t := tableAt(pteFrame(load(p)))
		lo := at &^ (tableSpan - 1)
		mapped := uint32(0)
		for i := range t {
			if counts(t[i]) {
				mapped++
			}
			if t[i] == 0 {
				continue
			}
			x := lo + Addr(i)<<PageShift
			v := as.find(x)
			switch {
			case v == nil:
				return "entry without a VMA"
			case holdsFrame(t[i]) && frames[pteFrame(t[i])].refs.Load() < 1:
				return "entry without a reference"
			case t[i]&pteWrite != 0 && v.flags&vmWrite == 0:
				return "writable entry in a VMA that is not"
			case v.flags&vmAccess == 0 && t[i]&ptePresent != 0:
				return "present entry in a VMA without access"
			}
		}
		if n := frames[pteFrame(load(p))].flags; n != mapped {
			return "table counts " + strconv.Itoa(int(n)) + " pages, has " + strconv.Itoa(int(mapped))
		}
		a = lo + tableSpan
	}
}
