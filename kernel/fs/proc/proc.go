// Package proc is the file system of processes and of the kernel's own
// figures, proc(5): tables of entries over package pseudo, and functions that
// render them from what task, mm, vfs and clock tell.
//
// Formats follow Linux 6.1 byte for byte where programs parse them. What has
// no meaning here is still there, with the value of a system that has nothing
// of it, because programs stumble over missing files more than over zeros.
//
// Nothing imports proc but the kernel's main program. It starts no goroutines.
// Its locks are leaves but for that of an open file (see pseudo).
package proc

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"husk/kernel/fs/pseudo"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

// text is what is being rendered.
type text = pseudo.Text

// none is the subject of files about the system as a whole.
type none = pseudo.Subject

// Register makes proc known to mount(2).
func Register() {
	vfs.RegisterFS(&vfs.FSType{Name: "proc", NoDevice: true, Mount: mount})
}

// Inode numbers: the root's table counts from rootIno, processes and threads
// have ranges of their own that the tables below them cannot reach.
const (
	rootIno    = 1
	processIno = 1 << 32
	threadIno  = 2 << 32
)

var systemTree = pseudo.Tree{}

func mount(c vfs.Caller, source string, flags uint32, data string) (*vfs.Superblock, error) {
	if err := checkOptions(data); err != nil {
		return nil, err
	}
	sb := &vfs.Superblock{
		Type: "proc", Source: source, Dev: vfs.AllocDev(), Magic: unix.PROC_SUPER_MAGIC,
		NoNegative: true,
		Remount:    func(c vfs.Caller, flags uint32, data string) error { return checkOptions(data) },
	}
	sb.Root = systemTree.Node(sb, rootIno, &root, none{})
	return sb, nil
}

// checkOptions accepts the options of proc(5). Everybody sees every process,
// whatever hidepid says: a machine has one tenant.
func checkOptions(data string) error {
	for data != "" {
		var o string
		o, data, _ = strings.Cut(data, ",")
		key, value, _ := strings.Cut(o, "=")
		switch key {
		case "", "gid":
		case "hidepid":
			switch value {
			case "0", "1", "2", "4", "off", "noaccess", "invisible", "ptraceable":
			default:
				return unix.EINVAL
			}
		case "subset":
			if value != "pid" {
				return unix.EINVAL
			}
		default:
			return unix.EINVAL
		}
	}
	return nil
}

// threadOf is the thread that asks, nil when it is none of a program.
func threadOf(c vfs.Caller) *task.Thread {
	if s, ok := c.(interface{ Self() *task.Thread }); ok {
		return s.Self()
	}
	return nil
}

// linkSelf is where /proc/self leads.
func linkSelf(c vfs.Caller, _ none) (string, error) {
	return strconv.Itoa(c.TGID()), nil
}

// linkThreadSelf is where /proc/thread-self leads.
func linkThreadSelf(c vfs.Caller, _ none) (string, error) {
	tid := c.TGID()
	if t := threadOf(c); t != nil {
		tid = t.TID
	}
	return strconv.Itoa(c.TGID()) + "/task/" + strconv.Itoa(tid), nil
}

// number reads a process number as a file name: decimal, without leading zeros.
func number(name string) (int, bool) {
	if name == "" || name[0] < '0' || name[0] > '9' || name[0] == '0' && len(name) > 1 || len(name) > 9 {
		return 0, false
	}
	n, err := strconv.Atoi(name)
	return n, err == nil
}

// lookupProcess finds the directory of a process. A thread's number leads to
// its own process seen from that thread, though it is not listed.
func lookupProcess(c vfs.Caller, dir *vfs.Inode, _ none, name string) (*vfs.Inode, error) {
	n, ok := number(name)
	if !ok {
		return nil, unix.ENOENT
	}
	about := subject{N: n}
	if p := task.FindProcess(n); p != nil {
		about.Of = p
	} else if t := task.FindThread(n); t != nil {
		about.Of = t
	} else {
		return nil, unix.ENOENT
	}
	return processTree.Node(dir.FS, processIno|uint64(n), &processEntry, about), nil
}

// listProcesses lists the numbers of processes in order; a position is the
// number after which to go on.
func listProcesses(c vfs.Caller, dir *vfs.Inode, _ none, pos int64, emit func(vfs.Dirent) bool) error {
	all := task.Processes()
	ids := make([]int, 0, len(all))
	for _, p := range all {
		ids = append(ids, p.PID())
	}
	emitNumbers(ids, pos, processIno, emit)
	return nil
}

// countProcesses is the number of directories that listProcesses gives.
func countProcesses(none) int { return len(task.Processes()) }

// emitNumbers emits directories that are called by numbers, in order, those
// above pos.
func emitNumbers(ids []int, pos int64, ino uint64, emit func(vfs.Dirent) bool) {
	var set []uint64 // sorting by marking: numbers are small
	for _, n := range ids {
		for n/64 >= len(set) {
			set = append(set, 0)
		}
		set[n/64] |= 1 << (n % 64)
	}
	for n := int(pos) + 1; n < 64*len(set); n++ {
		if set[n/64]>>(n%64)&1 == 0 {
			continue
		}
		if !emit(vfs.Dirent{Name: strconv.Itoa(n), Ino: ino | uint64(n), Type: unix.DT_DIR, Next: int64(n)}) {
			return
		}
	}
}
