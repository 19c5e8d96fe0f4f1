package trace

import "golang.org/x/sys/unix"

// findSet returns the names of a set of calls.txt; nil when it has none.
func findSet(name string) *set {
	switch name {
	case "fdflags":
		return &setFdflags
	case "seals":
		return &setSeals
	case "open":
		return &setOpen
	case "prot":
		return &setProt
	case "mmap":
		return &setMmap
	case "mremap":
		return &setMremap
	case "msync":
		return &setMsync
	case "access":
		return &setAccess
	case "clone":
		return &setClone
	case "wait":
		return &setWait
	case "flock":
		return &setFlock
	case "at":
		return &setAt
	case "statx":
		return &setStatx
	case "epoll":
		return &setEpoll
	case "eventfd":
		return &setEventfd
	case "timerfd":
		return &setTimerfd
	case "signalfd":
		return &setSignalfd
	case "timer":
		return &setTimer
	case "getrandom":
		return &setGetrandom
	case "memfd":
		return &setMemfd
	case "splice":
		return &setSplice
	case "fallocate":
		return &setFallocate
	case "inotify":
		return &setInotify
	case "mount":
		return &setMount
	case "umount":
		return &setUmount
	case "rename":
		return &setRename
	case "xattr":
		return &setXattr
	case "rwf":
		return &setRwf
	case "closerange":
		return &setCloserange
	case "pidfd":
		return &setPidfd
	case "mlockall":
		return &setMlockall
	case "msg":
		return &setMsg
	case "sigaction":
		return &setSigaction
	case "poll":
		return &setPoll
	case "resolve":
		return &setResolve
	case "altstack":
		return &setAltstack
	case "socktype":
		return &setSocktype
	case "filetype":
		return &setFiletype
	case "whence":
		return &setWhence
	case "sigprocmask":
		return &setSigprocmask
	case "madvise":
		return &setMadvise
	case "fadvise":
		return &setFadvise
	case "fcntl":
		return &setFcntl
	case "epollctl":
		return &setEpollctl
	case "futexop":
		return &setFutexop
	case "clock":
		return &setClock
	case "rlimit":
		return &setRlimit
	case "rusagewho":
		return &setRusagewho
	case "prctl":
		return &setPrctl
	case "arch_prctl":
		return &setArchPrctl
	case "sched":
		return &setSched
	case "idtype":
		return &setIdtype
	case "itimer":
		return &setItimer
	case "prio":
		return &setPrio
	case "seccomp":
		return &setSeccomp
	case "membarrier":
		return &setMembarrier
	case "af":
		return &setAf
	case "sockbase":
		return &setSockbase
	case "shutdown":
		return &setShutdown
	case "sol":
		return &setSol
	case "ptrace":
		return &setPtrace
	case "ioctl":
		return &setIoctl
	}
	return nil
}

var setOpen = set{zero: "O_RDONLY", bits: []bit{
	{"O_WRONLY", unix.O_WRONLY},
	{"O_RDWR", unix.O_RDWR},
	{"O_CREAT", unix.O_CREAT},
	{"O_EXCL", unix.O_EXCL},
	{"O_NOCTTY", unix.O_NOCTTY},
	{"O_TRUNC", unix.O_TRUNC},
	{"O_APPEND", unix.O_APPEND},
	{"O_NONBLOCK", unix.O_NONBLOCK},
	{"O_SYNC", unix.O_SYNC},
	{"O_DSYNC", unix.O_DSYNC},
	{"O_ASYNC", unix.O_ASYNC},
	{"O_CLOEXEC", unix.O_CLOEXEC},
	{"O_LARGEFILE", 0x8000},
	{"O_DIRECT", unix.O_DIRECT},
	{"O_NOATIME", unix.O_NOATIME},
	{"O_PATH", unix.O_PATH},
	{"O_TMPFILE", unix.O_TMPFILE},
	{"O_NOFOLLOW", unix.O_NOFOLLOW},
	{"O_DIRECTORY", unix.O_DIRECTORY},
}}

var setProt = set{zero: "PROT_NONE", bits: []bit{
	{"PROT_READ", unix.PROT_READ},
	{"PROT_WRITE", unix.PROT_WRITE},
	{"PROT_EXEC", unix.PROT_EXEC},
	{"PROT_GROWSDOWN", unix.PROT_GROWSDOWN},
	{"PROT_GROWSUP", unix.PROT_GROWSUP},
}}

