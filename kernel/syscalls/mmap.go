package syscalls

import (
	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// mapChecker is a file that has a say in how it is mapped (memfd seals).
type mapChecker interface {
	CheckMap(f *vfs.File, shared, write bool) error
}

// mmap maps a file or anonymous memory (mmap(2)).
func (t Thread) mmap(addr mm.Addr, length uint64, prot, flags, fd int32, off uint64) (uintptr, error) {
	if off&(mm.PageSize-1) != 0 {
		return 0, unix.EINVAL
	}
	r := mm.MapRequest{
		Addr: addr, Len: length, Prot: int(prot), Flags: int(flags), Offset: off,
		MayLock: t.Cred().Has(unix.CAP_IPC_LOCK), MayMapLow: t.Cred().Has(unix.CAP_SYS_RAWIO),
	}
	if flags&unix.MAP_ANONYMOUS == 0 {
		f, err := t.Files().Get(int(fd))
		if err != nil {
			return 0, err
		}
		defer f.Put()
		if r.MaxProt, err = mayMap(f, prot, flags); err != nil {
			if length == 0 {
				err = unix.EINVAL
			}
			return 0, err
		}
		r.File = f
	} else {
		r.Offset = 0
	}
	a, err := t.AddressSpace().Map(r)
	return uintptr(a), err
}

// mayMap checks the file's access mode as do_mmap does and returns the
// protections that mprotect may later give.
func mayMap(f *vfs.File, prot, flags int32) (maxProt int, err error) {
	mode := f.Flags() & unix.O_ACCMODE
	if f.Flags()&unix.O_PATH != 0 {
		return 0, unix.EBADF
	}
	maxProt = unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC
	shared := flags&unix.MAP_TYPE != unix.MAP_PRIVATE
	if shared && mode == unix.O_RDONLY {
		if prot&unix.PROT_WRITE != 0 {
			return 0, unix.EACCES
		}
		maxProt &^= unix.PROT_WRITE
	}
	if mode == unix.O_WRONLY {
		return 0, unix.EACCES
	}
	if m := f.Path.Mount; m != nil && m.Flags()&unix.MS_NOEXEC != 0 {
		if prot&unix.PROT_EXEC != 0 {
			return 0, unix.EPERM
		}
		maxProt &^= unix.PROT_EXEC
	}
	if c, ok := f.Ops.(mapChecker); ok {
		if err := c.CheckMap(f, shared, prot&unix.PROT_WRITE != 0); err != nil {
			return 0, err
		}
	}
	return maxProt, nil
}

// munmap removes mappings (munmap(2)).
func (t Thread) munmap(addr mm.Addr, length uint64) error {
	return t.AddressSpace().Unmap(addr, length)
}

// mremap resizes and moves a mapping (mremap(2)).
func (t Thread) mremap(old mm.Addr, oldLen, newLen uint64, flags int32, to mm.Addr) (uintptr, error) {
	a, err := t.AddressSpace().Remap(mm.RemapRequest{
		Old: old, OldLen: oldLen, NewLen: newLen, Flags: int(flags), New: to,
		MayLock: t.Cred().Has(unix.CAP_IPC_LOCK),
	})
	return uintptr(a), err
}

// brk moves the end of the heap; it returns the break there is then.
func (t Thread) brk(addr mm.Addr) (uintptr, error) {
	return uintptr(t.AddressSpace().Brk(addr)), nil
}

// remap_file_pages makes a shared mapping show other pages of its file.
func (t Thread) remap_file_pages(start mm.Addr, size uint64, prot int32, off uint64, flags int32) error {
	return t.AddressSpace().RemapFile(start, size, int(prot), off, int(flags))
}

// mprotect changes the protection of mappings (mprotect(2)).
func (t Thread) mprotect(addr mm.Addr, length uint64, prot int32) error {
	return t.AddressSpace().Protect(addr, length, int(prot))
}

// pkey_mprotect is mprotect where there are no protection keys but the
// default (pkeys(7)).
func (t Thread) pkey_mprotect(addr mm.Addr, length uint64, prot, pkey int32) error {
	if pkey != -1 {
		return unix.EINVAL
	}
	return t.AddressSpace().Protect(addr, length, int(prot))
}

// pkey_alloc finds no protection key free: the machine has none.
func (t Thread) pkey_alloc(flags, rights uint64) (int, error) {
	if flags != 0 || rights&^3 != 0 {
		return 0, unix.EINVAL
	}
	return 0, unix.ENOSPC
}

// pkey_free has no key to free.
func (t Thread) pkey_free(pkey int32) error { return unix.EINVAL }
