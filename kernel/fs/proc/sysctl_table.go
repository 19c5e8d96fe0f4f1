package proc

import (
	"husk/kernel/fs/pseudo"
	"husk/kernel/ipc"
	"husk/kernel/mqueue"
	"husk/kernel/task"
)

// sysctls are the files of /proc/sys, which proc(5) and Linux's admin guide
// describe, with Linux's defaults. It is a text, made into a table by who
// first looks there, because as data of the program it would be six times as
// long. A line is the path, the permissions and
//
//	is TEXT             what never changes
//	word TEXT           a word that may be written and is not kept
//	number TEXT         the same for a number
//	set V[,V…] [MIN..MAX]  numbers that are kept; int and max are the largest
//
// or "dir" for an empty directory and "special" for what is in specials.
const sysctls = `
abi/vsyscall32                               644 set 1 0..1
debug/exception-trace                        644 set 1
dev/tty/ldisc_autoload                       644 set 1 0..1
dev/tty/legacy_tiocsti                       644 set 0 0..1
fs/aio-max-nr                                644 set 65536 0..max
fs/aio-nr                                    444 is 0
fs/binfmt_misc                               dir
fs/dentry-negative                           644 set 0 0..1
fs/dentry-state                              444 is 0	0	45	0	0	0
fs/dir-notify-enable                         644 set 1 0..1
fs/epoll/max_user_watches                    644 set 449269 0..max
fs/fanotify/max_queued_events                644 set 16384 0..int
fs/fanotify/max_user_groups                  644 set 128 0..int
fs/fanotify/max_user_marks                   644 set 8192 0..int
fs/file-max                                  644 set 9223372036854775807 0..max
fs/file-nr                                   special
fs/inode-nr                                  444 is 0	0
fs/inode-state                               444 is 0	0	0	0	0	0	0
fs/inotify/max_queued_events                 644 set 16384 0..int
fs/inotify/max_user_instances                644 set 128 0..int
fs/inotify/max_user_watches                  644 set 65536 0..int
fs/lease-break-time                          644 set 45
fs/leases-enable                             644 set 1 0..1
fs/mount-max                                 644 set 100000 1..int
fs/mqueue/msg_default                        special
fs/mqueue/msg_max                            special
fs/mqueue/msgsize_default                    special
fs/mqueue/msgsize_max                        special
fs/mqueue/queues_max                         special
fs/nr_open                                   644 set 1048576 8..2147483584
fs/overflowgid                               644 set 65534 0..65535
fs/overflowuid                               644 set 65534 0..65535
fs/pipe-max-size                             644 set 1048576 4096..2147483647
fs/pipe-user-pages-hard                      644 set 0 0..max
fs/pipe-user-pages-soft                      644 set 16384 0..max
fs/protected_fifos                           644 set 1 0..2
fs/protected_hardlinks                       644 set 1 0..1
fs/protected_regular                         644 set 2 0..2
fs/protected_symlinks                        644 set 1 0..1
fs/quota                                     dir
fs/suid_dumpable                             644 set 0 0..2
kernel/acct                                  644 set 4,2,30
kernel/arch                                  444 is x86_64
kernel/auto_msgmni                           644 set 0 0..1
kernel/bootloader_type                       444 is 176
kernel/bootloader_version                    444 is 0
kernel/cad_pid                               600 set 1 1..32768
kernel/cap_last_cap                          444 is 40
kernel/core_pattern                          special
kernel/core_pipe_limit                       special
kernel/core_uses_pid                         special
kernel/ctrl-alt-del                          644 set 0
kernel/dmesg_restrict                        644 set 1 0..1
kernel/domainname                            special
kernel/hostname                              special
kernel/hung_task_timeout_secs                644 set 120 0..int
kernel/hung_task_panic                       644 set 0 0..1
kernel/io_uring_disabled                     644 set 2 0..2
kernel/io_uring_group                        644 set -1
kernel/keys/gc_delay                         644 set 300 0..int
kernel/keys/maxbytes                         644 set 20000 0..int
kernel/keys/maxkeys                          644 set 200 0..int
kernel/keys/persistent_keyring_expiry        644 set 259200 0..int
kernel/keys/root_maxbytes                    644 set 25000000 0..int
kernel/keys/root_maxkeys                     644 set 1000000 0..int
kernel/kptr_restrict                         644 set 0 0..2
kernel/max_lock_depth                        644 set 1024
kernel/modprobe                              644 word /sbin/modprobe
kernel/modules_disabled                      644 set 1 1..1
kernel/msg_next_id                           444 is -1
kernel/msgmax                                special
kernel/msgmnb                                special
kernel/msgmni                                special
kernel/ngroups_max                           444 is 65536
kernel/nmi_watchdog                          444 is 0
kernel/ns_last_pid                           special
kernel/numa_balancing                        644 set 0 0..1
kernel/osrelease                             special
kernel/ostype                                444 is Linux
kernel/overflowgid                           644 set 65534 0..65535
kernel/overflowuid                           644 set 65534 0..65535
kernel/panic                                 644 set 0
kernel/panic_on_oops                         644 set 1
kernel/panic_on_warn                         644 set 0 0..1
kernel/perf_cpu_time_max_percent             644 set 25 0..100
kernel/perf_event_max_sample_rate            644 set 100000 1..int
kernel/perf_event_max_stack                  644 set 127 0..640
kernel/perf_event_mlock_kb                   644 set 516
kernel/perf_event_paranoid                   644 set 3
kernel/pid_max                               644 set 32768 301..4194304
kernel/poweroff_cmd                          644 word /sbin/poweroff
kernel/print-fatal-signals                   644 set 0
kernel/printk                                644 set 7,4,1,7
kernel/printk_delay                          644 set 0 0..10000
kernel/printk_devkmsg                        644 word on
kernel/printk_ratelimit                      644 set 5
kernel/printk_ratelimit_burst                644 set 10
kernel/pty/max                               644 set 4096 0..int
kernel/pty/nr                                444 is 0
kernel/pty/reserve                           644 set 1024 0..int
kernel/random/boot_id                        special
kernel/random/entropy_avail                  444 is 256
kernel/random/poolsize                       444 is 256
kernel/random/urandom_min_reseed_secs        644 set 60
kernel/random/uuid                           special
kernel/random/write_wakeup_threshold         644 set 256
kernel/randomize_va_space                    644 set 2
kernel/real-root-dev                         644 set 0
kernel/sched_autogroup_enabled               644 set 0 0..1
kernel/sched_cfs_bandwidth_slice_us          644 set 5000 1..int
kernel/sched_child_runs_first                644 set 0
kernel/sched_deadline_period_max_us          644 set 4194304 0..int
kernel/sched_deadline_period_min_us          644 set 100 0..int
kernel/sched_energy_aware                    644 set 1 0..1
kernel/sched_rr_timeslice_ms                 644 set 100
kernel/sched_rt_period_us                    644 set 1000000 1..int
kernel/sched_rt_runtime_us                   644 set 950000 -1..int
kernel/sched_schedstats                      644 set 0 0..1
kernel/seccomp/actions_avail                 444 is kill_process kill_thread trap errno user_notif trace log allow
kernel/seccomp/actions_logged                444 is kill_process kill_thread trap errno user_notif trace log
kernel/sem                                   special
kernel/sem_next_id                           444 is -1
kernel/shm_next_id                           444 is -1
kernel/shm_rmid_forced                       special
kernel/shmall                                special
kernel/shmmax                                special
kernel/shmmni                                special
kernel/sysctl_writes_strict                  644 set 1 -1..1
kernel/sysrq                                 644 set 0
kernel/tainted                               644 set 0
kernel/threads-max                           special
kernel/timer_migration                       644 set 1 0..1
kernel/traceoff_on_warning                   644 set 0
kernel/unprivileged_bpf_disabled             644 set 2 0..2
kernel/unprivileged_userns_clone             644 set 0 0..1
kernel/usermodehelper/bset                   600 is 4294967295	511
kernel/usermodehelper/inheritable            600 is 4294967295	511
kernel/version                               special
kernel/watchdog                              644 set 0 0..1
kernel/watchdog_thresh                       644 set 10 0..60
net/core/bpf_jit_enable                      644 set 0 0..2
net/core/busy_poll                           644 set 0
net/core/busy_read                           644 set 0
net/core/default_qdisc                       644 word pfifo_fast
net/core/dev_weight                          644 set 64
net/core/message_burst                       644 set 10
net/core/message_cost                        644 set 5
net/core/netdev_budget                       644 set 300
net/core/netdev_budget_usecs                 644 set 8000
net/core/netdev_max_backlog                  644 set 1000
net/core/optmem_max                          644 set 20480 0..int
net/core/rmem_default                        644 set 212992 2304..int
net/core/rmem_max                            644 set 4194304 2304..int
net/core/rps_sock_flow_entries               644 set 0
net/core/somaxconn                           644 set 4096 0..int
net/core/tstamp_allow_data                   644 set 1 0..1
net/core/warnings                            644 set 0
net/core/wmem_default                        644 set 212992 4608..int
net/core/wmem_max                            644 set 4194304 4608..int
net/ipv4/conf/all/accept_redirects           644 set 1
net/ipv4/conf/all/forwarding                 644 set 0
net/ipv4/conf/all/rp_filter                  644 set 0
net/ipv4/conf/all/send_redirects             644 set 1
net/ipv4/conf/default/accept_redirects       644 set 1
net/ipv4/conf/default/forwarding             644 set 0
net/ipv4/conf/default/rp_filter              644 set 0
net/ipv4/conf/default/send_redirects         644 set 1
net/ipv4/conf/lo/accept_redirects            644 set 1
net/ipv4/conf/lo/forwarding                  644 set 0
net/ipv4/conf/lo/rp_filter                   644 set 0
net/ipv4/conf/lo/send_redirects              644 set 1
net/ipv4/icmp_echo_ignore_all                644 set 0 0..1
net/ipv4/icmp_echo_ignore_broadcasts         644 set 1 0..1
net/ipv4/icmp_ratelimit                      644 set 1000
net/ipv4/igmp_max_memberships                644 set 20
net/ipv4/ip_default_ttl                      644 set 64 1..255
net/ipv4/ip_dynaddr                          644 set 0
net/ipv4/ip_forward                          644 set 0
net/ipv4/ip_local_port_range                 644 set 32768,60999
net/ipv4/ip_local_reserved_ports             644 word 
net/ipv4/ip_no_pmtu_disc                     644 set 0 0..3
net/ipv4/ip_nonlocal_bind                    644 set 0 0..1
net/ipv4/ip_unprivileged_port_start          644 set 1024 0..65535
net/ipv4/ipfrag_high_thresh                  644 set 4194304
net/ipv4/ipfrag_low_thresh                   644 set 3145728
net/ipv4/ipfrag_time                         644 set 30
net/ipv4/ping_group_range                    644 set 0,2147483647
net/ipv4/tcp_abort_on_overflow               644 set 0 0..1
net/ipv4/tcp_adv_win_scale                   644 set 1 -31..31
net/ipv4/tcp_allowed_congestion_control      644 word reno cubic
net/ipv4/tcp_available_congestion_control    444 is reno cubic
net/ipv4/tcp_base_mss                        644 set 1024
net/ipv4/tcp_congestion_control              644 word cubic
net/ipv4/tcp_dsack                           644 set 1 0..1
net/ipv4/tcp_ecn                             644 set 2 0..2
net/ipv4/tcp_fastopen                        644 set 1
net/ipv4/tcp_fin_timeout                     644 set 60
net/ipv4/tcp_keepalive_intvl                 644 set 75
net/ipv4/tcp_keepalive_probes                644 set 9
net/ipv4/tcp_keepalive_time                  644 set 7200
net/ipv4/tcp_max_orphans                     644 set 16384
net/ipv4/tcp_max_syn_backlog                 644 set 512
net/ipv4/tcp_max_tw_buckets                  644 set 16384
net/ipv4/tcp_mem                             644 set 22869,30494,45738
net/ipv4/tcp_moderate_rcvbuf                 644 set 1 0..1
net/ipv4/tcp_mtu_probing                     644 set 0 0..2
net/ipv4/tcp_no_metrics_save                 644 set 0 0..1
net/ipv4/tcp_notsent_lowat                   644 number 4294967295
net/ipv4/tcp_orphan_retries                  644 set 0 0..255
net/ipv4/tcp_reordering                      644 set 3
net/ipv4/tcp_retries1                        644 set 3 0..255
net/ipv4/tcp_retries2                        644 set 15 0..255
net/ipv4/tcp_rfc1337                         644 set 0 0..1
net/ipv4/tcp_rmem                            644 set 4096,131072,6291456
net/ipv4/tcp_sack                            644 set 1 0..1
net/ipv4/tcp_slow_start_after_idle           644 set 1 0..1
net/ipv4/tcp_syn_retries                     644 set 6 1..127
net/ipv4/tcp_synack_retries                  644 set 5 0..255
net/ipv4/tcp_syncookies                      644 set 1 0..2
net/ipv4/tcp_timestamps                      644 set 1 0..2
net/ipv4/tcp_tw_reuse                        644 set 2 0..2
net/ipv4/tcp_window_scaling                  644 set 1 0..1
net/ipv4/tcp_wmem                            644 set 4096,16384,4194304
net/ipv4/udp_mem                             644 set 45738,60987,91476
net/ipv4/udp_rmem_min                        644 set 4096 4096..int
net/ipv4/udp_wmem_min                        644 set 4096 4096..int
net/ipv6/bindv6only                          644 set 0 0..1
net/ipv6/conf/all/disable_ipv6               644 set 0
net/ipv6/conf/all/forwarding                 644 set 0
net/ipv6/conf/default/disable_ipv6           644 set 0
net/ipv6/conf/default/forwarding             644 set 0
net/ipv6/conf/lo/disable_ipv6                644 set 0
net/ipv6/conf/lo/forwarding                  644 set 0
net/ipv6/ip_nonlocal_bind                    644 set 0 0..1
net/unix/max_dgram_qlen                      644 set 10 0..int
user/max_cgroup_namespaces                   644 set 0 0..int
user/max_inotify_instances                   644 set 128 0..int
user/max_inotify_watches                     644 set 65536 0..int
user/max_ipc_namespaces                      644 set 0 0..int
user/max_mnt_namespaces                      644 set 16384 0..int
user/max_net_namespaces                      644 set 0 0..int
user/max_pid_namespaces                      644 set 0 0..int
user/max_time_namespaces                     644 set 0 0..int
user/max_user_namespaces                     644 set 0 0..int
user/max_uts_namespaces                      644 set 0 0..int
vm/admin_reserve_kbytes                      644 set 8192 0..max
vm/compact_memory                            special
vm/compact_unevictable_allowed               644 set 1 0..1
vm/compaction_proactiveness                  644 set 20 0..100
vm/dirty_background_bytes                    644 set 0 0..max
vm/dirty_background_ratio                    644 set 10 0..100
vm/dirty_bytes                               644 set 0 0..max
vm/dirty_expire_centisecs                    644 set 3000 0..int
vm/dirty_ratio                               644 set 20 0..100
vm/dirty_writeback_centisecs                 644 set 500 0..int
vm/dirtytime_expire_seconds                  644 set 43200 0..int
vm/drop_caches                               special
vm/extfrag_threshold                         644 set 500 0..1000
vm/hugetlb_shm_group                         644 set 0
vm/laptop_mode                               644 set 0 0..int
vm/legacy_va_layout                          644 set 0
vm/lowmem_reserve_ratio                      644 set 256,256,32,0
vm/max_map_count                             644 set 65530 0..int
vm/min_free_kbytes                           644 set 4096 0..int
vm/mmap_min_addr                             644 set 65536 0..max
vm/mmap_rnd_bits                             600 set 28 28..32
vm/mmap_rnd_compat_bits                      600 set 8 8..16
vm/nr_hugepages                              644 number 0
vm/nr_hugepages_mempolicy                    644 number 0
vm/nr_overcommit_hugepages                   644 number 0
vm/oom_dump_tasks                            644 set 1
vm/oom_kill_allocating_task                  644 set 0
vm/overcommit_kbytes                         special
vm/overcommit_memory                         special
vm/overcommit_ratio                          special
vm/page-cluster                              644 set 3 0..31
vm/page_lock_unfairness                      644 set 5 0..int
vm/panic_on_oom                              644 set 0 0..2
vm/percpu_pagelist_high_fraction             644 set 0 0..int
vm/stat_interval                             644 set 1
vm/stat_refresh                              special
vm/swappiness                                644 set 60 0..200
vm/unprivileged_userfaultfd                  644 set 0 0..1
vm/user_reserve_kbytes                       644 set 16384 0..max
vm/vfs_cache_pressure                        644 set 100 0..int
vm/watermark_boost_factor                    644 set 15000 0..int
vm/watermark_scale_factor                    644 set 10 1..3000
vm/zone_reclaim_mode                         644 set 0 0..int
`