var setMmap = set{zero: "", bits: []bit{
	{"MAP_SHARED_VALIDATE", unix.MAP_SHARED_VALIDATE},
	{"MAP_SHARED", unix.MAP_SHARED},
	{"MAP_PRIVATE", unix.MAP_PRIVATE},
	{"MAP_FIXED", unix.MAP_FIXED},
	{"MAP_ANONYMOUS", unix.MAP_ANONYMOUS},
	{"MAP_32BIT", unix.MAP_32BIT},
	{"MAP_NORESERVE", unix.MAP_NORESERVE},
	{"MAP_POPULATE", unix.MAP_POPULATE},
	{"MAP_NONBLOCK", unix.MAP_NONBLOCK},
	{"MAP_GROWSDOWN", unix.MAP_GROWSDOWN},
	{"MAP_DENYWRITE", unix.MAP_DENYWRITE},
	{"MAP_EXECUTABLE", unix.MAP_EXECUTABLE},
	{"MAP_LOCKED", unix.MAP_LOCKED},
	{"MAP_STACK", unix.MAP_STACK},
	{"MAP_HUGETLB", unix.MAP_HUGETLB},
	{"MAP_SYNC", unix.MAP_SYNC},
	{"MAP_FIXED_NOREPLACE", unix.MAP_FIXED_NOREPLACE},
}}

var setMremap = set{zero: "", bits: []bit{
	{"MREMAP_MAYMOVE", unix.MREMAP_MAYMOVE},
	{"MREMAP_FIXED", unix.MREMAP_FIXED},
	{"MREMAP_DONTUNMAP", unix.MREMAP_DONTUNMAP},
}}

var setMsync = set{zero: "", bits: []bit{
	{"MS_SYNC", unix.MS_SYNC},
	{"MS_ASYNC", unix.MS_ASYNC},
	{"MS_INVALIDATE", unix.MS_INVALIDATE},
}}

var setAccess = set{zero: "F_OK", bits: []bit{
	{"R_OK", unix.R_OK},
	{"W_OK", unix.W_OK},
	{"X_OK", unix.X_OK},
}}

var setClone = set{zero: "", bits: []bit{
	{"CLONE_VM", unix.CLONE_VM},
	{"CLONE_FS", unix.CLONE_FS},
	{"CLONE_FILES", unix.CLONE_FILES},
	{"CLONE_SIGHAND", unix.CLONE_SIGHAND},
	{"CLONE_PIDFD", unix.CLONE_PIDFD},
	{"CLONE_PTRACE", unix.CLONE_PTRACE},
	{"CLONE_VFORK", unix.CLONE_VFORK},
	{"CLONE_PARENT", unix.CLONE_PARENT},
	{"CLONE_THREAD", unix.CLONE_THREAD},
	{"CLONE_NEWNS", unix.CLONE_NEWNS},
	{"CLONE_SYSVSEM", unix.CLONE_SYSVSEM},
	{"CLONE_SETTLS", unix.CLONE_SETTLS},
	{"CLONE_PARENT_SETTID", unix.CLONE_PARENT_SETTID},
	{"CLONE_CHILD_CLEARTID", unix.CLONE_CHILD_CLEARTID},
	{"CLONE_DETACHED", unix.CLONE_DETACHED},
	{"CLONE_UNTRACED", unix.CLONE_UNTRACED},
	{"CLONE_CHILD_SETTID", unix.CLONE_CHILD_SETTID},
	{"CLONE_NEWCGROUP", unix.CLONE_NEWCGROUP},
	{"CLONE_NEWUTS", unix.CLONE_NEWUTS},
	{"CLONE_NEWIPC", unix.CLONE_NEWIPC},
	{"CLONE_NEWUSER", unix.CLONE_NEWUSER},
	{"CLONE_NEWPID", unix.CLONE_NEWPID},
	{"CLONE_NEWNET", unix.CLONE_NEWNET},
	{"CLONE_IO", unix.CLONE_IO},
	{"CLONE_CLEAR_SIGHAND", 0x100000000},
	{"CLONE_INTO_CGROUP", 0x200000000},
}}

var setWait = set{zero: "", bits: []bit{
	{"WNOHANG", unix.WNOHANG},
	{"WSTOPPED", unix.WSTOPPED},
	{"WEXITED", unix.WEXITED},
	{"WCONTINUED", unix.WCONTINUED},
	{"WNOWAIT", unix.WNOWAIT},
	{"__WNOTHREAD", 0x20000000},
	{"__WALL", 0x40000000},
	{"__WCLONE", 0x80000000},
}}

var setFlock = set{zero: "", bits: []bit{
	{"LOCK_SH", unix.LOCK_SH},
	{"LOCK_EX", unix.LOCK_EX},
	{"LOCK_NB", unix.LOCK_NB},
	{"LOCK_UN", unix.LOCK_UN},
}}

var setAt = set{zero: "", bits: []bit{
	{"AT_SYMLINK_NOFOLLOW", unix.AT_SYMLINK_NOFOLLOW},
	{"AT_REMOVEDIR", unix.AT_REMOVEDIR},
	{"AT_SYMLINK_FOLLOW", unix.AT_SYMLINK_FOLLOW},
	{"AT_NO_AUTOMOUNT", unix.AT_NO_AUTOMOUNT},
	{"AT_EMPTY_PATH", unix.AT_EMPTY_PATH},
	{"AT_STATX_FORCE_SYNC", unix.AT_STATX_FORCE_SYNC},
	{"AT_STATX_DONT_SYNC", unix.AT_STATX_DONT_SYNC},
}}

