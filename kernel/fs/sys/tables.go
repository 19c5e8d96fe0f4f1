package sys

import (
	"husk/kernel/fs/pseudo"
)

// root is the table of /sys itself.
var root = entry{Mode: 0o555, Dir: &dir{Entries: []entry{
	{Name: "block", Dir: &dir{Lookup: lookupBlock, List: listBlock}},
	{Name: "bus", Dir: &dir{Entries: []entry{
		{Name: "cpu", Dir: &dir{Entries: []entry{
			{Name: "devices", Dir: &dir{Lookup: lookupCPULink, List: listCPULinks}},
			{Name: "drivers", Dir: &dir{}},
		}}},
		{Name: "node", Dir: &dir{Entries: []entry{
			{Name: "devices", Dir: &dir{Entries: []entry{{Name: "node0", Kind: pseudo.Link, Const: "../../../devices/system/node/node0"}}}},
			{Name: "drivers", Dir: &dir{}},
		}}},
		{Name: "pci", Dir: &dir{Entries: []entry{
			{Name: "devices", Dir: &dir{}},
			{Name: "drivers", Dir: &dir{}},
			{Name: "slots", Dir: &dir{}},
		}}},
		{Name: "platform", Dir: &dir{Entries: []entry{{Name: "devices", Dir: &dir{}}, {Name: "drivers", Dir: &dir{}}}}},
		{Name: "usb", Dir: &dir{Entries: []entry{{Name: "devices", Dir: &dir{}}, {Name: "drivers", Dir: &dir{}}}}},
		{Name: "virtio", Dir: &dir{Entries: []entry{{Name: "devices", Dir: &dir{}}, {Name: "drivers", Dir: &dir{}}}}},
	}}},
	{Name: "class", Dir: &dir{Entries: []entry{
		{Name: "block", Dir: &dir{Lookup: lookupClassBlock, List: listClassBlock}},
		{Name: "mem", Dir: &dir{Lookup: lookupClassMem, List: listClassMem}},
		{Name: "misc", Dir: &dir{}},
		{Name: "net", Dir: &dir{Lookup: lookupClassNet, List: listClassNet}},
		{Name: "tty", Dir: &dir{Lookup: lookupClassTTY, List: listClassTTY}},
	}}},
	{Name: "dev", Dir: &dir{Entries: []entry{
		{Name: "block", Dir: &dir{Lookup: lookupDevBlock, List: listDevBlock}},
		{Name: "char", Dir: &dir{Lookup: lookupDevChar, List: listDevChar}},
	}}},
	{Name: "devices", Dir: &devicesDir},
	{Name: "firmware", Dir: &dir{}},
	{Name: "fs", Dir: &dir{Entries: []entry{
		{Name: "cgroup", Dir: &dir{}},
		{Name: "fuse", Dir: &dir{Entries: []entry{{Name: "connections", Dir: &dir{}}}}},
		{Name: "pstore", Dir: &dir{}},
	}}},
	{Name: "kernel", Dir: &kernelDir},
	{Name: "module", Dir: &dir{}},
	{Name: "power", Dir: &dir{Entries: []entry{
		{Name: "pm_async", Mode: 0o644, Const: "1\n"},
		{Name: "state", Mode: 0o644, Const: "\n"},
	}}},
}}}

var devicesDir = dir{Entries: []entry{
	{Name: "platform", Dir: &dir{}},
	{Name: "system", Dir: &dir{Entries: []entry{
		{Name: "clocksource", Dir: &dir{Entries: []entry{
			{Name: "clocksource0", Dir: &dir{Entries: []entry{
				{Name: "available_clocksource", Const: "tsc \n"},
				{Name: "current_clocksource", Mode: 0o644, Const: "tsc\n"},
			}}},
		}}},
		{Name: "cpu", Dir: &cpusDir},
		{Name: "memory", Dir: &memoryDir},
		{Name: "node", Dir: &dir{Entries: []entry{
			{Name: "has_cpu", Const: "0\n"},
			{Name: "has_generic_initiator", Const: "\n"},
			{Name: "has_memory", Const: "0\n"},
			{Name: "has_normal_memory", Const: "0\n"},
			{Name: "node0", Dir: &nodeDir},
			{Name: "online", Const: "0\n"},
			{Name: "possible", Const: "0\n"},
			{Name: "uevent", Mode: 0o644},
		}}},
	}}},
	{Name: "virtual", Dir: &dir{Entries: []entry{
		{Name: "block", Dir: &dir{Lookup: lookupDisk, List: listDisks}},
		{Name: "mem", Dir: &dir{Lookup: lookupMem, List: listMem}},
		{Name: "net", Dir: &dir{Lookup: lookupNet, List: listNets}},
		{Name: "tty", Dir: &dir{Lookup: lookupTTY, List: listTTY}},
	}}},
}}

