// Resource limits, credentials and capabilities, rule by rule.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAY(expr)                                                            \
	do {                                                                     \
		errno = 0;                                                           \
		long r_ = (long)(expr);                                              \
		printf("%d %s = %ld %s\n", __LINE__, #expr, r_, errno ? strerrorname_np(errno) : ""); \
	} while (0)
#define OK(expr)                                                             \
	do {                                                                     \
		errno = 0;                                                           \
		printf("%d %s: %s %s\n", __LINE__, #expr, (expr) ? "yes" : "no", errno ? strerrorname_np(errno) : ""); \
	} while (0)
#define CHILD(...)                                                           \
	do {                                                                     \
		fflush(stdout);                                                      \
		int pid_ = fork(), st_;                                              \
		if (!pid_) { __VA_ARGS__; fflush(stdout); _exit(0); }                \
		waitpid(pid_, &st_, 0);                                              \
		printf("%d child %x\n", __LINE__, st_ & ~0x80);                      \
	} while (0)

static int limit(int what, rlim_t soft, rlim_t hard) {
	struct rlimit r = {soft, hard};
	return setrlimit(what, &r);
}
static void naps(int ms) { struct timespec t = {ms / 1000, ms % 1000 * 1000000L}; while (nanosleep(&t, &t)) ; }
static void burn(int ms) {
	struct timespec t;
	do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); while (t.tv_sec * 1000 + t.tv_nsec / 1000000 < ms);
}
static volatile sig_atomic_t caught;
static void handler(int s) { caught = s; }
static void *lazy(void *p) { for (;;) pause(); }
static char deep(int n) { volatile char b[4096]; b[0] = n; return n ? deep(n - 1) + b[0] : 0; }

static void ids(void) {
	uid_t r, e, s;
	gid_t gr, ge, gs;
	getresuid(&r, &e, &s);
	getresgid(&gr, &ge, &gs);
	printf("  uid %d %d %d fs %d gid %d %d %d fs %d\n", r, e, s, setfsuid(-1), gr, ge, gs, setfsgid(-1));
}
static void caps(void) {
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2];
	syscall(SYS_capget, &h, d);
	char line[200];
	printf("  eff %x prm %x inh %x bnd-chown %d amb-chown %d keep %d secure %x\n", d[0].effective & 0xfff, d[0].permitted & 0xfff, d[0].inheritable & 0xfff,
		prctl(PR_CAPBSET_READ, 0), prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0), prctl(PR_GET_KEEPCAPS), prctl(PR_GET_SECUREBITS));
}
static int inherit(int set) {
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2];
	syscall(SYS_capget, &h, d);
	d[0].inheritable = set;
	return syscall(SYS_capset, &h, d);
}