var setStatx = set{zero: "", bits: []bit{
	{"STATX_ALL", 0xfff},
	{"STATX_BASIC_STATS", unix.STATX_BASIC_STATS},
	{"STATX_TYPE", unix.STATX_TYPE},
	{"STATX_MODE", unix.STATX_MODE},
	{"STATX_NLINK", unix.STATX_NLINK},
	{"STATX_UID", unix.STATX_UID},
	{"STATX_GID", unix.STATX_GID},
	{"STATX_ATIME", unix.STATX_ATIME},
	{"STATX_MTIME", unix.STATX_MTIME},
	{"STATX_CTIME", unix.STATX_CTIME},
	{"STATX_INO", unix.STATX_INO},
	{"STATX_SIZE", unix.STATX_SIZE},
	{"STATX_BLOCKS", unix.STATX_BLOCKS},
	{"STATX_BTIME", unix.STATX_BTIME},
	{"STATX_MNT_ID", unix.STATX_MNT_ID},
}}

var setEpoll = set{zero: "", bits: []bit{
	{"EPOLLIN", unix.EPOLLIN},
	{"EPOLLPRI", unix.EPOLLPRI},
	{"EPOLLOUT", unix.EPOLLOUT},
	{"EPOLLRDNORM", unix.EPOLLRDNORM},
	{"EPOLLRDBAND", unix.EPOLLRDBAND},
	{"EPOLLWRNORM", unix.EPOLLWRNORM},
	{"EPOLLWRBAND", unix.EPOLLWRBAND},
	{"EPOLLMSG", unix.EPOLLMSG},
	{"EPOLLERR", unix.EPOLLERR},
	{"EPOLLHUP", unix.EPOLLHUP},
	{"EPOLLRDHUP", unix.EPOLLRDHUP},
	{"EPOLLEXCLUSIVE", unix.EPOLLEXCLUSIVE},
	{"EPOLLWAKEUP", unix.EPOLLWAKEUP},
	{"EPOLLONESHOT", unix.EPOLLONESHOT},
	{"EPOLLET", 0x80000000},
	{"EPOLL_CLOEXEC", unix.EPOLL_CLOEXEC},
}}

var setEventfd = set{zero: "", bits: []bit{
	{"EFD_SEMAPHORE", unix.EFD_SEMAPHORE},
	{"EFD_CLOEXEC", unix.EFD_CLOEXEC},
	{"EFD_NONBLOCK", unix.EFD_NONBLOCK},
}}

var setTimerfd = set{zero: "", bits: []bit{
	{"TFD_CLOEXEC", unix.TFD_CLOEXEC},
	{"TFD_NONBLOCK", unix.TFD_NONBLOCK},
}}

var setSignalfd = set{zero: "", bits: []bit{
	{"SFD_CLOEXEC", unix.SFD_CLOEXEC},
	{"SFD_NONBLOCK", unix.SFD_NONBLOCK},
}}

var setTimer = set{zero: "", bits: []bit{
	{"TIMER_ABSTIME", unix.TIMER_ABSTIME},
}}

var setGetrandom = set{zero: "", bits: []bit{
	{"GRND_NONBLOCK", unix.GRND_NONBLOCK},
	{"GRND_RANDOM", unix.GRND_RANDOM},
	{"GRND_INSECURE", unix.GRND_INSECURE},
}}

var setMemfd = set{zero: "", bits: []bit{
	{"MFD_CLOEXEC", unix.MFD_CLOEXEC},
	{"MFD_ALLOW_SEALING", unix.MFD_ALLOW_SEALING},
	{"MFD_HUGETLB", unix.MFD_HUGETLB},
}}

var setSplice = set{zero: "", bits: []bit{
	{"SPLICE_F_MOVE", unix.SPLICE_F_MOVE},
	{"SPLICE_F_NONBLOCK", unix.SPLICE_F_NONBLOCK},
	{"SPLICE_F_MORE", unix.SPLICE_F_MORE},
	{"SPLICE_F_GIFT", 8},
}}

var setFallocate = set{zero: "", bits: []bit{
	{"FALLOC_FL_KEEP_SIZE", unix.FALLOC_FL_KEEP_SIZE},
	{"FALLOC_FL_PUNCH_HOLE", unix.FALLOC_FL_PUNCH_HOLE},
	{"FALLOC_FL_NO_HIDE_STALE", unix.FALLOC_FL_NO_HIDE_STALE},
	{"FALLOC_FL_COLLAPSE_RANGE", unix.FALLOC_FL_COLLAPSE_RANGE},
	{"FALLOC_FL_ZERO_RANGE", unix.FALLOC_FL_ZERO_RANGE},
	{"FALLOC_FL_INSERT_RANGE", unix.FALLOC_FL_INSERT_RANGE},
	{"FALLOC_FL_UNSHARE_RANGE", unix.FALLOC_FL_UNSHARE_RANGE},
}}

