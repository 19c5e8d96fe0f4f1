package task

import (
	"husk/kernel/ipc"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

// SemUndo is the thread's list of semaphore adjustments.
func (t *Thread) SemUndo() *ipc.UndoList {
	if t.semUndo == nil {
		u := ipc.NewUndoList()
		t.Process.mu.Lock()
		t.semUndo = u
		t.Process.mu.Unlock()
	}
	return t.semUndo
}

// dropSemUndo makes the adjustments that are due when the thread, or the last
// of those that share them, leaves.
func (t *Thread) dropSemUndo() {
	if u := t.semUndo; u != nil {
		t.Process.mu.Lock()
		t.semUndo = nil
		t.Process.mu.Unlock()
		u.Put(t.Process.tgid)
	}
}

func closeFD(t *Thread, fd int) { _ = t.files.Close(t, fd) }

// Unshare serves unshare(2) for what clone can share: descriptors, the FS
// context and semaphore adjustments.
func (t *Thread) Unshare(files, fs, undo bool) {
	if undo {
		t.dropSemUndo()
	}
	if files && t.files.Shared() {
		old := t.files
		t.replaceFiles(old.Clone())
		old.Unref(t)
	}
	if fs && t.fs.Shared() {
		old := t.fs
		n := old.Clone()
		t.Process.mu.Lock()
		t.fs = n
		t.Process.mu.Unlock()
		old.Put()
	}
}

func (t *Thread) replaceFiles(n *vfs.FDTable) {
	t.Process.mu.Lock()
	t.files = n
	t.Process.mu.Unlock()
}

// Mem returns the process's memory with a reference that the caller must Put;
// nil when the process has ended.
func (p *Process) Mem() *mm.AddressSpace {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mem != nil {
		p.mem.Get()
	}
	return p.mem
}

// FilesRef returns the thread's descriptors with a reference that the caller
// must Unref; nil when it has ended. For use by other threads.
func (t *Thread) FilesRef() *vfs.FDTable {
	t.Process.mu.Lock()
	defer t.Process.mu.Unlock()
	if t.files == nil {
		return nil
	}
	return t.files.Ref()
}

// FSRef returns the thread's FS context with a reference that the caller must
// Put; nil when it has ended. For use by other threads.
func (t *Thread) FSRef() *vfs.FSContext {
	t.Process.mu.Lock()
	defer t.Process.mu.Unlock()
	if t.fs == nil {
		return nil
	}
	return t.fs.Get()
}

// Exe returns the executable with a reference; nil when there is none.
func (p *Process) Exe() *vfs.File {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exe != nil {
		p.exe.Get()
	}
	return p.exe
}

// peakRSS is the most memory that was resident, in pages.
func peakRSS(as *mm.AddressSpace) uint64 {
	if as == nil {
		return 0
	}
	return as.PeakResident()
}

// applyMemoryLimit tells mm of a limit that it enforces. as may be nil.
func applyMemoryLimit(as *mm.AddressSpace, resource int, soft uint64) {
	if as == nil {
		return
	}
	switch resource {
	case RlimitAS:
		as.Limits.AS.Store(soft)
	case RlimitData:
		as.Limits.Data.Store(soft)
	case RlimitStack:
		as.Limits.Stack.Store(soft)
	case RlimitMemlock:
		as.Limits.Memlock.Store(soft)
	}
}

// applyMemoryLimits tells mm of all limits, for a new address space.
func (p *Process) applyMemoryLimits(as *mm.AddressSpace) {
	for _, r := range [...]int{RlimitAS, RlimitData, RlimitStack, RlimitMemlock} {
		applyMemoryLimit(as, r, p.Limit(r))
	}
}