static void limits(void) {
	puts("== limits");
	struct rlimit r;
	int p[2];
	SAY(getrlimit(99, &r));
	SAY(setrlimit(99, &r));
	SAY(setrlimit(RLIMIT_NOFILE, (void *)8));
	SAY(limit(RLIMIT_NOFILE, 10, 5));
	SAY(limit(RLIMIT_NOFILE, 10, (1 << 20) + 1));
	SAY(prlimit(99999, RLIMIT_NOFILE, 0, &r));
	SAY(prlimit(-1, RLIMIT_NOFILE, 0, &r));
	SAY(prlimit(0, RLIMIT_NOFILE, 0, (void *)8));
	CHILD(SAY(limit(RLIMIT_NOFILE, 5, 50)); SAY(pipe(p)); SAY(dup2(0, 5)); SAY(dup2(0, 49)); SAY(fcntl(0, F_DUPFD, 5)); SAY(fcntl(0, F_DUPFD, 4)); SAY(dup(0)); SAY(open("/", O_RDONLY)));
	CHILD(SAY(limit(RLIMIT_FSIZE, 1000, 1000)); int fd = memfd_create("m", 0); signal(SIGXFSZ, handler); char b[2000] = {0}; SAY(write(fd, b, 2000)); SAY(write(fd, b, 1)); printf("%d\n", caught == SIGXFSZ); caught = 0; SAY(pwrite(fd, b, 10, 995)); SAY(pwrite(fd, b, 10, 1000)); SAY(ftruncate(fd, 1001)); printf("%d\n", caught == SIGXFSZ); SAY(ftruncate(fd, 1000)); SAY(fallocate(fd, 0, 0, 2000)); SAY(posix_fallocate(fd, 0, 2000)); signal(SIGXFSZ, SIG_DFL); pwrite(fd, b, 1, 1000));
	CHILD(SAY(limit(RLIMIT_AS, 64 << 20, 64 << 20)); SAY(mmap(0, 80 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); SAY(mmap(0, 80 << 20, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)); SAY(malloc(100 << 20)); char *q = mmap(0, 16 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); OK(q != MAP_FAILED); SAY(mremap(q, 16 << 20, 70 << 20, MREMAP_MAYMOVE)); SAY(sbrk(100 << 20)));
	CHILD(SAY(limit(RLIMIT_DATA, 4 << 20, 4 << 20)); SAY(mmap(0, 8 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); OK(mmap(0, 8 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED); OK(mmap(0, 8 << 20, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED); SAY(sbrk(8 << 20)));
	CHILD(limit(RLIMIT_STACK, 256 << 10, 8 << 20); deep(200));
	CHILD(limit(RLIMIT_STACK, 4 << 20, 8 << 20); deep(200));
	CHILD(stack_t ss = {malloc(65536), 0, 65536}; sigaltstack(&ss, 0); deep(4000));
	CHILD(limit(RLIMIT_CPU, 1, 2); signal(SIGXCPU, handler); burn(1300); printf("caught %d\n", caught == SIGXCPU); fflush(stdout); burn(5000));
	CHILD(limit(RLIMIT_CPU, 1, 9); burn(5000));
	CHILD(setgid(4242); setuid(4242); SAY(limit(RLIMIT_MEMLOCK, 8192, 8192)); char *q = mmap(0, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); SAY(mlock(q, 8192)); SAY(mlock(q + 8192, 4096)); SAY(mlock(q, 4096)); SAY(munlock(q, 4096)); SAY(mlock(q + 8192, 4096)); SAY(mlockall(MCL_CURRENT)); SAY(mmap(0, 16384, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0)); SAY(limit(RLIMIT_MEMLOCK, 0, 8192)); SAY(mlock(q, 4096)); SAY(mlockall(MCL_FUTURE)); SAY(limit(RLIMIT_MEMLOCK, 8193, 8193)));
	CHILD(setgid(4243); setuid(4243); SAY(limit(RLIMIT_NPROC, 1, 4)); SAY(fork()); SAY(limit(RLIMIT_NPROC, 4, 4)); pthread_t t; SAY(pthread_create(&t, 0, lazy, 0)); SAY(pthread_create(&t, 0, lazy, 0)); SAY(pthread_create(&t, 0, lazy, 0)); SAY(pthread_create(&t, 0, lazy, 0)); SAY(fork()));
	CHILD(limit(RLIMIT_NPROC, 1, 1); int pid = fork(); if (!pid) _exit(0); OK(pid > 0));
	CHILD(setgid(4244); setuid(4244); SAY(limit(RLIMIT_SIGPENDING, 3, 3)); sigset_t m; sigfillset(&m); sigprocmask(SIG_SETMASK, &m, 0); union sigval v = {0}; SAY(sigqueue(getpid(), SIGRTMIN, v)); SAY(sigqueue(getpid(), SIGRTMIN, v)); SAY(sigqueue(getpid(), SIGRTMIN, v)); SAY(sigqueue(getpid(), SIGRTMIN, v)); SAY(kill(getpid(), SIGRTMIN + 1)); SAY(kill(getpid(), SIGUSR1)); SAY(sigqueue(getpid(), SIGUSR2, v)); timer_t t; SAY(timer_create(CLOCK_MONOTONIC, 0, &t)); siginfo_t i; int n = 0; struct timespec z = {0}; while (sigtimedwait(&m, &i, &z) > 0) n++; printf("%d signals\n", n));
	CHILD(setgid(4245); setuid(4245); SAY(limit(RLIMIT_NICE, 25, 25)); SAY(nice(-5)); SAY(setpriority(PRIO_PROCESS, 0, -6)); SAY(nice(10)); SAY(nice(-3)); SAY(limit(RLIMIT_RTPRIO, 5, 5)); struct sched_param s = {3}; SAY(sched_setscheduler(0, SCHED_FIFO, &s)));
	CHILD(SAY(limit(RLIMIT_LOCKS, 0, 0)); struct flock f = {F_WRLCK}; int fd = memfd_create("m", 0); SAY(fcntl(fd, F_SETLK, &f)));
	CHILD(int pid = getppid(); setgid(4246); setuid(4246); SAY(prlimit(pid, RLIMIT_NOFILE, 0, &r)); int c = fork(); if (!c) for (;;) pause(); struct rlimit n = {50, 60}; SAY(prlimit(c, RLIMIT_NOFILE, &n, &r)); SAY(prlimit(c, RLIMIT_NOFILE, 0, &r)); printf("%ld %ld\n", (long)r.rlim_cur, (long)r.rlim_max); n.rlim_max = 61; SAY(prlimit(c, RLIMIT_NOFILE, &n, &r)); kill(c, SIGKILL));
	CHILD(limit(RLIMIT_NPROC, 100, 100); limit(RLIMIT_NOFILE, 77, 88); execl("/bin/sh", "sh", "-c", "ulimit -n; ulimit -Hn; ulimit -p", NULL));
}

static void users(void) {
	puts("== users");
	CHILD(SAY(setresuid(1, 2, 3)); ids(); SAY(setuid(0)); SAY(setuid(3)); ids(); SAY(setreuid(2, -1)); SAY(seteuid(1)); ids(); SAY(setreuid(-1, 3)); ids(); SAY(setresuid(3, -1, -1)); ids(); SAY(setresuid(9, -1, -1)); SAY(setresuid(-1, -1, 2)); ids());
	CHILD(SAY(setreuid(5, 6)); ids(); SAY(setreuid(6, 5)); ids(); SAY(setreuid(-1, 6)); ids(); SAY(setreuid(7, -1)));
	CHILD(SAY(seteuid(10)); ids(); SAY(setuid(0)); ids(); SAY(seteuid(0)); SAY(setuid(11)); ids(); SAY(setuid(0)));
	CHILD(SAY(setuid(-1)); SAY(setreuid(-1, -1)); SAY(setresuid(-1, -1, -1)); ids(); SAY(setfsuid(33)); ids(); SAY(setfsuid(-1)); SAY(setuid(1)); SAY(setfsuid(2)); ids());
	CHILD(SAY(setresgid(1, 2, 3)); ids(); SAY(setgid(9)); ids(); setuid(50); SAY(setgid(1)); SAY(setgid(9)); SAY(setregid(9, 9)); SAY(setresgid(9, 8, 9)); SAY(setfsgid(3)); ids());
	CHILD(gid_t g[5] = {3, 1, 2}; SAY(setgroups(3, g)); SAY(getgroups(0, 0)); SAY(getgroups(2, g)); SAY(getgroups(5, g)); printf("%d %d %d\n", g[0], g[1], g[2]); SAY(getgroups(-1, g)); SAY(setgroups(65537, g)); SAY(setgroups(1, (void *)8)); SAY(setgroups(0, 0)); setuid(1); SAY(setgroups(0, 0)));
	puts("== capabilities");
	struct __user_cap_header_struct h;
	struct __user_cap_data_struct d[2] = {{0}};
#define H(v, p) (h.version = v, h.pid = p, &h)
	SAY(syscall(SYS_capget, H(0, 0), 0));
	printf("%x\n", h.version);
	SAY(syscall(SYS_capget, H(0, 0), d));
	SAY(syscall(SYS_capget, H(_LINUX_CAPABILITY_VERSION_1, 0), d));
	printf("%x %x\n", d[0].effective & 0xff, d[1].effective);
	SAY(syscall(SYS_capget, H(_LINUX_CAPABILITY_VERSION_2, 0), d));
	SAY(syscall(SYS_capget, H(_LINUX_CAPABILITY_VERSION_3, -1), d));
	SAY(syscall(SYS_capget, H(_LINUX_CAPABILITY_VERSION_3, 99999), d));
	SAY(syscall(SYS_capget, H(_LINUX_CAPABILITY_VERSION_3, gettid()), d));
	SAY(syscall(SYS_capget, H(_LINUX_CAPABILITY_VERSION_3, 0), 8));
	SAY(syscall(SYS_capget, 8, d));
	SAY(syscall(SYS_capset, H(_LINUX_CAPABILITY_VERSION_3, 99999), d));
	SAY(syscall(SYS_capset, H(0x1234, 0), d));
	CHILD(H(_LINUX_CAPABILITY_VERSION_3, 0); memset(d, 0, sizeof d); d[0].permitted = 0xff; d[0].effective = 0x1ff; SAY(syscall(SYS_capset, &h, d)); d[0].effective = 0x0f; SAY(syscall(SYS_capset, &h, d)); caps(); d[0].permitted = 0x1ff; SAY(syscall(SYS_capset, &h, d)); d[0].permitted = d[0].effective = 1; d[0].inheritable = 3; SAY(syscall(SYS_capset, &h, d)); d[0].inheritable = 1; SAY(syscall(SYS_capset, &h, d)); caps(); SAY(setuid(1)); SAY(chown("/", 0, 0)); SAY(setgid(1)));
	CHILD(SAY(prctl(PR_SET_KEEPCAPS, 1)); SAY(setuid(100)); caps(); SAY(setuid(101)); d[0].inheritable = 0; H(_LINUX_CAPABILITY_VERSION_3, 0); syscall(SYS_capget, &h, d); d[0].effective = d[0].permitted; SAY(syscall(SYS_capset, &h, d)); caps(); SAY(setuid(101)); caps());
	CHILD(SAY(setresuid(100, 100, 0)); caps(); SAY(setresuid(-1, 0, -1)); caps(); SAY(setresuid(7, 7, 7)); caps());
	CHILD(SAY(seteuid(100)); caps(); SAY(seteuid(0)); caps());
	CHILD(SAY(inherit(1)); SAY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0)); SAY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 1, 0, 0)); caps(); SAY(inherit(0)); caps());
	CHILD(inherit(1); prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0); prctl(PR_SET_KEEPCAPS, 1); SAY(setuid(100)); caps(); SAY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0)); execl("/proc/self/exe", "limits", "caps", NULL));
	CHILD(SAY(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)); SAY(setuid(100)); caps());
	CHILD(SAY(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED)); SAY(prctl(PR_SET_SECUREBITS, 0)); SAY(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT_LOCKED)); execl("/proc/self/exe", "limits", "caps", NULL));
	CHILD(SAY(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_KEEP_CAPS_LOCKED)); SAY(prctl(PR_SET_KEEPCAPS, 0)); caps(); execl("/proc/self/exe", "limits", "caps", NULL));
	CHILD(SAY(prctl(PR_SET_SECUREBITS, SECBIT_NO_CAP_AMBIENT_RAISE)); inherit(1); SAY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0)));
	CHILD(SAY(prctl(PR_CAPBSET_DROP, 0)); caps(); SAY(inherit(1)); execl("/proc/self/exe", "limits", "caps", NULL));
	CHILD(inherit(1); SAY(prctl(PR_CAPBSET_DROP, 0)); execl("/proc/self/exe", "limits", "caps", NULL));
	CHILD(setuid(1); SAY(prctl(PR_CAPBSET_DROP, 0)); SAY(prctl(PR_SET_SECUREBITS, 0)); SAY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); execl("/proc/self/exe", "limits", "caps", NULL));
	CHILD(SAY(setresuid(0, 100, 0)); execl("/proc/self/exe", "limits", "caps", NULL));
	CHILD(SAY(setresuid(100, 0, 100)); execl("/proc/self/exe", "limits", "caps", NULL));
	CHILD(SAY(setresuid(100, 100, 0)); execl("/proc/self/exe", "limits", "caps", NULL));
}

