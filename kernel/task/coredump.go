package task

import (
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/mm"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// This file writes core files (core(5)). The thread with the fatal signal has
// the others of its process come to exit, where each leaves its registers and
// waits until the file is written.

// CorePattern is kernel.core_pattern, CoreUsesPID kernel.core_uses_pid.
var (
	CorePattern atomic.Pointer[string]
	CoreUsesPID atomic.Bool
)

// coreDump is a dump that is being made. Process.mu guards it.
type coreDump struct {
	by     *Thread
	sig    int
	others []byte // notes of the other threads
	left   int    // threads that have not come yet
	done   bool
}

// minCore is the least RLIMIT_CORE with which a file is written.
const minCore = 4096

// mayDump says whether RLIMIT_CORE allows a core file. A program that reads it
// is not limited, except by the 1 that such a program itself has: else one
// that crashes would be dumped to another one, and so on.
func mayDump(limit uint64, piped bool) bool {
	if piped {
		return limit != helperCore
	}
	return limit >= minCore
}

// dumpCore ends the process and writes a core file, if the limits and the
// pattern say so and it does not end already. It reports whether that was so.
func (t *Thread) dumpCore(sig int, si *SigInfo, crash *Crash) bool {
	p := t.Process
	pattern := "core"
	if s := CorePattern.Load(); s != nil {
		pattern = *s
	}
	piped := pattern != "" && pattern[0] == '|'
	if p.dumpable.Load() != 1 || pattern == "" || !mayDump(p.Limit(RlimitCore), piped) {
		return false
	}
	p.mu.Lock()
	if p.exiting || p.execer != nil {
		p.mu.Unlock()
		return false
	}
	d := &coreDump{by: t, sig: sig, left: p.live - 1}
	p.exiting, p.exitStatus, p.dump, p.crash = true, sig, d, crash
	for _, o := range p.threads {
		if o != t && !o.gone {
			o.kill()
		}
	}
	for d.left > 0 {
		p.mu.Unlock()
		_ = t.sleepFor(wait.NoDeadline, 0)
		p.mu.Lock()
	}
	p.mu.Unlock()
	t.work.And(^uint32(workInterrupt)) // writing must not be interrupted
	var ok bool
	if piped {
		ok = t.pipeCore(pattern[1:], d, si)
	} else if f := t.openCore(t.coreName(pattern, sig)); f != nil {
		// Like Linux, what is over the limit is left out: there is a file.
		t.writeCore(&coreFile{t: t, f: f, limit: p.Limit(RlimitCore)}, d, si)
		f.Put()
		ok = true
	}
	p.mu.Lock()
	if ok {
		p.exitStatus |= coreDumped
	}
	d.done, p.dump = true, nil
	for _, o := range p.threads {
		if o != t {
			o.Wake()
		}
	}
	p.mu.Unlock()
	t.work.Or(workKill)
	return true
}

// missDump counts a thread that had begun to exit before the dump. Process.mu
// is held; the thread has just become one that is gone.
func (t *Thread) missDump() {
	if d := t.Process.dump; d != nil && d.by != t {
		if d.left--; d.left == 0 {
			d.by.Wake()
		}
	}
}

// joinDump leaves the registers of a thread that ends for the core file, and
// waits until it is written.
func (t *Thread) joinDump() {
	p := t.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.dump
	if d == nil || d.by == t {
		return
	}
	p.mu.Unlock()
	notes := t.coreRegisters(nil, d.sig)
	notes = t.coreExtended(notes)
	p.mu.Lock()
	d.others = append(d.others, notes...)
	if d.left--; d.left == 0 {
		d.by.Wake()
	}
	for !d.done {
		p.mu.Unlock()
		_ = t.sleepFor(wait.NoDeadline, 0)
		p.mu.Lock()
	}
}

// coreName is what the pattern makes the name of the file.
func (t *Thread) coreName(pattern string, sig int) string {
	name, pid := t.expandCore(pattern, sig)
	if !pid && CoreUsesPID.Load() {
		name = append(name, '.')
		name = strconv.AppendInt(name, int64(t.Process.tgid), 10)
	}
	return string(name)
}

// expandCore replaces what the pattern has in place of facts about the process
// (core(5)), and says whether its number was among them.
func (t *Thread) expandCore(pattern string, sig int) (name []byte, pid bool) {
	p := t.Process
	safe := func(s string) string {
		b := []byte(s)
		for i := range b {
			if b[i] == '/' {
				b[i] = '!'
			}
		}
		return string(b)
	}
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		if c != '%' {
			name = append(name, c)
			continue
		}
		if i++; i == len(pattern) {
			break
		}
		n := int64(0)
		switch pattern[i] {
		case '%':
			name = append(name, '%')
			continue
		case 'e':
			name = append(name, safe(t.Name())...)
			continue
		case 'f', 'E':
			path := t.Name()
			if f := p.Exe(); f != nil {
				path = f.Path.String(t.fs.Root())
				f.Put()
			}
			if pattern[i] == 'f' {
				path = baseName(path)
			}
			name = append(name, safe(path)...)
			continue
		case 'h':
			name = append(name, safe(Hostname())...)
			continue
		case 'p', 'P':
			n, pid = int64(p.tgid), true
		case 'i', 'I':
			n = int64(t.TID)
		case 'u':
			n = int64(t.Cred().UID)
		case 'g':
			n = int64(t.Cred().GID)
		case 'd':
			n = int64(p.dumpable.Load())
		case 's':
			n = int64(sig)
		case 't':
			n = clock.Realtime() / clock.Second
		case 'c':
			name = strconv.AppendUint(name, p.Limit(RlimitCore), 10)
			continue
		case 'C':
			n = int64(cpu.CurrentCPU())
		default:
			continue
		}
		name = strconv.AppendInt(name, n, 10)
	}
	return name, pid
}