var setInotify = set{zero: "", bits: []bit{
	{"IN_ACCESS", unix.IN_ACCESS},
	{"IN_MODIFY", unix.IN_MODIFY},
	{"IN_ATTRIB", unix.IN_ATTRIB},
	{"IN_CLOSE_WRITE", unix.IN_CLOSE_WRITE},
	{"IN_CLOSE_NOWRITE", unix.IN_CLOSE_NOWRITE},
	{"IN_OPEN", unix.IN_OPEN},
	{"IN_MOVED_FROM", unix.IN_MOVED_FROM},
	{"IN_MOVED_TO", unix.IN_MOVED_TO},
	{"IN_CREATE", unix.IN_CREATE},
	{"IN_DELETE", unix.IN_DELETE},
	{"IN_DELETE_SELF", unix.IN_DELETE_SELF},
	{"IN_MOVE_SELF", unix.IN_MOVE_SELF},
	{"IN_ONLYDIR", unix.IN_ONLYDIR},
	{"IN_DONT_FOLLOW", unix.IN_DONT_FOLLOW},
	{"IN_EXCL_UNLINK", unix.IN_EXCL_UNLINK},
	{"IN_MASK_CREATE", unix.IN_MASK_CREATE},
	{"IN_MASK_ADD", unix.IN_MASK_ADD},
	{"IN_ISDIR", unix.IN_ISDIR},
	{"IN_ONESHOT", 0x80000000},
}}

var setMount = set{zero: "", bits: []bit{
	{"MS_RDONLY", unix.MS_RDONLY},
	{"MS_NOSUID", unix.MS_NOSUID},
	{"MS_NODEV", unix.MS_NODEV},
	{"MS_NOEXEC", unix.MS_NOEXEC},
	{"MS_SYNCHRONOUS", unix.MS_SYNCHRONOUS},
	{"MS_REMOUNT", unix.MS_REMOUNT},
	{"MS_MANDLOCK", unix.MS_MANDLOCK},
	{"MS_DIRSYNC", unix.MS_DIRSYNC},
	{"MS_NOATIME", unix.MS_NOATIME},
	{"MS_NODIRATIME", unix.MS_NODIRATIME},
	{"MS_BIND", unix.MS_BIND},
	{"MS_MOVE", unix.MS_MOVE},
	{"MS_REC", unix.MS_REC},
	{"MS_SILENT", unix.MS_SILENT},
	{"MS_UNBINDABLE", unix.MS_UNBINDABLE},
	{"MS_PRIVATE", unix.MS_PRIVATE},
	{"MS_SLAVE", unix.MS_SLAVE},
	{"MS_SHARED", unix.MS_SHARED},
	{"MS_RELATIME", unix.MS_RELATIME},
	{"MS_STRICTATIME", unix.MS_STRICTATIME},
}}

var setUmount = set{zero: "", bits: []bit{
	{"MNT_FORCE", unix.MNT_FORCE},
	{"MNT_DETACH", unix.MNT_DETACH},
	{"MNT_EXPIRE", unix.MNT_EXPIRE},
	{"UMOUNT_NOFOLLOW", unix.UMOUNT_NOFOLLOW},
}}

var setRename = set{zero: "", bits: []bit{
	{"RENAME_NOREPLACE", unix.RENAME_NOREPLACE},
	{"RENAME_EXCHANGE", unix.RENAME_EXCHANGE},
	{"RENAME_WHITEOUT", unix.RENAME_WHITEOUT},
}}

var setXattr = set{zero: "", bits: []bit{
	{"XATTR_CREATE", unix.XATTR_CREATE},
	{"XATTR_REPLACE", unix.XATTR_REPLACE},
}}

var setRwf = set{zero: "", bits: []bit{
	{"RWF_HIPRI", 1},
	{"RWF_DSYNC", 2},
	{"RWF_SYNC", 4},
	{"RWF_NOWAIT", 8},
	{"RWF_APPEND", 16},
}}

var setCloserange = set{zero: "", bits: []bit{
	{"CLOSE_RANGE_UNSHARE", unix.CLOSE_RANGE_UNSHARE},
	{"CLOSE_RANGE_CLOEXEC", unix.CLOSE_RANGE_CLOEXEC},
}}

var setPidfd = set{zero: "", bits: []bit{
	{"PIDFD_NONBLOCK", unix.PIDFD_NONBLOCK},
}}

var setMlockall = set{zero: "", bits: []bit{
	{"MCL_CURRENT", unix.MCL_CURRENT},
	{"MCL_FUTURE", unix.MCL_FUTURE},
	{"MCL_ONFAULT", unix.MCL_ONFAULT},
}}

