package proc

import (
	"husk/kernel/fs/pseudo"
	"husk/kernel/vfs"
)

// The tables of /proc/PID and /proc/PID/task/TID, in Linux's order.

var processEntry = pseudo.Entry{Mode: 0o555, Dir: &pseudo.Dir{Entries: []pseudo.Entry{
	{Name: "task", Dir: &pseudo.Dir{Lookup: lookupThread, List: listThreads, Links: countThreads}},
	{Name: "fd", Mode: 0o500, Dir: &fdDir},
	{Name: "map_files", Mode: 0o500, Dir: &mapFilesDir},
	{Name: "fdinfo", Dir: &fdinfoDir},
	{Name: "ns", Mode: 0o511, Dir: &nsDir},
	{Name: "net", Dir: &netDir},
	{Name: "environ", Mode: 0o400, Show: showEnviron, Special: &pseudo.Special{May: mayRead}},
	{Name: "auxv", Mode: 0o400, Show: showAuxv, Special: &pseudo.Special{May: mayRead}},
	{Name: "status", Show: showStatus},
	{Name: "personality", Mode: 0o400, Show: showPersonality, Special: &pseudo.Special{May: mayRead}},
	{Name: "limits", Show: showLimits},
	{Name: "sched", Mode: 0o644, Show: showSched, Store: storeNumber},
	{Name: "autogroup", Mode: 0o644, Const: "/autogroup-1 nice 0\n", Store: storeNumber},
	{Name: "timens_offsets", Mode: 0o644, Const: "monotonic           0         0\nboottime            0         0\n", Store: storeMap},
	{Name: "comm", Mode: 0o644, Show: showComm, Store: storeComm},
	{Name: "syscall", Mode: 0o400, Show: showSyscall, Special: &pseudo.Special{May: mayRead}},
	{Name: "cmdline", Show: showCmdline},
	{Name: "stat", Show: showStat},
	{Name: "statm", Show: showStatm},
	{Name: "maps", Show: showMaps, Special: &pseudo.Special{May: mayRead}},
	{Name: "numa_maps", Show: showNumaMaps, Special: &pseudo.Special{May: mayRead}},
	{Name: "mem", Mode: 0o600, Special: &pseudo.Special{May: mayRead, Open: openMemory}},
	{Name: "cwd", Special: &pseudo.Special{Link: readCwd, Go: cwdPath}},
	{Name: "root", Special: &pseudo.Special{Link: readRoot, Go: rootPath}},
	{Name: "exe", Special: &pseudo.Special{Link: readExe, Go: exePath}},
	{Name: "mounts", Special: &pseudo.Special{Open: openMounts}},
	{Name: "mountinfo", Special: &pseudo.Special{Open: openMountinfo}},
	{Name: "mountstats", Mode: 0o400, Special: &pseudo.Special{Open: openMountstats}},
	{Name: "clear_refs", Mode: 0o200, Store: storeClearRefs},
	{Name: "smaps", Show: showSmaps, Special: &pseudo.Special{May: mayRead}},
	{Name: "smaps_rollup", Show: showSmapsRollup, Special: &pseudo.Special{May: mayRead}},
	{Name: "pagemap", Mode: 0o400, Special: &pseudo.Special{May: mayRead, Open: openPagemap}},
	{Name: "attr", Dir: &attrDir},
	{Name: "wchan", Const: "0"},
	{Name: "stack", Mode: 0o400},
	{Name: "schedstat", Show: showSchedstat},
	{Name: "cpuset", Const: "/\n"},
	{Name: "cgroup", Const: "0::/\n"},
	{Name: "oom_score", Show: showOOMScore},
	{Name: "oom_adj", Mode: 0o644, Show: showOOMAdj, Store: storeOOMAdj},
	{Name: "oom_score_adj", Mode: 0o644, Show: showOOMScoreAdj, Store: storeOOMScoreAdj},
	{Name: "loginuid", Mode: 0o644, Const: "4294967295", Store: storeNumber},
	{Name: "sessionid", Const: "4294967295"},
	{Name: "coredump_filter", Mode: 0o644, Show: showCoreFilter, Store: storeCoreFilter},
	{Name: "io", Mode: 0o400, Show: showIO, Special: &pseudo.Special{May: mayRead}},
	{Name: "uid_map", Mode: 0o644, Const: idMap, Store: storeMap},
	{Name: "gid_map", Mode: 0o644, Const: idMap, Store: storeMap},
	{Name: "projid_map", Mode: 0o644, Const: idMap, Store: storeMap},
	{Name: "setgroups", Mode: 0o644, Const: "allow\n", Store: storeSetgroups},
	{Name: "timers"},
	{Name: "timerslack_ns", Mode: 0o666, Show: showTimerSlack, Store: storeTimerSlack},
}}}

