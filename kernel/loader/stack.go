package loader

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/mm"
)

// Keys of the auxiliary vector (getauxval(3), include/uapi/linux/auxvec.h).
const (
	atNull        = 0
	atPhdr        = 3
	atPhent       = 4
	atPhnum       = 5
	atPagesz      = 6
	atBase        = 7
	atFlags       = 8
	atEntry       = 9
	atUID         = 11
	atEUID        = 12
	atGID         = 13
	atEGID        = 14
	atPlatform    = 15
	atHwcap       = 16
	atClktck      = 17
	atSecure      = 23
	atRandom      = 25
	atHwcap2      = 26
	atExecfn      = 31
	atSysinfoEhdr = 33
	atMinsigstksz = 51
)

// clockTicks is USER_HZ, the unit of times(2).
const clockTicks = 100

// auxiliary is the vector but for the addresses of strings on the stack,
// which buildStack fills in, in the order in which Linux writes it.
func auxiliary(r *Request, main *object, base, vdso uint64) []uint64 {
	hwcap, hwcap2 := cpu.Hwcap()
	secure := uint64(0)
	if r.Secure {
		secure = 1
	}
	c := r.Cred
	return []uint64{
		atSysinfoEhdr, vdso,
		atMinsigstksz, minSignalStack(),
		atHwcap, hwcap,
		atPagesz, pageSize,
		atClktck, clockTicks,
		atPhdr, main.tableAddress(),
		atPhent, segmentSize,
		atPhnum, uint64(main.phnum),
		atBase, base,
		atFlags, 0,
		atEntry, main.entry + main.bias,
		atUID, uint64(c.UID),
		atEUID, uint64(c.EUID),
		atGID, uint64(c.GID),
		atEGID, uint64(c.EGID),
		atSecure, secure,
		atRandom, 0,
		atHwcap2, hwcap2,
		atExecfn, 0,
		atPlatform, 0,
		atNull, 0,
	}
}

// minSignalStack is the size of a signal frame: the extended state, and the
// rest of it with its alignment (sigaltstack(2), AT_MINSIGSTKSZ).
func minSignalStack() uint64 {
	const frame = 1000
	return uint64(cpu.FPUSize()) + frame
}

// tableAddress is where the program header table is in memory.
func (o *object) tableAddress() uint64 {
	for _, s := range o.segs {
		if s.typ == ptLoad && s.off <= o.phoff && o.phoff < s.off+s.filesz {
			return o.phoff - s.off + s.vaddr + o.bias
		}
	}
	return 0
}

// buildStack maps the stack and writes the initial process stack (System V
// ABI AMD64 supplement, 3.4.1), from the top: the file's name, environment and
// argument strings, the platform's name, random bytes; then, aligned to 16,
// argc, argv, envp and the auxiliary vector.
func buildStack(as *mm.AddressSpace, r *Request, p *Program, rnd *random, executable bool) error {
	strings := 8 + len(p.Path) + 1 // a null word at the very top
	for _, list := range [][]string{p.Argv, r.Envp} {
		for _, s := range list {
			strings += len(s) + 1
		}
	}
	pointers := 8 * (len(p.Argv) + len(r.Envp) + 3 + len(p.Auxv))
	const platform = "x86_64"
	extra := 16 + len(platform) + 1 + 256
	need := uint64(strings + pointers + extra)
	// execve(2): arguments and environment may take a quarter of the stack
	// limit, at most 6 MiB, and always 128 KiB.
	limit := max(min(r.StackLimit/4, 6<<20), 128<<10)
	if uint64(strings+8*(len(p.Argv)+len(r.Envp))) > limit {
		return unix.E2BIG
	}

	top := userMax - rnd.pages(stackRandom)
	if err := mapStack(as, top, need, executable, r.StackLimit); err != nil {
		return err
	}

	// The strings are contiguous, so they are written as one block.
	block := make([]byte, 0, strings)
	start := top - uint64(strings)
	argAt := make([]uint64, len(p.Argv))
	for i, s := range p.Argv {
		argAt[i] = start + uint64(len(block))
		block = append(append(block, s...), 0)
	}
	p.ArgStart, p.ArgEnd = start, start+uint64(len(block))
	envAt := make([]uint64, len(r.Envp))
	for i, s := range r.Envp {
		envAt[i] = start + uint64(len(block))
		block = append(append(block, s...), 0)
	}
	p.EnvStart, p.EnvEnd = p.ArgEnd, start+uint64(len(block))
	execfn := start + uint64(len(block))
	block = append(append(block, p.Path...), 0)
	block = append(block, make([]byte, 8)...)

	low := append([]byte(platform), 0)
	platformAt := (start - uint64(len(low))) &^ 15
	randomAt := platformAt - 16
	var seed [16]byte
	rnd.read(seed[:])

	sp := (randomAt - uint64(rnd.offset()) - uint64(pointers)) &^ 15
	setAux(p.Auxv, atRandom, randomAt)
	setAux(p.Auxv, atExecfn, execfn)
	setAux(p.Auxv, atPlatform, platformAt)

	words := make([]byte, 0, pointers)
	word := func(v uint64) { words = binary.LittleEndian.AppendUint64(words, v) }
	word(uint64(len(p.Argv)))
	for _, a := range argAt {
		word(a)
	}
	word(0)
	for _, a := range envAt {
		word(a)
	}
	word(0)
	for _, v := range p.Auxv {
		word(v)
	}

	p.SP, p.StartStack = sp, sp
	for _, part := range []struct {
		at   uint64
		data []byte
	}{{start, block}, {platformAt, low}, {randomAt, seed[:]}, {sp, words}} {
		if _, err := as.CopyOut(mm.Addr(part.at), part.data); err != nil {
			return unix.E2BIG
		}
	}
	return nil
}

// offset shifts the stack within a line of memory, so that programs that rely
// on its alignment by more than 16 fail everywhere alike.
func (r *random) offset() int {
	if r.off {
		return 0
	}
	var b [2]byte
	r.read(b[:])
	return int(binary.LittleEndian.Uint16(b[:])) % 256 &^ 15
}

// setAux sets the value of a key that is in the vector.
func setAux(auxv []uint64, key, value uint64) {
	for i := 0; i < len(auxv); i += 2 {
		if auxv[i] == key {
			auxv[i+1] = value
			return
		}
	}
}

// mapStack maps the main thread's stack, which grows down to its limit.
func mapStack(as *mm.AddressSpace, top, need uint64, executable bool, limit uint64) error {
	prot := unix.PROT_READ | unix.PROT_WRITE
	if executable {
		prot |= unix.PROT_EXEC
	}
	size := pageUp(need + stackInitial)
	_, err := as.Map(mm.MapRequest{
		Addr: mm.Addr(top - size), Len: size, Prot: prot,
		Flags:   unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_GROWSDOWN | unix.MAP_STACK | unix.MAP_FIXED_NOREPLACE,
		MaxProt: unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC,
		Name:    "[stack]",
	})
	if err != nil {
		return err
	}
	as.SetStack(mm.Addr(top), limit)
	return nil
}