var setMsg = set{zero: "", bits: []bit{
	{"MSG_OOB", unix.MSG_OOB},
	{"MSG_PEEK", unix.MSG_PEEK},
	{"MSG_DONTROUTE", unix.MSG_DONTROUTE},
	{"MSG_CTRUNC", unix.MSG_CTRUNC},
	{"MSG_TRUNC", unix.MSG_TRUNC},
	{"MSG_DONTWAIT", unix.MSG_DONTWAIT},
	{"MSG_EOR", unix.MSG_EOR},
	{"MSG_WAITALL", unix.MSG_WAITALL},
	{"MSG_NOSIGNAL", unix.MSG_NOSIGNAL},
	{"MSG_MORE", unix.MSG_MORE},
	{"MSG_WAITFORONE", unix.MSG_WAITFORONE},
	{"MSG_FASTOPEN", unix.MSG_FASTOPEN},
	{"MSG_CMSG_CLOEXEC", unix.MSG_CMSG_CLOEXEC},
}}

var setSigaction = set{zero: "", bits: []bit{
	{"SA_NOCLDSTOP", 1},
	{"SA_NOCLDWAIT", 2},
	{"SA_SIGINFO", 4},
	{"SA_RESTORER", 0x04000000},
	{"SA_ONSTACK", 0x08000000},
	{"SA_RESTART", 0x10000000},
	{"SA_NODEFER", 0x40000000},
	{"SA_RESETHAND", 0x80000000},
}}

var setPoll = set{zero: "", bits: []bit{
	{"POLLIN", unix.POLLIN},
	{"POLLPRI", unix.POLLPRI},
	{"POLLOUT", unix.POLLOUT},
	{"POLLERR", unix.POLLERR},
	{"POLLHUP", unix.POLLHUP},
	{"POLLNVAL", unix.POLLNVAL},
	{"POLLRDNORM", 0x40},
	{"POLLRDBAND", 0x80},
	{"POLLWRNORM", 0x100},
	{"POLLWRBAND", 0x200},
	{"POLLRDHUP", unix.POLLRDHUP},
}}

var setResolve = set{zero: "", bits: []bit{
	{"RESOLVE_NO_XDEV", unix.RESOLVE_NO_XDEV},
	{"RESOLVE_NO_MAGICLINKS", unix.RESOLVE_NO_MAGICLINKS},
	{"RESOLVE_NO_SYMLINKS", unix.RESOLVE_NO_SYMLINKS},
	{"RESOLVE_BENEATH", unix.RESOLVE_BENEATH},
	{"RESOLVE_IN_ROOT", unix.RESOLVE_IN_ROOT},
}}

var setAltstack = set{zero: "", bits: []bit{
	{"SS_ONSTACK", 1},
	{"SS_DISABLE", 2},
	{"SS_AUTODISARM", 0x80000000},
}}

var setSocktype = set{zero: "", bits: []bit{
	{"SOCK_CLOEXEC", unix.SOCK_CLOEXEC},
	{"SOCK_NONBLOCK", unix.SOCK_NONBLOCK},
}}

var setFiletype = set{zero: "", bits: []bit{
	{"S_IFREG", unix.S_IFREG},
	{"S_IFDIR", unix.S_IFDIR},
	{"S_IFLNK", unix.S_IFLNK},
	{"S_IFCHR", unix.S_IFCHR},
	{"S_IFBLK", unix.S_IFBLK},
	{"S_IFIFO", unix.S_IFIFO},
	{"S_IFSOCK", unix.S_IFSOCK},
}}

var setWhence = set{zero: "", bits: []bit{
	{"SEEK_SET", 0},
	{"SEEK_CUR", 1},
	{"SEEK_END", 2},
	{"SEEK_DATA", 3},
	{"SEEK_HOLE", 4},
}}

var setSigprocmask = set{zero: "", bits: []bit{
	{"SIG_BLOCK", 0},
	{"SIG_UNBLOCK", 1},
	{"SIG_SETMASK", 2},
}}

var setMadvise = set{zero: "", bits: []bit{
	{"MADV_NORMAL", unix.MADV_NORMAL},
	{"MADV_RANDOM", unix.MADV_RANDOM},
	{"MADV_SEQUENTIAL", unix.MADV_SEQUENTIAL},
	{"MADV_WILLNEED", unix.MADV_WILLNEED},
	{"MADV_DONTNEED", unix.MADV_DONTNEED},
	{"MADV_FREE", unix.MADV_FREE},
	{"MADV_REMOVE", unix.MADV_REMOVE},
	{"MADV_DONTFORK", unix.MADV_DONTFORK},
	{"MADV_DOFORK", unix.MADV_DOFORK},
	{"MADV_MERGEABLE", unix.MADV_MERGEABLE},
	{"MADV_UNMERGEABLE", unix.MADV_UNMERGEABLE},
	{"MADV_HUGEPAGE", unix.MADV_HUGEPAGE},
	{"MADV_NOHUGEPAGE", unix.MADV_NOHUGEPAGE},
	{"MADV_DONTDUMP", unix.MADV_DONTDUMP},
	{"MADV_DODUMP", unix.MADV_DODUMP},
	{"MADV_WIPEONFORK", unix.MADV_WIPEONFORK},
	{"MADV_KEEPONFORK", unix.MADV_KEEPONFORK},
	{"MADV_COLD", unix.MADV_COLD},
	{"MADV_PAGEOUT", unix.MADV_PAGEOUT},
	{"MADV_POPULATE_READ", unix.MADV_POPULATE_READ},
	{"MADV_POPULATE_WRITE", unix.MADV_POPULATE_WRITE},
}}