var cpusDir = dir{Lookup: lookupCPU, List: listCPUs, Links: countCPUs, Entries: []entry{
	{Name: "isolated", Const: "\n"},
	{Name: "kernel_max", Const: "8191\n"},
	{Name: "modalias", Show: showModalias},
	{Name: "offline", Const: "\n"},
	{Name: "online", Show: showOnline},
	{Name: "possible", Show: showOnline},
	{Name: "present", Show: showOnline},
	{Name: "smt", Dir: &dir{Entries: []entry{
		{Name: "active", Const: "0\n"},
		{Name: "control", Mode: 0o644, Const: "notsupported\n"},
	}}},
	{Name: "uevent", Mode: 0o644},
	{Name: "vulnerabilities", Dir: &dir{Entries: []entry{
		{Name: "itlb_multihit", Const: unknownStatus},
		{Name: "l1tf", Const: unknownStatus},
		{Name: "mds", Const: unknownStatus},
		{Name: "meltdown", Const: unknownStatus},
		{Name: "mmio_stale_data", Const: unknownStatus},
		{Name: "retbleed", Const: unknownStatus},
		{Name: "spec_store_bypass", Const: unknownStatus},
		{Name: "spectre_v1", Const: unknownStatus},
		{Name: "spectre_v2", Const: unknownStatus},
		{Name: "srbds", Const: unknownStatus},
		{Name: "tsx_async_abort", Const: unknownStatus},
	}}},
}}

// unknownStatus is what Linux says where only the host can tell.
const unknownStatus = "Unknown: Dependent on hypervisor status\n"

// cpuEntry is one CPU, in two forms: the first has no "online", since it cannot
// be taken off.
var firstCPU = entry{Dir: &dir{Entries: []entry{
	{Name: "cache", Dir: &dir{Lookup: lookupCache, List: listCaches}},
	{Name: "node0", Kind: pseudo.Link, Const: "../../node/node0"},
	{Name: "subsystem", Kind: pseudo.Link, Const: "../../../../bus/cpu"},
	{Name: "topology", Dir: &topologyDir},
	{Name: "uevent", Mode: 0o644, Show: showModaliasEvent},
}}}

var otherCPU = entry{Dir: &dir{Entries: []entry{
	{Name: "cache", Dir: &dir{Lookup: lookupCache, List: listCaches}},
	{Name: "node0", Kind: pseudo.Link, Const: "../../node/node0"},
	{Name: "online", Mode: 0o644, Const: "1\n", Store: storeOnline},
	{Name: "subsystem", Kind: pseudo.Link, Const: "../../../../bus/cpu"},
	{Name: "topology", Dir: &topologyDir},
	{Name: "uevent", Mode: 0o644, Show: showModaliasEvent},
}}}

var topologyDir = dir{Entries: []entry{
	{Name: "cluster_cpus", Show: showOwnMask},
	{Name: "cluster_cpus_list", Show: showOwnList},
	{Name: "cluster_id", Const: "65535\n"},
	{Name: "core_cpus", Show: showOwnMask},
	{Name: "core_cpus_list", Show: showOwnList},
	{Name: "core_id", Show: showOwnList},
	{Name: "core_siblings", Show: showAllMask},
	{Name: "core_siblings_list", Show: showOnline},
	{Name: "die_cpus", Show: showAllMask},
	{Name: "die_cpus_list", Show: showOnline},
	{Name: "die_id", Const: "0\n"},
	{Name: "package_cpus", Show: showAllMask},
	{Name: "package_cpus_list", Show: showOnline},
	{Name: "physical_package_id", Const: "0\n"},
	{Name: "thread_siblings", Show: showOwnMask},
	{Name: "thread_siblings_list", Show: showOwnList},
}}

var cacheEntry = entry{Dir: &dir{Entries: []entry{
	{Name: "coherency_line_size", Show: showCacheLine},
	{Name: "id", Show: showCacheID},
	{Name: "level", Show: showCacheLevel},
	{Name: "number_of_sets", Show: showCacheSets},
	{Name: "physical_line_partition", Show: showCachePartitions},
	{Name: "shared_cpu_list", Show: showCacheCPUs},
	{Name: "shared_cpu_map", Show: showCacheMask},
	{Name: "size", Show: showCacheSize},
	{Name: "type", Show: showCacheType},
	{Name: "uevent", Mode: 0o644},
	{Name: "ways_of_associativity", Show: showCacheWays},
}}}

var nodeDir = dir{Lookup: lookupNodeCPU, List: listCPULinks, Entries: []entry{
	{Name: "compact", Mode: 0o200, Store: storeIgnored},
	{Name: "cpulist", Show: showOnline},
	{Name: "cpumap", Show: showAllMask},
	{Name: "distance", Const: "10\n"},
	{Name: "hugepages", Dir: &hugePagesDir},
	{Name: "meminfo", Show: showNodeMeminfo},
	{Name: "numastat", Const: "numa_hit 0\nnuma_miss 0\nnuma_foreign 0\ninterleave_hit 0\nlocal_node 0\nother_node 0\n"},
	{Name: "subsystem", Kind: pseudo.Link, Const: "../../../../bus/node"},
	{Name: "uevent", Mode: 0o644},
	{Name: "vmstat", Show: showNodeVMStat},
}}

