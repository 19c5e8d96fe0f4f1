package proc

import (
	"sync"

	"husk/kernel/clock"
	"husk/kernel/cpu"
	"husk/kernel/fs/pseudo"
	"husk/kernel/mm"
	"husk/kernel/task"
	"husk/kernel/vfs"
)

// root is the table of /proc itself. Processes come after it.
var root = pseudo.Entry{Mode: 0o555, Dir: &pseudo.Dir{
	Lookup: lookupProcess, List: listProcesses, Links: countProcesses,
	Entries: []pseudo.Entry{
		{Name: "self", Special: &pseudo.Special{Link: linkSelf}},
		{Name: "thread-self", Special: &pseudo.Special{Link: linkThreadSelf}},
		{Name: "buddyinfo", Show: showBuddyinfo},
		{Name: "bus", Dir: &pseudo.Dir{Entries: []pseudo.Entry{
			{Name: "input", Dir: &pseudo.Dir{Entries: []pseudo.Entry{{Name: "devices"}, {Name: "handlers"}}}},
			{Name: "pci", Dir: &pseudo.Dir{Entries: []pseudo.Entry{{Name: "devices"}}}},
		}}},
		{Name: "cgroups", Const: "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"},
		{Name: "cmdline", Show: showCommandLine},
		{Name: "consoles", Const: "hvc0                 -W- (EC  p  )  229:0\n"},
		{Name: "cpuinfo", Show: showCPUInfo},
		{Name: "crypto"},
		{Name: "devices", Const: deviceMajors},
		{Name: "diskstats", Show: showDiskstats},
		{Name: "dma", Const: " 4: cascade\n"},
		{Name: "driver", Dir: &pseudo.Dir{}},
		{Name: "execdomains", Const: "0-0\tLinux           \t[kernel]\n"},
		{Name: "filesystems", Show: showFilesystems},
		{Name: "fs", Dir: &pseudo.Dir{}},
		{Name: "interrupts", Show: showInterrupts},
		{Name: "iomem"},
		{Name: "ioports"},
		{Name: "irq", Dir: &pseudo.Dir{Entries: []pseudo.Entry{
			{Name: "default_smp_affinity", Mode: 0o644, Show: showCPUMask, Store: storeIgnoredText},
		}}},
		{Name: "kallsyms"},
		{Name: "key-users", Const: "    0:     1 1/1 1/1000000 9/25000000\n"},
		{Name: "keys"},
		{Name: "loadavg", Show: showLoadavg},
		{Name: "locks", Show: showLocks},
		{Name: "meminfo", Show: showMeminfo},
		{Name: "misc"},
		{Name: "modules"},
		{Name: "mounts", Kind: pseudo.Link, Const: "self/mounts"},
		{Name: "mtrr", Mode: 0o644, Store: storeIgnoredText},
		{Name: "net", Kind: pseudo.Link, Const: "self/net"},
		{Name: "pagetypeinfo", Mode: 0o400},
		{Name: "partitions", Show: showPartitions},
		{Name: "pressure", Dir: &pseudo.Dir{Entries: []pseudo.Entry{
			{Name: "cpu", Mode: 0o644, Const: noPressure, Store: storeIgnoredText},
			{Name: "io", Mode: 0o644, Const: noPressure, Store: storeIgnoredText},
			{Name: "memory", Mode: 0o644, Const: noPressure, Store: storeIgnoredText},
		}}},
		{Name: "schedstat", Const: "version 15\n"},
		{Name: "slabinfo", Mode: 0o400, Const: "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n"},
		{Name: "softirqs", Show: showSoftirqs},
		{Name: "stat", Show: showSystemStat},
		{Name: "swaps", Const: "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"},
		{Name: "sys", Dir: &sysctlDir},
		{Name: "sysrq-trigger", Mode: 0o200, Store: storeIgnoredText},
		{Name: "sysvipc", Dir: &pseudo.Dir{Entries: []pseudo.Entry{
			{Name: "msg", Show: showMsg},
			{Name: "sem", Show: showSem},
			{Name: "shm", Show: showShm},
		}}},
		{Name: "tty", Dir: &pseudo.Dir{Entries: []pseudo.Entry{
			{Name: "driver", Dir: &pseudo.Dir{}},
			{Name: "drivers", Const: ttyDrivers},
			{Name: "ldisc", Dir: &pseudo.Dir{}},
			{Name: "ldiscs", Const: "n_tty       0\n"},
		}}},
		{Name: "uptime", Show: showUptime},
		{Name: "version", Show: showLinuxVersion},
		{Name: "vmallocinfo", Mode: 0o400},
		{Name: "vmstat", Show: showVMStat},
		{Name: "zoneinfo", Show: showZoneinfo},
	},
}}