var setFadvise = set{zero: "", bits: []bit{
	{"POSIX_FADV_NORMAL", 0},
	{"POSIX_FADV_RANDOM", 1},
	{"POSIX_FADV_SEQUENTIAL", 2},
	{"POSIX_FADV_WILLNEED", 3},
	{"POSIX_FADV_DONTNEED", 4},
	{"POSIX_FADV_NOREUSE", 5},
}}

var setFcntl = set{zero: "", bits: []bit{
	{"F_DUPFD", 0},
	{"F_GETFD", 1},
	{"F_SETFD", 2},
	{"F_GETFL", 3},
	{"F_SETFL", 4},
	{"F_GETLK", 5},
	{"F_SETLK", 6},
	{"F_SETLKW", 7},
	{"F_SETOWN", 8},
	{"F_GETOWN", 9},
	{"F_SETSIG", 10},
	{"F_GETSIG", 11},
	{"F_SETOWN_EX", 15},
	{"F_GETOWN_EX", 16},
	{"F_OFD_GETLK", 36},
	{"F_OFD_SETLK", 37},
	{"F_OFD_SETLKW", 38},
	{"F_SETLEASE", 1024},
	{"F_GETLEASE", 1025},
	{"F_NOTIFY", 1026},
	{"F_DUPFD_CLOEXEC", 1030},
	{"F_SETPIPE_SZ", 1031},
	{"F_GETPIPE_SZ", 1032},
	{"F_ADD_SEALS", 1033},
	{"F_GET_SEALS", 1034},
}}

var setEpollctl = set{zero: "", bits: []bit{
	{"EPOLL_CTL_ADD", unix.EPOLL_CTL_ADD},
	{"EPOLL_CTL_DEL", unix.EPOLL_CTL_DEL},
	{"EPOLL_CTL_MOD", unix.EPOLL_CTL_MOD},
}}

var setFutexop = set{zero: "", bits: []bit{
	{"FUTEX_WAIT", 0},
	{"FUTEX_WAKE", 1},
	{"FUTEX_FD", 2},
	{"FUTEX_REQUEUE", 3},
	{"FUTEX_CMP_REQUEUE", 4},
	{"FUTEX_WAKE_OP", 5},
	{"FUTEX_LOCK_PI", 6},
	{"FUTEX_UNLOCK_PI", 7},
	{"FUTEX_TRYLOCK_PI", 8},
	{"FUTEX_WAIT_BITSET", 9},
	{"FUTEX_WAKE_BITSET", 10},
	{"FUTEX_WAIT_REQUEUE_PI", 11},
	{"FUTEX_CMP_REQUEUE_PI", 12},
	{"FUTEX_LOCK_PI2", 13},
}}

var setClock = set{zero: "", bits: []bit{
	{"CLOCK_REALTIME", unix.CLOCK_REALTIME},
	{"CLOCK_MONOTONIC", unix.CLOCK_MONOTONIC},
	{"CLOCK_PROCESS_CPUTIME_ID", unix.CLOCK_PROCESS_CPUTIME_ID},
	{"CLOCK_THREAD_CPUTIME_ID", unix.CLOCK_THREAD_CPUTIME_ID},
	{"CLOCK_MONOTONIC_RAW", unix.CLOCK_MONOTONIC_RAW},
	{"CLOCK_REALTIME_COARSE", unix.CLOCK_REALTIME_COARSE},
	{"CLOCK_MONOTONIC_COARSE", unix.CLOCK_MONOTONIC_COARSE},
	{"CLOCK_BOOTTIME", unix.CLOCK_BOOTTIME},
	{"CLOCK_REALTIME_ALARM", unix.CLOCK_REALTIME_ALARM},
	{"CLOCK_BOOTTIME_ALARM", unix.CLOCK_BOOTTIME_ALARM},
	{"CLOCK_TAI", unix.CLOCK_TAI},
}}

var setRlimit = set{zero: "", bits: []bit{
	{"RLIMIT_CPU", unix.RLIMIT_CPU},
	{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE},
	{"RLIMIT_DATA", unix.RLIMIT_DATA},
	{"RLIMIT_STACK", unix.RLIMIT_STACK},
	{"RLIMIT_CORE", unix.RLIMIT_CORE},
	{"RLIMIT_RSS", unix.RLIMIT_RSS},
	{"RLIMIT_NPROC", unix.RLIMIT_NPROC},
	{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE},
	{"RLIMIT_MEMLOCK", unix.RLIMIT_MEMLOCK},
	{"RLIMIT_AS", unix.RLIMIT_AS},
	{"RLIMIT_LOCKS", unix.RLIMIT_LOCKS},
	{"RLIMIT_SIGPENDING", unix.RLIMIT_SIGPENDING},
	{"RLIMIT_MSGQUEUE", unix.RLIMIT_MSGQUEUE},
	{"RLIMIT_NICE", unix.RLIMIT_NICE},
	{"RLIMIT_RTPRIO", unix.RLIMIT_RTPRIO},
	{"RLIMIT_RTTIME", unix.RLIMIT_RTTIME},
}}