// Types of notes in core files.
const (
	ntPrstatus  = 1
	ntFPRegset  = 2
	ntPrpsinfo  = 3
	ntAuxv      = 6
	ntXState    = 0x202
	ntSigInfo   = 0x53494749
	ntFile      = 0x46494c45
	prstatus    = 336
	prpsinfo    = 136
	elfHeader   = 64
	elfSegment  = 56
	segmentLoad = 1
	segmentNote = 4
)

// coreNote appends a note.
func coreNote(b []byte, name string, kind uint32, data []byte) []byte {
	b = le.AppendUint32(b, uint32(len(name)+1))
	b = le.AppendUint32(b, uint32(len(data)))
	b = le.AppendUint32(b, kind)
	b = append(b, name...)
	b = append(b, make([]byte, 4-len(name)%4)...)
	b = append(b, data...)
	return append(b, make([]byte, -len(data)&3)...)
}

// coreRegisters appends NT_PRSTATUS, of the calling thread.
func (t *Thread) coreRegisters(b []byte, sig int) []byte {
	p := t.Process
	var s [prstatus]byte
	le.PutUint32(s[0:], uint32(sig))
	le.PutUint16(s[12:], uint16(sig))
	p.mu.Lock()
	le.PutUint64(s[16:], uint64(t.pending.set))
	p.mu.Unlock()
	le.PutUint64(s[24:], uint64(t.blocked))
	for i, v := range [...]int{t.TID, p.PPID(), p.PGID(), p.SID()} {
		le.PutUint32(s[32+4*i:], uint32(v))
	}
	user, sys := t.time.split()
	for i, ns := range [...]int64{user, sys} {
		le.PutUint64(s[48+16*i:], uint64(ns/clock.Second))
		le.PutUint64(s[56+16*i:], uint64(ns%clock.Second/1000))
	}
	for i, v := range [...]uint64{
		t.R15, t.R14, t.R13, t.R12, t.RBP, t.RBX, t.R11, t.R10, t.R9, t.R8, t.RAX, t.RCX, t.RDX, t.RSI, t.RDI,
		t.OrigRAX, t.RIP, userCS, t.RFLAGS, t.RSP, userSS, t.FSBase, t.GSBase,
	} {
		le.PutUint64(s[112+8*i:], v)
	}
	le.PutUint32(s[328:], 1)
	return coreNote(b, "CORE", ntPrstatus, s[:])
}

// coreExtended appends the notes of the extended state.
func (t *Thread) coreExtended(b []byte) []byte {
	img := make([]byte, cpu.FPUSize())
	t.SaveFPU(img)
	if len(img) > fxsaveSize {
		clear(img[fpSoftware:fxsaveSize])
		le.PutUint64(img[fpSoftware:], cpu.XCR0())
	}
	b = coreNote(b, "CORE", ntFPRegset, img[:fxsaveSize])
	return coreNote(b, "LINUX", ntXState, img)
}