const (
	noPressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"

	deviceMajors = "Character devices:\n  1 mem\n  4 /dev/vc/0\n  4 tty\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n 10 misc\n128 ptm\n136 pts\n229 hvc\n\n" +
		"Block devices:\n254 virtblk\n259 blkext\n"

	ttyDrivers = "/dev/tty             /dev/tty        5       0 system:/dev/tty\n" +
		"/dev/console         /dev/console    5       1 system:console\n" +
		"/dev/ptmx            /dev/ptmx       5       2 system\n" +
		"hvc                  /dev/hvc      229 0-7 system\n" +
		"pty_slave            /dev/pts      136 0-1048575 pty:slave\n" +
		"pty_master           /dev/ptm      128 0-1048575 pty:master\n"
)

// storeIgnoredText accepts what is written.
func storeIgnoredText(vfs.Caller, none, string) error { return nil }

func showLinuxVersion(t *text, c vfs.Caller, _ none) error {
	t.S("Linux version ")
	t.S(task.Release)
	t.S(" (husk@husk) (go) ")
	t.S(task.Version)
	t.C('\n')
	return nil
}

func showCommandLine(t *text, c vfs.Caller, _ none) error {
	t.S(cpu.CommandLine())
	t.C('\n')
	return nil
}

func showFilesystems(t *text, c vfs.Caller, _ none) error {
	for _, f := range vfs.FSTypes() {
		if f.NoDevice {
			t.S("nodev")
		}
		t.C('\t')
		t.S(f.Name)
		t.C('\n')
	}
	return nil
}

// Time.

// cpuTimes are the ticks that /proc/stat shows of all CPUs together. They must
// never go back, though what they come from may by a little: the division of a
// thread's time into user and system is an estimate.
type cpuTimes struct{ user, sys, idle int64 }

var shown struct {
	sync.Mutex
	last  cpuTimes
	ctxt  int64
	fault int64
}

func measureCPUs() cpuTimes {
	shown.Lock()
	defer shown.Unlock()
	user, sys := task.TotalCPUTime()
	idle := clock.Now()*int64(cpu.CPUs()) - user - sys
	l := &shown.last
	l.user = max(l.user, user/tick)
	l.sys = max(l.sys, sys/tick)
	l.idle = max(l.idle, idle/tick)
	return *l
}

func showUptime(t *text, c vfs.Caller, _ none) error {
	t.Fixed(uint64(clock.Now() / tick))
	t.C(' ')
	t.Fixed(uint64(measureCPUs().idle))
	t.C('\n')
	return nil
}

func showLoadavg(t *text, c vfs.Caller, _ none) error {
	load := task.LoadAverage()
	for _, v := range load {
		v += (1 << 16) / 200 // rounds to the nearest hundredth
		t.U(v >> 16)
		t.C('.')
		t.U0(v&0xffff*100>>16, 2)
		t.C(' ')
	}
	threads, _ := task.Counts()
	t.I(task.Running())
	t.C('/')
	t.I(threads)
	t.C(' ')
	t.I(task.LastPID())
	t.C('\n')
	return nil
}

// counts sums up page faults and context switches, which never go back.
func counts() (faults, switches int64) {
	for _, p := range task.Processes() {
		f, voluntary, involuntary := p.Faults()
		faults += f + p.ChildrenFaults()
		switches += voluntary + involuntary
	}
	shown.Lock()
	defer shown.Unlock()
	shown.fault = max(shown.fault, faults)
	shown.ctxt = max(shown.ctxt, switches)
	return shown.fault, shown.ctxt
}

func showSystemStat(t *text, c vfs.Caller, _ none) error {
	m := measureCPUs()
	line := func(user, sys, idle int64) {
		for _, v := range [...]int64{user, 0, sys, idle, 0, 0, 0, 0, 0, 0} {
			t.C(' ')
			t.D(v)
		}
		t.C('\n')
	}
	t.S("cpu ")
	line(m.user, m.sys, m.idle)
	n := int64(cpu.CPUs())
	for i := range n {
		t.S("cpu")
		t.D(i)
		line((m.user+i)/n, (m.sys+i)/n, (m.idle+i)/n)
	}
	_, switches := counts()
	_, forks := task.Counts()
	t.S("intr 0")
	for range 24 {
		t.S(" 0")
	}
	t.S("\nctxt ")
	t.D(switches)
	t.S("\nbtime ")
	t.D(clock.RealtimeOffset() / clock.Second)
	t.S("\nprocesses ")
	t.U(forks + 1)
	t.S("\nprocs_running ")
	t.I(max(task.Running(), 1))
	t.S("\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n")
	return nil
}