// specials are the settings with functions of their own.
var specials = []struct {
	path  string
	entry pseudo.Entry
}{
	{"fs/file-nr", pseudo.Entry{Show: showFileNr}},
	{"fs/mqueue/msg_default", pseudo.Entry{Knob: &pseudo.Knob{Min: 1, Max: 65536, Words: []*int64{&mqueue.MsgDefault}}}},
	{"fs/mqueue/msg_max", pseudo.Entry{Knob: &pseudo.Knob{Min: 1, Max: 65536, Words: []*int64{&mqueue.MsgMax}}}},
	{"fs/mqueue/msgsize_default", pseudo.Entry{Knob: &pseudo.Knob{Min: 128, Max: 16 << 20, Words: []*int64{&mqueue.MsgSizeDefault}}}},
	{"fs/mqueue/msgsize_max", pseudo.Entry{Knob: &pseudo.Knob{Min: 128, Max: 16 << 20, Words: []*int64{&mqueue.MsgSizeMax}}}},
	{"fs/mqueue/queues_max", pseudo.Entry{Knob: &pseudo.Knob{Max: 1<<31 - 1, Words: []*int64{&mqueue.QueuesMax}}}},
	{"kernel/core_pattern", pseudo.Entry{Mode: 0o644, Show: showCorePattern, Store: storeCorePattern}},
	{"kernel/core_pipe_limit", pseudo.Entry{Knob: &pseudo.Knob{Max: 1<<31 - 1, Words: []*int64{&task.CorePipeLimit}}}},
	{"kernel/core_uses_pid", pseudo.Entry{Mode: 0o644, Show: showCoreUsesPID, Store: storeCoreUsesPID}},
	{"kernel/domainname", pseudo.Entry{Mode: 0o644, Show: showDomainname, Store: storeDomainname}},
	{"kernel/hostname", pseudo.Entry{Mode: 0o644, Show: showHostname, Store: storeHostname}},
	{"kernel/msgmax", pseudo.Entry{Knob: &pseudo.Knob{Max: 1<<31 - 1, Words: []*int64{&ipc.MsgMax}}}},
	{"kernel/msgmnb", pseudo.Entry{Knob: &pseudo.Knob{Max: 1<<31 - 1, Words: []*int64{&ipc.MsgMnb}}}},
	{"kernel/msgmni", pseudo.Entry{Knob: &pseudo.Knob{Max: 1 << 15, Words: []*int64{&ipc.MsgMni}}}},
	{"kernel/ns_last_pid", pseudo.Entry{Mode: 0o666, Store: storeIgnored, Show: showLastPID}},
	{"kernel/osrelease", pseudo.Entry{Show: showOsrelease}},
	{"kernel/random/boot_id", pseudo.Entry{Show: showBootID}},
	{"kernel/random/uuid", pseudo.Entry{Show: showUuid}},
	{"kernel/sem", pseudo.Entry{Knob: &pseudo.Knob{Max: 1<<31 - 1, Words: []*int64{&ipc.SemLimits[0], &ipc.SemLimits[1], &ipc.SemLimits[2], &ipc.SemLimits[3]}}}},
	{"kernel/shm_rmid_forced", pseudo.Entry{Knob: &pseudo.Knob{Max: 1, Words: []*int64{&ipc.ShmRmidForce}}}},
	{"kernel/shmall", pseudo.Entry{Mode: 0o644, Show: showShmAll, Store: storeShmAll}},
	{"kernel/shmmax", pseudo.Entry{Mode: 0o644, Show: showShmMax, Store: storeShmMax}},
	{"kernel/shmmni", pseudo.Entry{Knob: &pseudo.Knob{Max: 1 << 15, Words: []*int64{&ipc.ShmMni}}}},
	{"kernel/threads-max", pseudo.Entry{Knob: &pseudo.Knob{Min: 20, Max: 1 << 22, Get: task.ThreadsMax, Set: task.SetThreadsMax}}},
	{"kernel/version", pseudo.Entry{Show: showVersion}},
	{"vm/compact_memory", pseudo.Entry{Mode: 0o200, Store: storeCompactMemory}},
	{"vm/drop_caches", pseudo.Entry{Mode: 0o200, Store: storeDropCaches}},
	{"vm/overcommit_kbytes", pseudo.Entry{Knob: &pseudo.Knob{Max: 1<<63 - 1, Get: overcommitKbytes, Set: setOvercommitKbytes}}},
	{"vm/overcommit_memory", pseudo.Entry{Knob: &pseudo.Knob{Max: 2, Get: overcommit, Set: setOvercommit}}},
	{"vm/overcommit_ratio", pseudo.Entry{Knob: &pseudo.Knob{Max: 1<<31 - 1, Get: overcommitRatio, Set: setOvercommitRatio}}},
	{"vm/stat_refresh", pseudo.Entry{Mode: 0o600, Store: storeStatRefresh}},
}