// idMap is the mapping of users and groups of the first user namespace.
const idMap = "         0          0 4294967295\n"

var threadEntry = pseudo.Entry{Mode: 0o555, Dir: &pseudo.Dir{Entries: []pseudo.Entry{
	{Name: "fd", Mode: 0o500, Dir: &fdDir},
	{Name: "fdinfo", Dir: &fdinfoDir},
	{Name: "ns", Mode: 0o511, Dir: &nsDir},
	{Name: "net", Dir: &netDir},
	{Name: "environ", Mode: 0o400, Show: showEnviron, Special: &pseudo.Special{May: mayRead}},
	{Name: "auxv", Mode: 0o400, Show: showAuxv, Special: &pseudo.Special{May: mayRead}},
	{Name: "status", Show: showStatus},
	{Name: "personality", Mode: 0o400, Show: showPersonality, Special: &pseudo.Special{May: mayRead}},
	{Name: "limits", Show: showLimits},
	{Name: "sched", Mode: 0o644, Show: showSched, Store: storeNumber},
	{Name: "comm", Mode: 0o644, Show: showComm, Store: storeComm},
	{Name: "syscall", Mode: 0o400, Show: showSyscall, Special: &pseudo.Special{May: mayRead}},
	{Name: "cmdline", Show: showCmdline},
	{Name: "stat", Show: showStat},
	{Name: "statm", Show: showStatm},
	{Name: "maps", Show: showMaps, Special: &pseudo.Special{May: mayRead}},
	{Name: "children", Show: showChildren},
	{Name: "numa_maps", Show: showNumaMaps, Special: &pseudo.Special{May: mayRead}},
	{Name: "mem", Mode: 0o600, Special: &pseudo.Special{May: mayRead, Open: openMemory}},
	{Name: "cwd", Special: &pseudo.Special{Link: readCwd, Go: cwdPath}},
	{Name: "root", Special: &pseudo.Special{Link: readRoot, Go: rootPath}},
	{Name: "exe", Special: &pseudo.Special{Link: readExe, Go: exePath}},
	{Name: "mounts", Special: &pseudo.Special{Open: openMounts}},
	{Name: "mountinfo", Special: &pseudo.Special{Open: openMountinfo}},
	{Name: "clear_refs", Mode: 0o200, Store: storeClearRefs},
	{Name: "smaps", Show: showSmaps, Special: &pseudo.Special{May: mayRead}},
	{Name: "smaps_rollup", Show: showSmapsRollup, Special: &pseudo.Special{May: mayRead}},
	{Name: "pagemap", Mode: 0o400, Special: &pseudo.Special{May: mayRead, Open: openPagemap}},
	{Name: "attr", Dir: &attrDir},
	{Name: "wchan", Const: "0"},
	{Name: "stack", Mode: 0o400},
	{Name: "schedstat", Show: showSchedstat},
	{Name: "cpuset", Const: "/\n"},
	{Name: "cgroup", Const: "0::/\n"},
	{Name: "oom_score", Show: showOOMScore},
	{Name: "oom_adj", Mode: 0o644, Show: showOOMAdj, Store: storeOOMAdj},
	{Name: "oom_score_adj", Mode: 0o644, Show: showOOMScoreAdj, Store: storeOOMScoreAdj},
	{Name: "loginuid", Mode: 0o644, Const: "4294967295", Store: storeNumber},
	{Name: "sessionid", Const: "4294967295"},
	{Name: "io", Mode: 0o400, Show: showIO, Special: &pseudo.Special{May: mayRead}},
	{Name: "uid_map", Mode: 0o644, Const: idMap, Store: storeMap},
	{Name: "gid_map", Mode: 0o644, Const: idMap, Store: storeMap},
	{Name: "projid_map", Mode: 0o644, Const: idMap, Store: storeMap},
	{Name: "setgroups", Mode: 0o644, Const: "allow\n", Store: storeSetgroups},
}}}

var fdDir = pseudo.Dir{Lookup: lookupFD, List: listFDLinks, Size: countFDs}

var fdinfoDir = pseudo.Dir{Lookup: lookupFDInfo, List: listFDInfos}