func cpuHeading(t *text, width int) {
	for range width {
		t.C(' ')
	}
	for i := range cpu.CPUs() {
		start := len(*t)
		t.S("CPU")
		t.I(i)
		t.PadTo(start, 11)
	}
	t.C('\n')
}

func showInterrupts(t *text, c vfs.Caller, _ none) error {
	cpuHeading(t, 11)
	none := func(cpu.InterruptCounts) uint64 { return 0 }
	for _, k := range [...]struct {
		name, what string
		count      func(cpu.InterruptCounts) uint64
	}{
		{"NMI", "Non-maskable interrupts", none},
		{"LOC", "Local timer interrupts", func(n cpu.InterruptCounts) uint64 { return n.Timer }},
		{"SPU", "Spurious interrupts", none},
		{"RES", "Rescheduling interrupts", func(n cpu.InterruptCounts) uint64 { return n.Reschedule }},
		{"CAL", "Function call interrupts", func(n cpu.InterruptCounts) uint64 { return n.Call }},
		{"TLB", "TLB shootdowns", func(n cpu.InterruptCounts) uint64 { return n.Flush }},
	} {
		t.SW(k.name, 3)
		t.S(": ")
		for i := range cpu.CPUs() {
			t.UW(k.count(cpu.Interrupts(i)), 10)
			t.C(' ')
		}
		t.C(' ')
		t.S(k.what)
		t.C('\n')
	}
	t.S("ERR:          0\nMIS:          0\n")
	return nil
}

func showSoftirqs(t *text, c vfs.Caller, _ none) error {
	t.S("                    ")
	for i := range cpu.CPUs() {
		start := len(*t)
		t.S("CPU")
		t.I(i)
		t.PadTo(start, 11)
	}
	t.C('\n')
	for _, name := range [...]string{"HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"} {
		t.SW(name, 12)
		t.C(':')
		for range cpu.CPUs() {
			t.C(' ')
			t.UW(0, 10)
		}
		t.C('\n')
	}
	return nil
}

func showCPUMask(t *text, c vfs.Caller, _ none) error {
	t.Mask(uint64(task.AllCPUs()), cpu.CPUs())
	t.C('\n')
	return nil
}

// Memory.

// memoryFigures are the pages that meminfo, vmstat and zoneinfo divide memory
// into. What is neither free nor a program's nor a file's is the kernel's.
type memoryFigures struct {
	mm.MemInfo
	file, kernel, available uint64
}

func measureMemory() memoryFigures {
	f := memoryFigures{MemInfo: mm.Memory()}
	f.file = f.Cached - min(f.Shmem, f.Cached)
	used := f.Free + f.Cached + f.Anon + f.PageTables
	f.kernel = f.Total - min(used, f.Total)
	f.available = min(f.Free+f.file, f.Total)
	return f
}