// coreProcess appends NT_PRPSINFO.
func (t *Thread) coreProcess(b []byte) []byte {
	p := t.Process
	var s [prpsinfo]byte
	s[1] = 'R'
	c := t.Cred()
	le.PutUint32(s[16:], uint32(c.UID))
	le.PutUint32(s[20:], uint32(c.GID))
	for i, v := range [...]int{p.tgid, p.PPID(), p.PGID(), p.SID()} {
		le.PutUint32(s[24+4*i:], uint32(v))
	}
	copy(s[40:55], t.Name())
	if prog := p.Program(); prog != nil {
		n := min(prog.ArgEnd-prog.ArgStart, 79)
		k, _ := t.mem.CopyIn(s[56:56+n], mm.Addr(prog.ArgStart))
		for i := range s[56 : 56+k] {
			if s[56+i] == 0 {
				s[56+i] = ' '
			}
		}
	}
	return coreNote(b, "CORE", ntPrpsinfo, s[:])
}

// coreFiles appends NT_FILE: what is mapped from where.
func coreFiles(b []byte, vmas []mm.VMAInfo) []byte {
	var table, names []byte
	n := uint64(0)
	for i := range vmas {
		v := &vmas[i]
		if v.Ino == 0 {
			continue
		}
		n++
		table = le.AppendUint64(table, uint64(v.Start))
		table = le.AppendUint64(table, uint64(v.End))
		table = le.AppendUint64(table, v.Offset/mm.PageSize)
		names = append(append(names, v.Name...), 0)
	}
	data := le.AppendUint64(nil, n)
	data = le.AppendUint64(data, mm.PageSize)
	return coreNote(b, "CORE", ntFile, append(append(data, table...), names...))
}

// Bits of /proc/PID/coredump_filter (core(5)).
const (
	coreAnonPrivate = 1 << iota
	coreAnonShared
	coreFilePrivate
	coreFileShared
	coreELFHeaders
	coreHugePrivate
	coreHugeShared
	coreDAXPrivate
	coreDAXShared

	coreFilterAll = 1<<iota - 1
	coreFilterNew = coreAnonPrivate | coreAnonShared | coreELFHeaders | coreHugePrivate
)

// CoreFilter is /proc/PID/coredump_filter; SetCoreFilter changes it.
func (p *Process) CoreFilter() uint32 { return p.coreFilter.Load() ^ coreFilterNew }

// SetCoreFilter is described at CoreFilter.
func (p *Process) SetCoreFilter(v uint32) { p.coreFilter.Store(v&coreFilterAll ^ coreFilterNew) }

// coreSize is how much of a mapping the file holds.
func coreSize(as *mm.AddressSpace, v *mm.VMAInfo, filter uint32) uint64 {
	const dontDump = 0x4000000
	whole := func(bit uint32) uint64 {
		if filter&bit != 0 {
			return uint64(v.End - v.Start)
		}
		return 0
	}
	switch {
	case v.Name == "[vdso]":
		return uint64(v.End - v.Start)
	case v.Flags&dontDump != 0, v.Name == "[vvar]":
		return 0
	case v.Shared && (v.Ino == 0 || strings.HasSuffix(v.Name, " (deleted)")):
		return whole(coreAnonShared)
	case v.Shared:
		return whole(coreFileShared)
	case filter&coreAnonPrivate != 0 && as.Usage(v.Start, v.End).Anonymous != 0: // it was written
		return whole(coreAnonPrivate)
	case v.Ino == 0:
		return 0
	case filter&coreFilePrivate != 0:
		return whole(coreFilePrivate)
	case filter&coreELFHeaders == 0 || v.Offset != 0 || !v.Read:
		return 0
	}
	var magic [4]byte
	if n, _ := as.CopyIn(magic[:], v.Start); n == 4 && string(magic[:]) == "\x7fELF" {
		return mm.PageSize
	}
	return 0
}

// coreFile is the file as it is written, or the pipe to the program that
// core_pattern names: that gets zeros for what a file has holes for.
type coreFile struct {
	t     *Thread
	f     *vfs.File
	limit uint64
	piped bool
	at    uint64 // how far a pipe is
	err   error
}

// writeAt writes what comes next at or behind all that was written.
func (w *coreFile) writeAt(b []byte, off uint64) {
	if w.piped {
		w.skip(off)
	}
	for len(b) > 0 && w.err == nil {
		if off >= w.limit {
			w.err = unix.EFBIG
			return
		}
		buf := mm.KernelBuffer(b[:min(uint64(len(b)), w.limit-off)])
		var n int
		if w.piped {
			n, w.err = w.f.Write(w.t, &buf)
		} else {
			n, w.err = w.f.Pwrite(w.t, &buf, int64(off))
		}
		if n <= 0 && w.err == nil {
			w.err = unix.EIO
		}
		b, off = b[max(n, 0):], off+uint64(max(n, 0))
		w.at = off
	}
}