var setRusagewho = set{zero: "", bits: []bit{
	{"RUSAGE_SELF", 0},
	{"RUSAGE_CHILDREN", 0xffffffff},
	{"RUSAGE_THREAD", 1},
}}

var setPrctl = set{zero: "", bits: []bit{
	{"PR_SET_PDEATHSIG", unix.PR_SET_PDEATHSIG},
	{"PR_GET_PDEATHSIG", unix.PR_GET_PDEATHSIG},
	{"PR_GET_DUMPABLE", unix.PR_GET_DUMPABLE},
	{"PR_SET_DUMPABLE", unix.PR_SET_DUMPABLE},
	{"PR_GET_KEEPCAPS", unix.PR_GET_KEEPCAPS},
	{"PR_SET_KEEPCAPS", unix.PR_SET_KEEPCAPS},
	{"PR_SET_NAME", unix.PR_SET_NAME},
	{"PR_GET_NAME", unix.PR_GET_NAME},
	{"PR_GET_SECCOMP", unix.PR_GET_SECCOMP},
	{"PR_SET_SECCOMP", unix.PR_SET_SECCOMP},
	{"PR_CAPBSET_READ", unix.PR_CAPBSET_READ},
	{"PR_CAPBSET_DROP", unix.PR_CAPBSET_DROP},
	{"PR_GET_SECUREBITS", unix.PR_GET_SECUREBITS},
	{"PR_SET_SECUREBITS", unix.PR_SET_SECUREBITS},
	{"PR_SET_TIMERSLACK", unix.PR_SET_TIMERSLACK},
	{"PR_GET_TIMERSLACK", unix.PR_GET_TIMERSLACK},
	{"PR_SET_MM", unix.PR_SET_MM},
	{"PR_SET_PTRACER", unix.PR_SET_PTRACER},
	{"PR_SET_CHILD_SUBREAPER", unix.PR_SET_CHILD_SUBREAPER},
	{"PR_GET_CHILD_SUBREAPER", unix.PR_GET_CHILD_SUBREAPER},
	{"PR_SET_NO_NEW_PRIVS", unix.PR_SET_NO_NEW_PRIVS},
	{"PR_GET_NO_NEW_PRIVS", unix.PR_GET_NO_NEW_PRIVS},
	{"PR_SET_THP_DISABLE", unix.PR_SET_THP_DISABLE},
	{"PR_GET_THP_DISABLE", unix.PR_GET_THP_DISABLE},
	{"PR_CAP_AMBIENT", unix.PR_CAP_AMBIENT},
	{"PR_SET_VMA", unix.PR_SET_VMA},
}}

var setArchPrctl = set{zero: "", bits: []bit{
	{"ARCH_SET_GS", 0x1001},
	{"ARCH_SET_FS", 0x1002},
	{"ARCH_GET_FS", 0x1003},
	{"ARCH_GET_GS", 0x1004},
	{"ARCH_GET_CPUID", 0x1011},
	{"ARCH_SET_CPUID", 0x1012},
	{"ARCH_CET_STATUS", 0x3001},
}}

var setSched = set{zero: "", bits: []bit{
	{"SCHED_OTHER", 0},
	{"SCHED_FIFO", 1},
	{"SCHED_RR", 2},
	{"SCHED_BATCH", 3},
	{"SCHED_IDLE", 5},
	{"SCHED_DEADLINE", 6},
}}

var setIdtype = set{zero: "", bits: []bit{
	{"P_ALL", 0},
	{"P_PID", 1},
	{"P_PGID", 2},
	{"P_PIDFD", 3},
}}

var setItimer = set{zero: "", bits: []bit{
	{"ITIMER_REAL", 0},
	{"ITIMER_VIRTUAL", 1},
	{"ITIMER_PROF", 2},
}}

var setPrio = set{zero: "", bits: []bit{
	{"PRIO_PROCESS", unix.PRIO_PROCESS},
	{"PRIO_PGRP", unix.PRIO_PGRP},
	{"PRIO_USER", unix.PRIO_USER},
}}

var setSeccomp = set{zero: "", bits: []bit{
	{"SECCOMP_SET_MODE_STRICT", 0},
	{"SECCOMP_SET_MODE_FILTER", 1},
	{"SECCOMP_GET_ACTION_AVAIL", 2},
	{"SECCOMP_GET_NOTIF_SIZES", 3},
}}

var setMembarrier = set{zero: "", bits: []bit{
	{"MEMBARRIER_CMD_QUERY", 0},
	{"MEMBARRIER_CMD_GLOBAL", 1},
	{"MEMBARRIER_CMD_GLOBAL_EXPEDITED", 2},
	{"MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED", 4},
	{"MEMBARRIER_CMD_PRIVATE_EXPEDITED", 8},
	{"MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED", 16},
	{"MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE", 32},
	{"MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE", 64},
}}