// mapFilesDir is empty: what is mapped from where, maps tells.
var mapFilesDir = pseudo.Dir{}

var attrDir = pseudo.Dir{Entries: []pseudo.Entry{
	{Name: "current", Mode: 0o666, Show: noAttribute, Store: storeNoAttribute},
	{Name: "prev", Mode: 0o444, Show: noAttribute},
	{Name: "exec", Mode: 0o666, Show: noAttribute, Store: storeNoAttribute},
	{Name: "fscreate", Mode: 0o666, Show: noAttribute, Store: storeNoAttribute},
	{Name: "keycreate", Mode: 0o666, Show: noAttribute, Store: storeNoAttribute},
	{Name: "sockcreate", Mode: 0o666, Show: noAttribute, Store: storeNoAttribute},
}}

var nsDir = pseudo.Dir{Entries: []pseudo.Entry{
	{Name: "cgroup", Special: &pseudo.Special{Link: readNSCgroup, Go: goNSCgroup}},
	{Name: "ipc", Special: &pseudo.Special{Link: readNSIpc, Go: goNSIpc}},
	{Name: "mnt", Special: &pseudo.Special{Link: readNSMnt, Go: goNSMnt}},
	{Name: "net", Special: &pseudo.Special{Link: readNSNet, Go: goNSNet}},
	{Name: "pid", Special: &pseudo.Special{Link: readNSPid, Go: goNSPid}},
	{Name: "pid_for_children", Special: &pseudo.Special{Link: readNSPidForChildren, Go: goNSPidForChildren}},
	{Name: "time", Special: &pseudo.Special{Link: readNSTime, Go: goNSTime}},
	{Name: "time_for_children", Special: &pseudo.Special{Link: readNSTimeForChildren, Go: goNSTimeForChildren}},
	{Name: "user", Special: &pseudo.Special{Link: readNSUser, Go: goNSUser}},
	{Name: "uts", Special: &pseudo.Special{Link: readNSUts, Go: goNSUts}},
}}

// Table entries hold plain functions, so that the tables need no code at boot.

func goNSCgroup(c vfs.Caller, s subject) (vfs.Path, error) { return namespace(c, s, 0) }

func readNSCgroup(c vfs.Caller, s subject) (string, error) { return namespaceName(0), mayRead(c, s) }

func goNSIpc(c vfs.Caller, s subject) (vfs.Path, error) { return namespace(c, s, 1) }

func readNSIpc(c vfs.Caller, s subject) (string, error) { return namespaceName(1), mayRead(c, s) }

func goNSMnt(c vfs.Caller, s subject) (vfs.Path, error) { return namespace(c, s, 2) }

func readNSMnt(c vfs.Caller, s subject) (string, error) { return namespaceName(2), mayRead(c, s) }

func goNSNet(c vfs.Caller, s subject) (vfs.Path, error) { return namespace(c, s, 3) }

func readNSNet(c vfs.Caller, s subject) (string, error) { return namespaceName(3), mayRead(c, s) }

func goNSPid(c vfs.Caller, s subject) (vfs.Path, error) { return namespace(c, s, 4) }

func readNSPid(c vfs.Caller, s subject) (string, error) { return namespaceName(4), mayRead(c, s) }

func goNSPidForChildren(c vfs.Caller, s subject) (vfs.Path, error) { return namespace(c, s, 5) }

func readNSPidForChildren(c vfs.Caller, s subject) (string, error) {
	return namespaceName(5), mayRead(c, s)
}

func goNSTime(c vfs.Caller, s subject) (vfs.Path, error) { return namespace(c, s, 6) }

func readNSTime(c vfs.Caller, s subject) (string, error) { return namespaceName(6), mayRead(c, s) }

func goNSTimeForChildren(c vfs.Caller, s subject) (vfs.Path, error) { return namespace(c, s, 7) }

func readNSTimeForChildren(c vfs.Caller, s subject) (string, error) {
	return namespaceName(7), mayRead(c, s)
}

func goNSUser(c vfs.Caller, s subject) (vfs.Path, error) { return namespace(c, s, 8) }

func readNSUser(c vfs.Caller, s subject) (string, error) { return namespaceName(8), mayRead(c, s) }

func goNSUts(c vfs.Caller, s subject) (vfs.Path, error) { return namespace(c, s, 9) }

func readNSUts(c vfs.Caller, s subject) (string, error) { return namespaceName(9), mayRead(c, s) }