static void files(void) {
	puts("== access");
	umask(022);
	mkdir("/tmp/acc", 0755);
	int fd = open("/tmp/acc/f", O_CREAT | O_RDWR, 0640);
	CHILD(seteuid(4000); SAY(access("/tmp/acc/f", R_OK)); SAY(faccessat(AT_FDCWD, "/tmp/acc/f", R_OK, AT_EACCESS)); SAY(syscall(SYS_faccessat2, AT_FDCWD, "/tmp/acc/f", R_OK, AT_EACCESS)); SAY(syscall(SYS_faccessat2, AT_FDCWD, "/tmp/acc/f", R_OK, 0)); SAY(syscall(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH | AT_EACCESS)); SAY(syscall(SYS_faccessat2, fd, "", R_OK, 1)); SAY(access("/tmp/acc/f", 8)); SAY(access("/tmp/acc/f", F_OK)); SAY(access("/tmp/acc/g", F_OK)); SAY(open("/tmp/acc/f", O_RDONLY)));
	CHILD(SAY(access("/tmp/acc/f", R_OK | W_OK)); SAY(access("/tmp/acc/f", X_OK)); SAY(access("/tmp/acc", X_OK)); chmod("/tmp/acc/f", 0641); SAY(access("/tmp/acc/f", X_OK)); chmod("/tmp/acc/f", 0640));
	CHILD(setresuid(4000, 0, 0); SAY(access("/tmp/acc/f", R_OK)); SAY(faccessat(AT_FDCWD, "/tmp/acc/f", R_OK, AT_EACCESS)); SAY(open("/tmp/acc/f", O_RDONLY) >= 0));
	CHILD(chmod("/tmp/acc/f", 0040); chown("/tmp/acc/f", 0, 77); gid_t g = 77; setgroups(1, &g); setgid(5); setuid(4000); OK(open("/tmp/acc/f", O_RDONLY) >= 0); SAY(open("/tmp/acc/f", O_WRONLY)));
	CHILD(setfsuid(4000); SAY(open("/tmp/acc/f", O_WRONLY)); SAY(access("/tmp/acc/f", W_OK)));
	SAY(umask(01777));
	SAY(umask(0));
	SAY(umask(022));
	unlink("/tmp/acc/f");
	rmdir("/tmp/acc");
	puts("== kill");
	int st, ready[2];
	char c;
	pipe(ready);
	int pid = fork();
	if (!pid) { setresuid(100, 101, 102); write(ready[1], "r", 1); for (;;) pause(); }
	read(ready[0], &c, 1);
	int who[][3] = {{100, 0, 0}, {0, 100, 0}, {101, 101, 101}, {102, 102, 102}, {9, 102, 9}, {9, 9, 102}, {9, 9, 9}};
	for (int k = 0; k < 7; k++)
		CHILD(setresuid(who[k][0] ? who[k][0] : 5, who[k][1] ? who[k][1] : 5, who[k][2] ? who[k][2] : 5); errno = 0; int r = kill(pid, 0); int e = errno; printf("%d %d %d: %d %s ", who[k][0], who[k][1], who[k][2], r, strerrorname_np(e)); r = kill(pid, SIGCONT); printf("cont %d\n", r));
	kill(pid, SIGKILL);
	waitpid(pid, &st, 0);
}