// skip writes zeros into a pipe up to an offset.
func (w *coreFile) skip(off uint64) {
	var zeros []byte
	for w.at < off && w.err == nil {
		if zeros == nil {
			zeros = make([]byte, mm.PageSize)
		}
		w.writeAt(zeros[:min(off-w.at, mm.PageSize)], w.at)
	}
}

// end makes the file as long as it says it is: it may end with a hole.
func (w *coreFile) end(size uint64) {
	switch {
	case w.piped:
		w.skip(size)
	case w.err == nil && size <= w.limit:
		_ = w.f.Truncate(w.t, int64(size))
	}
}

// openCore makes the file: a new one that belongs to the user and nobody else
// may read.
func (t *Thread) openCore(name string) *vfs.File {
	_ = vfs.Unlink(t, nil, name)
	f, err := vfs.OpenAt(t, nil, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_LARGEFILE, 0o600, 0)
	if err != nil {
		return nil
	}
	return f
}

// writeCore writes the file.
func (t *Thread) writeCore(w *coreFile, d *coreDump, si *SigInfo) {
	p := t.Process
	as := t.mem
	vmas := as.AppendVMAs(nil)

	notes := t.coreRegisters(nil, d.sig)
	notes = t.coreProcess(notes)
	info := si.Encode()
	notes = coreNote(notes, "CORE", ntSigInfo, info[:])
	if prog := p.Program(); prog != nil {
		var auxv []byte
		for _, v := range prog.Auxv {
			auxv = le.AppendUint64(auxv, v)
		}
		notes = coreNote(notes, "CORE", ntAuxv, auxv)
	}
	notes = coreFiles(notes, vmas)
	notes = t.coreExtended(notes)
	notes = append(notes, d.others...)

	const version, typeCore, machine = 1, 4, 62
	head := make([]byte, 0, elfHeader+elfSegment*(len(vmas)+1)+len(notes))
	head = append(head, 0x7f, 'E', 'L', 'F', 2, 1, version, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	head = le.AppendUint16(head, typeCore)
	head = le.AppendUint16(head, machine)
	head = le.AppendUint32(head, version)
	head = le.AppendUint64(head, 0)         // entry
	head = le.AppendUint64(head, elfHeader) // segments
	head = le.AppendUint64(head, 0)         // sections
	head = le.AppendUint32(head, 0)
	for _, v := range [...]uint16{elfHeader, elfSegment, uint16(len(vmas) + 1), 0, 0, 0} {
		head = le.AppendUint16(head, v)
	}
	segment := func(kind, flags uint32, off, addr, size, memory, align uint64) {
		head = le.AppendUint32(head, kind)
		head = le.AppendUint32(head, flags)
		for _, v := range [...]uint64{off, addr, 0, size, memory, align} {
			head = le.AppendUint64(head, v)
		}
	}
	off := uint64(elfHeader + elfSegment*(len(vmas)+1))
	segment(segmentNote, 0, off, 0, uint64(len(notes)), 0, 0)
	off = (off + uint64(len(notes)) + mm.PageSize - 1) &^ (mm.PageSize - 1)
	first := off
	sizes := make([]uint64, len(vmas))
	filter := p.CoreFilter()
	for i := range vmas {
		v := &vmas[i]
		flags := uint32(0)
		for bit, on := range [...]bool{v.Exec, v.Write, v.Read} {
			if on {
				flags |= 1 << bit
			}
		}
		sizes[i] = coreSize(as, v, filter)
		segment(segmentLoad, flags, off, uint64(v.Start), sizes[i], uint64(v.End-v.Start), mm.PageSize)
		off += sizes[i]
	}
	w.writeAt(append(head, notes...), 0)
	end := first
	for i := range vmas {
		w.writePages(as, &vmas[i], sizes[i], end)
		end += sizes[i]
	}
	w.end(end)
}

// writePages writes the pages of a mapping that exist; the others are holes.
func (w *coreFile) writePages(as *mm.AddressSpace, v *mm.VMAInfo, size, off uint64) {
	const chunk = 16
	var present [chunk]uint64
	page := make([]byte, mm.PageSize)
	for at := uint64(0); at < size && w.err == nil; at += mm.PageSize {
		i := at / mm.PageSize % chunk
		if i == 0 {
			as.AppendPageMap(present[:0], v.Start+mm.Addr(at), chunk)
		}
		if present[i] == 0 && v.Ino == 0 && !v.Shared {
			continue
		}
		if n, _ := as.Peek(v.Start+mm.Addr(at), page); n == len(page) {
			w.writeAt(page, off+at)
		}
	}
}