var setAf = set{zero: "", bits: []bit{
	{"AF_UNSPEC", unix.AF_UNSPEC},
	{"AF_UNIX", unix.AF_UNIX},
	{"AF_INET", unix.AF_INET},
	{"AF_INET6", unix.AF_INET6},
	{"AF_NETLINK", unix.AF_NETLINK},
	{"AF_PACKET", unix.AF_PACKET},
	{"AF_VSOCK", unix.AF_VSOCK},
}}

var setSockbase = set{zero: "", bits: []bit{
	{"SOCK_STREAM", unix.SOCK_STREAM},
	{"SOCK_DGRAM", unix.SOCK_DGRAM},
	{"SOCK_RAW", unix.SOCK_RAW},
	{"SOCK_RDM", unix.SOCK_RDM},
	{"SOCK_SEQPACKET", unix.SOCK_SEQPACKET},
}}

var setShutdown = set{zero: "", bits: []bit{
	{"SHUT_RD", unix.SHUT_RD},
	{"SHUT_WR", unix.SHUT_WR},
	{"SHUT_RDWR", unix.SHUT_RDWR},
}}

var setSol = set{zero: "", bits: []bit{
	{"SOL_SOCKET", unix.SOL_SOCKET},
	{"SOL_IP", 0},
	{"SOL_TCP", 6},
	{"SOL_UDP", 17},
	{"SOL_IPV6", 41},
}}

var setPtrace = set{zero: "", bits: []bit{
	{"PTRACE_TRACEME", unix.PTRACE_TRACEME},
	{"PTRACE_PEEKTEXT", unix.PTRACE_PEEKTEXT},
	{"PTRACE_PEEKDATA", unix.PTRACE_PEEKDATA},
	{"PTRACE_PEEKUSR", 3},
	{"PTRACE_POKETEXT", unix.PTRACE_POKETEXT},
	{"PTRACE_POKEDATA", unix.PTRACE_POKEDATA},
	{"PTRACE_CONT", unix.PTRACE_CONT},
	{"PTRACE_KILL", unix.PTRACE_KILL},
	{"PTRACE_SINGLESTEP", unix.PTRACE_SINGLESTEP},
	{"PTRACE_GETREGS", unix.PTRACE_GETREGS},
	{"PTRACE_SETREGS", unix.PTRACE_SETREGS},
	{"PTRACE_ATTACH", unix.PTRACE_ATTACH},
	{"PTRACE_DETACH", unix.PTRACE_DETACH},
	{"PTRACE_SYSCALL", unix.PTRACE_SYSCALL},
	{"PTRACE_SETOPTIONS", unix.PTRACE_SETOPTIONS},
	{"PTRACE_SEIZE", unix.PTRACE_SEIZE},
	{"PTRACE_INTERRUPT", unix.PTRACE_INTERRUPT},
}}

var setIoctl = set{zero: "", bits: []bit{
	{"TCGETS", unix.TCGETS},
	{"TCSETS", unix.TCSETS},
	{"TCSETSW", unix.TCSETSW},
	{"TCSETSF", unix.TCSETSF},
	{"TCSBRK", unix.TCSBRK},
	{"TCFLSH", unix.TCFLSH},
	{"TIOCGWINSZ", unix.TIOCGWINSZ},
	{"TIOCSWINSZ", unix.TIOCSWINSZ},
	{"TIOCGPGRP", unix.TIOCGPGRP},
	{"TIOCSPGRP", unix.TIOCSPGRP},
	{"TIOCSCTTY", unix.TIOCSCTTY},
	{"TIOCNOTTY", unix.TIOCNOTTY},
	{"TIOCGPTN", unix.TIOCGPTN},
	{"TIOCSPTLCK", unix.TIOCSPTLCK},
	{"TIOCGSID", unix.TIOCGSID},
	{"TIOCINQ", unix.TIOCINQ},
	{"TIOCOUTQ", unix.TIOCOUTQ},
	{"FIONBIO", 0x5421},
	{"FIOCLEX", 0x5451},
	{"FIONCLEX", 0x5450},
	{"FIOASYNC", 0x5452},
	{"FICLONE", 0x40049409},
	{"RNDGETENTCNT", 0x80045200},
}}

var setFdflags = set{bits: []bit{{"FD_CLOEXEC", unix.FD_CLOEXEC}}}

var setSeals = set{bits: []bit{
	{"F_SEAL_SEAL", unix.F_SEAL_SEAL},
	{"F_SEAL_SHRINK", unix.F_SEAL_SHRINK},
	{"F_SEAL_GROW", unix.F_SEAL_GROW},
	{"F_SEAL_WRITE", unix.F_SEAL_WRITE},
	{"F_SEAL_FUTURE_WRITE", unix.F_SEAL_FUTURE_WRITE},
}}