static volatile int ticks;
static void tick(int s, siginfo_t *i, void *c) { ticks++; }

static void timers(void) {
	puts("== timers");
	struct sigaction a = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO};
	struct itimerval v = {{0, 20000}, {0, 20000}}, o;
	for (int k = SIGALRM; k; k = k == SIGALRM ? SIGVTALRM : k == SIGVTALRM ? SIGPROF : 0)
		sigaction(k, &a, 0);
	for (int which = 0; which < 3; which++) {
		ticks = 0;
		setitimer(which, &v, 0);
		time_t end = time(0) + 20;
		while (ticks < 3 && time(0) < end)
			;
		struct itimerval zero = {0};
		setitimer(which, &zero, &o);
		printf("itimer %d: %d interval %ld\n", which, ticks >= 3, o.it_interval.tv_usec);
	}
	v.it_value.tv_usec = 1000000;
	SAY(setitimer(ITIMER_REAL, &v, 0));
	SAY(setitimer(3, &v, 0));
	SAY(getitimer(-1, &v));
	// idle: CPU-time timers do not run
	v = (struct itimerval){{0}, {0, 30000}};
	ticks = 0;
	setitimer(ITIMER_PROF, &v, 0);
	setitimer(ITIMER_VIRTUAL, &v, 0);
	naps(150);
	printf("idle ticks %d\n", ticks);
	struct timespec used;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	burn(used.tv_sec * 1000 + used.tv_nsec / 1000000 + 200);
	printf("busy ticks %d\n", ticks > 0);
	timer_t t;
	struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 9};
	struct itimerspec s = {{0, 1000000}, {0, 1000000}};
	clockid_t c;
	for (int k = 0; k < 3; k++) {
		c = k == 0 ? CLOCK_PROCESS_CPUTIME_ID : k == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
		if (k == 1) pthread_getcpuclockid(pthread_self(), &c);
		sigset_t m;
		sigemptyset(&m);
		sigaddset(&m, SIGRTMIN);
		sigprocmask(SIG_BLOCK, &m, 0);
		SAY(timer_create(c, &e, &t));
		SAY(timer_settime(t, 0, &s, 0));
		struct timespec now, end;
		clock_gettime(c, &end);
		do clock_gettime(c, &now); while ((now.tv_sec - end.tv_sec) * 1000 + (now.tv_nsec - end.tv_nsec) / 1000000 < 60);
		siginfo_t i;
		struct timespec z = {5, 0};
		SAY(sigtimedwait(&m, &i, &z) == SIGRTMIN);
		printf("code %d value %d overrun %d %d\n", i.si_code, i.si_value.sival_int, i.si_overrun > 10, timer_getoverrun(t) == i.si_overrun);
		SAY(timer_delete(t));
		z.tv_sec = 0;
		while (sigtimedwait(&m, &i, &z) > 0) ;
	}
	e.sigev_notify = SIGEV_THREAD_ID;
	e._sigev_un._tid = 99999;
	SAY(timer_create(CLOCK_MONOTONIC, &e, &t));
	e._sigev_un._tid = gettid();
	SAY(timer_create(CLOCK_MONOTONIC, &e, &t));
	SAY(timer_delete(t));
	e.sigev_notify = SIGEV_NONE;
	SAY(timer_create(CLOCK_MONOTONIC, &e, &t));
	s = (struct itimerspec){{0}, {100, 0}};
	SAY(timer_settime(t, 0, &s, 0));
	SAY(timer_gettime(t, &s));
	printf("%d\n", s.it_value.tv_sec > 90);
	SAY(timer_delete(t));
	SAY(timer_delete(t));
	SAY(timer_create(77, 0, &t));
	e.sigev_notify = SIGEV_SIGNAL, e.sigev_signo = 99;
	SAY(timer_create(CLOCK_MONOTONIC, &e, &t));
	s.it_value.tv_nsec = -1;
	e.sigev_signo = SIGRTMIN;
	SAY(timer_create(CLOCK_MONOTONIC, &e, &t));
	SAY(timer_settime(t, 0, &s, 0));
	SAY(timer_settime(t, 0, 0, 0));
}