var hugePagesDir = dir{Entries: []entry{{Name: "hugepages-2048kB", Dir: &dir{Entries: []entry{
	{Name: "free_hugepages", Const: "0\n"},
	{Name: "nr_hugepages", Mode: 0o644, Const: "0\n", Store: storeIgnored},
	{Name: "nr_hugepages_mempolicy", Mode: 0o644, Const: "0\n", Store: storeIgnored},
	{Name: "nr_overcommit_hugepages", Mode: 0o644, Const: "0\n", Store: storeIgnored},
	{Name: "resv_hugepages", Const: "0\n"},
	{Name: "surplus_hugepages", Const: "0\n"},
}}}}}

var kernelDir = dir{Entries: []entry{
	{Name: "address_bits", Const: "64\n"},
	{Name: "boot_params", Dir: &dir{}},
	{Name: "cgroup", Dir: &dir{Entries: []entry{
		{Name: "delegate", Const: "\n"},
		{Name: "features", Const: "\n"},
	}}},
	{Name: "cpu_byteorder", Const: "little\n"},
	{Name: "debug", Mode: 0o700, Dir: &dir{}},
	{Name: "fscaps", Const: "1\n"},
	{Name: "iommu_groups", Dir: &dir{}},
	{Name: "irq", Dir: &dir{}},
	{Name: "kexec_crash_loaded", Const: "0\n"},
	{Name: "kexec_crash_size", Mode: 0o644, Const: "0\n"},
	{Name: "kexec_loaded", Const: "0\n"},
	{Name: "mm", Dir: &dir{Entries: []entry{
		{Name: "hugepages", Dir: &hugePagesDir},
		{Name: "ksm", Dir: &dir{Entries: []entry{
			{Name: "full_scans", Const: "0\n"},
			{Name: "pages_shared", Const: "0\n"},
			{Name: "pages_sharing", Const: "0\n"},
			{Name: "pages_to_scan", Mode: 0o644, Knob: &pseudo.Knob{V: [4]int64{100}}},
			{Name: "pages_unshared", Const: "0\n"},
			{Name: "pages_volatile", Const: "0\n"},
			{Name: "run", Mode: 0o644, Knob: &pseudo.Knob{Max: 2}},
			{Name: "sleep_millisecs", Mode: 0o644, Knob: &pseudo.Knob{V: [4]int64{20}}},
		}}},
		{Name: "swap", Dir: &dir{Entries: []entry{{Name: "vma_ra_enabled", Mode: 0o644, Const: "true\n", Store: storeIgnored}}}},
		{Name: "transparent_hugepage", Dir: &dir{Entries: []entry{
			{Name: "defrag", Mode: 0o644, Const: "always defer defer+madvise [madvise] never\n", Store: storeDefrag},
			{Name: "enabled", Mode: 0o644, Const: "always madvise [never]\n", Store: storeHugeEnabled},
			{Name: "hpage_pmd_size", Const: "2097152\n"},
			{Name: "khugepaged", Dir: &dir{Entries: []entry{
				{Name: "alloc_sleep_millisecs", Mode: 0o644, Knob: &pseudo.Knob{V: [4]int64{60000}}},
				{Name: "defrag", Mode: 0o644, Knob: &pseudo.Knob{V: [4]int64{1}, Max: 1}},
				{Name: "full_scans", Const: "0\n"},
				{Name: "max_ptes_none", Mode: 0o644, Knob: &pseudo.Knob{V: [4]int64{511}, Max: 511}},
				{Name: "max_ptes_shared", Mode: 0o644, Knob: &pseudo.Knob{V: [4]int64{256}, Max: 511}},
				{Name: "max_ptes_swap", Mode: 0o644, Knob: &pseudo.Knob{V: [4]int64{64}, Max: 511}},
				{Name: "pages_collapsed", Const: "0\n"},
				{Name: "pages_to_scan", Mode: 0o644, Knob: &pseudo.Knob{V: [4]int64{4096}}},
				{Name: "scan_sleep_millisecs", Mode: 0o644, Knob: &pseudo.Knob{V: [4]int64{10000}}},
			}}},
			{Name: "shmem_enabled", Mode: 0o644, Const: "always within_size advise [never] deny force\n", Store: storeIgnored},
			{Name: "use_zero_page", Mode: 0o644, Knob: &pseudo.Knob{V: [4]int64{1}, Max: 1}},
		}}},
	}}},
	{Name: "profiling", Mode: 0o644, Const: "0\n"},
	{Name: "rcu_expedited", Mode: 0o644, Knob: &pseudo.Knob{}},
	{Name: "rcu_normal", Mode: 0o644, Knob: &pseudo.Knob{}},
	{Name: "security", Mode: 0o555, Dir: &dir{}},
	{Name: "slab", Dir: &dir{}},
	{Name: "tracing", Mode: 0o700, Dir: &dir{}},
	{Name: "uevent_seqnum", Const: "1\n"},
}}