func showMeminfo(t *text, c vfs.Caller, _ none) error {
	f := measureMemory()
	const kB = mm.PageSize / 1024
	for _, l := range [...]struct {
		key   string
		pages uint64
	}{
		{"MemTotal", f.Total},
		{"MemFree", f.Free},
		{"MemAvailable", f.available},
		{"Buffers", 0},
		{"Cached", f.Cached},
		{"SwapCached", 0},
		{"Active", f.file / 2},
		{"Inactive", f.Anon + f.Shmem + f.file - f.file/2},
		{"Active(anon)", 0},
		{"Inactive(anon)", f.Anon + f.Shmem},
		{"Active(file)", f.file / 2},
		{"Inactive(file)", f.file - f.file/2},
		{"Unevictable", 0},
		{"Mlocked", 0},
		{"SwapTotal", 0},
		{"SwapFree", 0},
		{"Zswap", 0},
		{"Zswapped", 0},
		{"Dirty", 0},
		{"Writeback", 0},
		{"AnonPages", f.Anon},
		{"Mapped", f.file},
		{"Shmem", f.Shmem},
		{"KReclaimable", 0},
		{"Slab", f.kernel},
		{"SReclaimable", 0},
		{"SUnreclaim", f.kernel},
		{"KernelStack", 0},
		{"PageTables", f.PageTables},
		{"SecPageTables", 0},
		{"NFS_Unstable", 0},
		{"Bounce", 0},
		{"WritebackTmp", 0},
		{"CommitLimit", f.CommitLimit},
		{"Committed_AS", f.Committed},
		{"VmallocTotal", 34359738367 / kB},
		{"VmallocUsed", 0},
		{"VmallocChunk", 0},
		{"Percpu", 0},
		{"HardwareCorrupted", 0},
		{"AnonHugePages", 0},
		{"ShmemHugePages", 0},
		{"ShmemPmdMapped", 0},
		{"FileHugePages", 0},
		{"FilePmdMapped", 0},
	} {
		start := len(*t)
		t.S(l.key)
		t.C(':')
		v := l.pages * kB
		if l.key == "VmallocTotal" {
			v = 34359738367 // all of it in kB, one short of 2^35
		}
		t.PadTo(start, 16)
		t.UW(v, 24-(len(*t)-start))
		t.S(" kB\n")
	}
	for _, key := range [...]string{"HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp"} {
		start := len(*t)
		t.S(key)
		t.C(':')
		t.PadTo(start, 19)
		t.UW(0, 5)
		t.C('\n')
	}
	t.S("Hugepagesize:       2048 kB\nHugetlb:               0 kB\nDirectMap4k:    ")
	t.UW(0, 8)
	t.S(" kB\nDirectMap2M:    ")
	t.UW(f.Total*kB, 8)
	t.S(" kB\nDirectMap1G:           0 kB\n")
	return nil
}

// vmstatNames are the counters of Linux 6.1 in its order.
var vmstatNames = [...]string{
	"nr_free_pages", "nr_zone_inactive_anon", "nr_zone_active_anon", "nr_zone_inactive_file", "nr_zone_active_file",
	"nr_zone_unevictable", "nr_zone_write_pending", "nr_mlock", "nr_bounce", "nr_zspages", "nr_free_cma",
	"numa_hit", "numa_miss", "numa_foreign", "numa_interleave", "numa_local", "numa_other",
	"nr_inactive_anon", "nr_active_anon", "nr_inactive_file", "nr_active_file", "nr_unevictable",
	"nr_slab_reclaimable", "nr_slab_unreclaimable", "nr_isolated_anon", "nr_isolated_file",
	"workingset_nodes", "workingset_refault_anon", "workingset_refault_file", "workingset_activate_anon",
	"workingset_activate_file", "workingset_restore_anon", "workingset_restore_file", "workingset_nodereclaim",
	"nr_anon_pages", "nr_mapped", "nr_file_pages", "nr_dirty", "nr_writeback", "nr_writeback_temp", "nr_shmem",
	"nr_shmem_hugepages", "nr_shmem_pmdmapped", "nr_file_hugepages", "nr_file_pmdmapped", "nr_anon_transparent_hugepages",
	"nr_vmscan_write", "nr_vmscan_immediate_reclaim", "nr_dirtied", "nr_written", "nr_throttled_written",
	"nr_kernel_misc_reclaimable", "nr_foll_pin_acquired", "nr_foll_pin_released", "nr_kernel_stack",
	"nr_page_table_pages", "nr_sec_page_table_pages", "nr_swapcached", "pgpromote_success", "pgpromote_candidate",
	"nr_dirty_threshold", "nr_dirty_background_threshold", "pgpgin", "pgpgout", "pswpin", "pswpout",
	"pgalloc_dma", "pgalloc_dma32", "pgalloc_normal", "pgalloc_movable", "pgalloc_device",
	"allocstall_dma", "allocstall_dma32", "allocstall_normal", "allocstall_movable", "allocstall_device",
	"pgskip_dma", "pgskip_dma32", "pgskip_normal", "pgskip_movable", "pgskip_device",
	"pgfree", "pgactivate", "pgdeactivate", "pglazyfree", "pgfault", "pgmajfault", "pglazyfreed", "pgrefill", "pgreuse",
	"pgsteal_kswapd", "pgsteal_direct", "pgdemote_kswapd", "pgdemote_direct", "pgscan_kswapd", "pgscan_direct",
	"pgscan_direct_throttle", "pgscan_anon", "pgscan_file", "pgsteal_anon", "pgsteal_file", "zone_reclaim_failed",
	"pginodesteal", "slabs_scanned", "kswapd_inodesteal", "kswapd_low_wmark_hit_quickly", "kswapd_high_wmark_hit_quickly",
	"pageoutrun", "pgrotated", "drop_pagecache", "drop_slab", "oom_kill", "numa_pte_updates", "numa_huge_pte_updates",
	"numa_hint_faults", "numa_hint_faults_local", "numa_pages_migrated", "pgmigrate_success", "pgmigrate_fail",
	"compact_stall", "compact_fail", "compact_success", "unevictable_pgs_culled", "unevictable_pgs_scanned",
	"unevictable_pgs_rescued", "unevictable_pgs_mlocked", "unevictable_pgs_munlocked", "unevictable_pgs_cleared",
	"unevictable_pgs_stranded", "thp_fault_alloc", "thp_fault_fallback", "thp_collapse_alloc", "thp_split_page",
	"thp_zero_page_alloc", "balloon_inflate", "balloon_deflate", "balloon_migrate", "swap_ra", "swap_ra_hit",
	"direct_map_level2_splits", "direct_map_level3_splits", "nr_unstable",
}