static void none(int s) {}

// poker goes on until the call is over: the first may come before it.
static atomic_int over;
static void *poker(void *p) {
	while (!over) {
		naps(40);
		pthread_kill(*(pthread_t *)p, SIGUSR1);
	}
	return 0;
}

// What a signal's handler, with and without SA_RESTART, does to calls.
static void restarts(void) {
	puts("== restarts");
	int p[2], fd[2];
	pipe(p);
	char b[10];
	struct timespec t = {5, 0}, rem = {0};
	struct pollfd f = {p[0], POLLIN};
	pthread_t self = pthread_self(), th;
	unsigned word = 0;
#define HIT(flag, ...) do { struct sigaction a = {.sa_handler = none, .sa_flags = flag}; sigaction(SIGUSR1, &a, 0); over = 0; pthread_create(&th, 0, poker, &self); errno = 0; long r = (long)(__VA_ARGS__); int e = errno; over = 1; pthread_join(th, 0); printf("%s %s = %ld %s\n", flag ? "restart" : "plain", #__VA_ARGS__, r, e ? strerrorname_np(e) : ""); } while (0)
	for (int flag = 0; flag <= SA_RESTART; flag += SA_RESTART) {
		HIT(flag, nanosleep(&t, &rem));
		printf("remains %d\n", rem.tv_sec * 1000 + rem.tv_nsec > 1000);
		HIT(flag, clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &rem));
		HIT(flag, poll(&f, 1, 5000));
		HIT(flag, select(0, 0, 0, 0, &(struct timeval){5, 0}));
		HIT(flag, usleep(5000000));
		HIT(flag, syscall(SYS_futex, &word, 0, 0, &t, 0, 0));
		HIT(flag, pause());
		HIT(flag, ({ struct timeval tv = {5, 0}; socketpair(1, 1, 0, fd); setsockopt(fd[0], 1, 20, &tv, sizeof tv); read(fd[0], b, 1); }));
		HIT(flag, ({ sigset_t m; sigemptyset(&m); sigsuspend(&m); }));
		HIT(flag, ({ sigset_t m; sigemptyset(&m); sigaddset(&m, SIGUSR2); sigtimedwait(&m, 0, &t); }));
		HIT(flag, ({ int pid = fork(); if (!pid) { naps(flag ? 200 : 5000); _exit(0); } int r = waitpid(pid, 0, 0); if (r < 0) { int e = errno; kill(pid, SIGKILL); waitpid(pid, 0, 0); errno = e; } r > 0; }));
		HIT(flag, ({ int pid = fork(); if (!pid) { naps(flag ? 200 : 5000); write(p[1], "x", 1); _exit(0); } int r = read(p[0], b, 1); int e = errno; if (r < 0) kill(pid, SIGKILL); waitpid(pid, 0, 0); errno = e; r; }));
		HIT(flag, ({ int pid = fork(); if (!pid) { struct flock l = {F_WRLCK}; int d = open("/tmp/lockfile", O_CREAT | O_RDWR, 0600); fcntl(d, F_SETLK, &l); write(p[1], "x", 1); naps(flag ? 250 : 5000); _exit(0); } while (read(p[0], b, 1) < 0); struct flock l = {F_WRLCK}; int d = open("/tmp/lockfile", O_CREAT | O_RDWR, 0600); int r = fcntl(d, F_SETLKW, &l), e = errno; if (r < 0) kill(pid, SIGKILL); close(d); waitpid(pid, 0, 0); errno = e; r; }));
	}
	t = (struct timespec){0, 200000000};
	// a stop and continue that nobody handles is not seen
	fflush(stdout);
	int pid = fork(), st;
	if (!pid) {
		setpgid(0, 0);
		struct timespec a, z;
		clock_gettime(CLOCK_MONOTONIC, &a);
		SAY(nanosleep(&t, &rem));
		SAY(poll(0, 0, 150));
		SAY(syscall(SYS_futex, &word, 0, 0, &t, 0, 0));
		clock_gettime(CLOCK_MONOTONIC, &z);
		printf("slept %d\n", (z.tv_sec - a.tv_sec) * 1000 + (z.tv_nsec - a.tv_nsec) / 1000000 >= 550);
		fflush(stdout);
		_exit(0);
	}
	for (int k = 0; k < 5; k++) { naps(50); kill(pid, SIGSTOP); naps(10); kill(pid, SIGCONT); }
	waitpid(pid, &st, 0);
	printf("%x\n", st);
	unlink("/tmp/lockfile");
}

int main(int argc, char **argv) {
	setvbuf(stdout, 0, _IOLBF, 0);
	if (argc > 1) { ids(); caps(); printf("  nnp %d dumpable %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), prctl(PR_GET_DUMPABLE)); return 0; }
	setgroups(0, 0);
	limits();
	users();
	files();
	timers();
	restarts();
	return 0;
}
