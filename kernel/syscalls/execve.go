package syscalls

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

const (
	maxArgLen   = 32 * mm.PageSize // MAX_ARG_STRLEN
	maxArgTotal = 6 << 20          // three quarters of the 8 MiB that a stack has
)

// execve replaces the program (execve(2)).
func (t Thread) execve(path, argv, envp mm.Addr) error {
	return t.execveat(unix.AT_FDCWD, path, argv, envp, 0)
}

// execveat is execve relative to a directory, or of an open file (execveat(2)).
func (t Thread) execveat(dirfd int32, path, argv, envp mm.Addr, flags int32) error {
	if flags&^(unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW) != 0 {
		return unix.EINVAL
	}
	name, err := t.AddressSpace().CopyInString(path, unix.PathMax)
	if err != nil {
		return err
	}
	f, shown, err := t.openExec(dirfd, name, flags)
	if err != nil {
		return err
	}
	defer f.Put()
	budget := min(t.Process.Limit(task.RlimitStack)/4, maxArgTotal)
	budget = max(budget, 32*mm.PageSize)
	args, err := t.stringsIn(argv, &budget)
	if err != nil {
		return err
	}
	env, err := t.stringsIn(envp, &budget)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{""} // since Linux 5.18
	}
	hidden := false
	if strings.HasPrefix(shown, "/dev/fd/") && dirfd != unix.AT_FDCWD {
		hidden, _ = t.Files().Cloexec(int(dirfd))
	}
	return t.Exec(f, shown, hidden, args, env)
}

// openExec opens what is to be executed and returns the name by which the
// program is told of it.
func (t Thread) openExec(dirfd int32, name string, flags int32) (*vfs.File, string, error) {
	if name == "" && flags&unix.AT_EMPTY_PATH == 0 {
		return nil, "", unix.ENOENT
	}
	lookup := vfs.Follow
	if flags&unix.AT_SYMLINK_NOFOLLOW != 0 {
		lookup = 0
	}
	if dirfd == unix.AT_FDCWD || name != "" && name[0] == '/' {
		f, err := task.OpenExec(t, nil, name, lookup)
		return f, name, err
	}
	dir, err := t.Files().Get(int(dirfd))
	if err != nil {
		return nil, "", err
	}
	defer dir.Put()
	shown := "/dev/fd/" + strconv.Itoa(int(dirfd))
	if name == "" {
		f, err := task.OpenExecFile(t, dir)
		return f, shown, err
	}
	f, err := task.OpenExec(t, &dir.Path, name, lookup)
	return f, shown + "/" + name, err
}

// stringsIn reads a null-terminated array of strings. budget is what they may
// take together, pointers included: E2BIG.
func (t Thread) stringsIn(a mm.Addr, budget *uint64) ([]string, error) {
	if a == 0 {
		return nil, nil
	}
	var list []string
	for ; ; a += 8 {
		var b [8]byte
		if err := t.copyIn(b[:], a); err != nil {
			return nil, err
		}
		p := le.Uint64(b[:])
		if p == 0 {
			return list, nil
		}
		s, err := t.AddressSpace().CopyInString(mm.Addr(p), maxArgLen)
		if err == unix.ENAMETOOLONG {
			err = unix.E2BIG
		}
		if err != nil {
			return nil, err
		}
		need := uint64(len(s)) + 1 + 8
		if need > *budget {
			return nil, unix.E2BIG
		}
		*budget -= need
		list = append(list, s)
	}
}