func showVMStat(t *text, c vfs.Caller, _ none) error {
	f := measureMemory()
	faults, _ := counts()
	for _, name := range vmstatNames {
		var v uint64
		switch name {
		case "oom_kill":
			v = uint64(task.OOMKills.Load())
		case "nr_free_pages":
			v = f.Free
		case "nr_zone_inactive_anon", "nr_inactive_anon":
			v = f.Anon + f.Shmem
		case "nr_zone_inactive_file", "nr_inactive_file":
			v = f.file - f.file/2
		case "nr_zone_active_file", "nr_active_file":
			v = f.file / 2
		case "nr_slab_unreclaimable":
			v = f.kernel
		case "nr_anon_pages":
			v = f.Anon
		case "nr_mapped":
			v = f.file
		case "nr_file_pages":
			v = f.Cached
		case "nr_shmem":
			v = f.Shmem
		case "nr_page_table_pages":
			v = f.PageTables
		case "pgfault":
			v = uint64(faults)
		}
		t.S(name)
		t.C(' ')
		t.U(v)
		t.C('\n')
	}
	return nil
}

// showBuddyinfo renders free memory as if it were in the largest blocks.
func showBuddyinfo(t *text, c vfs.Caller, _ none) error {
	free := mm.Memory().Free
	t.S("Node 0, zone   Normal ")
	for order := range 11 {
		n := free >> order & 1
		if order == 10 {
			n = free >> order
		}
		t.UW(n, 6)
		t.C(' ')
	}
	t.C('\n')
	return nil
}

func showZoneinfo(t *text, c vfs.Caller, _ none) error {
	f := measureMemory()
	t.S("Node 0, zone   Normal\n  per-node stats\n")
	for _, l := range [...]struct {
		name string
		v    uint64
	}{{"nr_inactive_anon", f.Anon}, {"nr_active_file", f.file}, {"nr_anon_pages", f.Anon}, {"nr_file_pages", f.Cached}, {"nr_shmem", f.Shmem}} {
		start := len(*t)
		t.S("      ")
		t.S(l.name)
		t.PadTo(start, 18)
		t.C(' ')
		t.U(l.v)
		t.C('\n')
	}
	t.S("  pages free     ")
	t.U(f.Free)
	t.S("\n        min      0\n        low      0\n        high     0\n        spanned  ")
	t.U(f.Total)
	t.S("\n        present  ")
	t.U(f.Total)
	t.S("\n        managed  ")
	t.U(f.Total)
	t.S("\n        protection: (0, 0, 0, 0, 0)\n      nr_free_pages ")
	t.U(f.Free)
	t.C('\n')
	return nil
}

// Devices and locks.

func showPartitions(t *text, c vfs.Caller, _ none) error {
	disks := pseudo.Disks()
	if len(disks) == 0 {
		return nil
	}
	t.S("major minor  #blocks  name\n\n")
	for _, d := range disks {
		t.UW(uint64(d.Major), 4)
		t.S("  ")
		t.UW(uint64(d.Minor), 7)
		t.C(' ')
		t.UW(d.Sectors/2, 10)
		t.C(' ')
		t.S(d.Name)
		t.C('\n')
	}
	return nil
}

func showDiskstats(t *text, c vfs.Caller, _ none) error {
	for _, d := range pseudo.Disks() {
		t.UW(uint64(d.Major), 4)
		t.C(' ')
		t.UW(uint64(d.Minor), 7)
		t.C(' ')
		t.S(d.Name)
		for range 17 {
			t.S(" 0")
		}
		t.C('\n')
	}
	return nil
}
