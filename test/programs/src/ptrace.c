// What ptrace(2) shows of children in every kind of stop. Numbers of processes
// are replaced by names, so that the output is the same on every kernel.
#define _GNU_SOURCE
#include <errno.h>
#include <elf.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

struct info { unsigned char op, pad[3]; unsigned arch; unsigned long ip, sp; unsigned long nr, args[6]; unsigned data; };

static pid_t names[16]; static int named;
static const char *who(long p) {
	static char b[4][16]; static int k; char *s = b[k++ & 3];
	if (p <= 0) { sprintf(s, "%ld", p); return s; }
	for (int i = 0; i < named; i++) if (names[i] == p) { sprintf(s, "P%d", i); return s; }
	names[named] = p; sprintf(s, "P%d", named++); return s;
}
static void say(pid_t p, int st) {
	printf("%s ", who(p));
	if (WIFEXITED(st)) printf("exit %d", WEXITSTATUS(st));
	else if (WIFSIGNALED(st)) printf("killed %d", WTERMSIG(st));
	else if (WIFSTOPPED(st)) printf("stop %d event %d", WSTOPSIG(st), st >> 16);
	else printf("status %x", st);
	printf("\n"); fflush(stdout);
}
static int next(pid_t p) { int st = -1; pid_t r = waitpid(p, &st, __WALL); if (r < 0) { printf("wait: %d\n", errno); return -1; } say(r, st); return st; }
static long pt(const char *what, long req, pid_t p, void *a, void *d) {
	errno = 0; long r = ptrace(req, p, a, d); if (r < 0 && errno) printf("%s: errno %d\n", what, errno); return r;
}
#define PT(req, p, a, d) pt(#req, req, p, (void *)(long)(a), (void *)(long)(d))
static void field(pid_t p, const char *key) {
	char n[64], b[256]; sprintf(n, "/proc/%d/status", p); FILE *f = fopen(n, "r"); if (!f) { printf("no status\n"); return; }
	while (fgets(b, sizeof b, f)) if (!strncmp(b, key, strlen(key))) {
		if (!strncmp(key, "TracerPid", 9)) printf("TracerPid %s\n", who(atol(b + 10))); else fputs(b, stdout);
	}
	fclose(f);
}
static void section(const char *s) { printf("== %s\n", s); fflush(stdout); named = 0; who(getpid()); }
static void si(pid_t p) {
	siginfo_t s; memset(&s, 0, sizeof s); long r = PT(PTRACE_GETSIGINFO, p, 0, &s);
	if (!r) { printf("  siginfo %d code %x", s.si_signo, s.si_code); if (s.si_code <= 0 || s.si_code > 0x100) printf(" pid %s", who(s.si_pid)); printf("\n"); }
}

static void signals(void) {
	section("signals");
	pid_t p = fork();
	if (!p) {
		ptrace(PTRACE_TRACEME, 0, 0, 0); printf("again %ld %d\n", ptrace(PTRACE_TRACEME, 0, 0, 0), errno); fflush(stdout);
		signal(SIGUSR2, SIG_IGN); raise(SIGSTOP); raise(SIGUSR1); raise(SIGUSR2); raise(SIGCHLD); kill(getpid(), SIGTERM); raise(SIGWINCH); _exit(3);
	}
	next(p); si(p); field(p, "State"); field(p, "TracerPid");
	siginfo_t s; memset(&s, 0, sizeof s); int r = waitid(P_ALL, 0, &s, WSTOPPED | WNOHANG); printf("nothing more %d %d\n", r, s.si_pid);
	PT(PTRACE_CONT, p, 0, 0); next(p); si(p);
	PT(PTRACE_CONT, p, 0, 0); next(p); si(p);
	PT(PTRACE_CONT, p, 0, SIGUSR2); next(p);
	PT(PTRACE_CONT, p, 0, 65); PT(PTRACE_CONT, p, 0, SIGCHLD);
	memset(&s, 0, sizeof s); r = waitid(P_PID, p, &s, WSTOPPED | WNOWAIT); printf("waitid %d code %d status %x\n", r, s.si_code, s.si_status); next(p);
	PT(PTRACE_CONT, p, 0, SIGWINCH); next(p); si(p); s.si_signo = SIGWINCH; s.si_code = 5; PT(PTRACE_SETSIGINFO, p, 0, &s); si(p);
	PT(PTRACE_CONT, p, 0, SIGKILL); next(p); next(p);
}
static void errors(void) {
	section("errors");
	PT(PTRACE_ATTACH, getpid(), 0, 0); PT(PTRACE_ATTACH, 999999, 0, 0); PT(PTRACE_CONT, getpid(), 0, 0); PT(PTRACE_SEIZE, 999999, 0, 0);
	pid_t p = fork(); if (!p) { ptrace(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); for (;;) pause(); }
	next(p);
	PT(PTRACE_SETOPTIONS, p, 0, 0x400); PT(0x7777, p, 0, 0); PT(PTRACE_LISTEN, p, 0, 0); PT(PTRACE_INTERRUPT, p, 0, 0); PT(PTRACE_ATTACH, p, 0, 0);
	PT(PTRACE_PEEKDATA, p, 8, 0); PT(PTRACE_POKEDATA, p, 8, 0); PT(PTRACE_PEEKUSER, p, 3, 0); PT(PTRACE_PEEKUSER, p, 5000, 0); PT(PTRACE_POKEUSER, p, 300, 0);
	PT(PTRACE_POKEUSER, p, offsetof(struct user, regs.cs), 0); PT(PTRACE_POKEUSER, p, offsetof(struct user, regs.fs_base), -1L);
	PT(PTRACE_POKEUSER, p, offsetof(struct user, u_debugreg[4]), 1); PT(PTRACE_POKEUSER, p, offsetof(struct user, u_debugreg[0]), -1L);
	PT(PTRACE_GETREGSET, p, 77, 0); PT(PTRACE_GETSIGMASK, p, 4, &p);
	struct iovec v = {&p, 7}; PT(PTRACE_GETREGSET, p, NT_PRSTATUS, &v);
	siginfo_t s; PT(PTRACE_SETSIGINFO, p, 0, 0); PT(PTRACE_SEIZE, p, 5, 0);
	PT(PTRACE_CONT, p, 0, 0); PT(PTRACE_CONT, p, 0, 0); PT(PTRACE_GETREGS, p, 0, &s);
	PT(PTRACE_KILL, p, 0, 0); next(p);
	p = fork(); if (!p) for (;;) pause();
	PT(PTRACE_SEIZE, p, 1, 0); PT(PTRACE_SEIZE, p, 0, 0x400); PT(PTRACE_INTERRUPT, p, 0, 0); PT(PTRACE_CONT, p, 0, 0);
	kill(p, SIGKILL); next(p);
}
static long call3(long n, long a, long b, long c) { long r; __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory"); return r; }
static void calls(void) {
	section("calls");
	pid_t p = fork();
	if (!p) {
		ptrace(PTRACE_TRACEME, 0, 0, 0); call3(SYS_kill, call3(SYS_getpid, 0, 0, 0), SIGSTOP, 0);
		long a = call3(SYS_getppid, 1, 2, 3), b = call3(SYS_dup, 12345, 0, 0), c = call3(SYS_getuid, 0, 0, 0), d = call3(9999, 0, 0, 0), e = call3(SYS_getgid, 0, 0, 0);
		call3(SYS_exit_group, (a == -38) + 2 * (b == -9) + 4 * (c == 4242) + 8 * (d == -38) + 16 * (e == 777), 0, 0);
	}
	next(p); PT(PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACESYSGOOD);
	for (int i = 0; ; i++) {
		PT(PTRACE_SYSCALL, p, 0, 0); int st = next(p); if (!WIFSTOPPED(st)) break;
		struct user_regs_struct r; PT(PTRACE_GETREGS, p, 0, &r); struct info in; memset(&in, 0, sizeof in); long n = PT(0x420e, p, sizeof in, &in);
		printf("  rax %lld nr %lld rdi %lld info %ld op %d nr %ld arg %ld ip %d\n", (long long)r.rax, (long long)r.orig_rax, (long long)r.rdi, n, in.op, in.op == 1 ? in.nr : 0, in.op == 1 ? in.args[1] : 0, in.ip == r.rip);
		unsigned long m = 9; PT(PTRACE_GETEVENTMSG, p, 0, &m); printf("  message %lu\n", m);
		si(p);
		if (r.orig_rax == SYS_getppid && in.op == 1) PT(PTRACE_POKEUSER, p, offsetof(struct user, regs.orig_rax), -1L);
		if (r.orig_rax == SYS_getuid && in.op == 2) PT(PTRACE_POKEUSER, p, offsetof(struct user, regs.rax), 4242);
		if (r.orig_rax == SYS_getgid && in.op == 1) { PT(PTRACE_POKEUSER, p, offsetof(struct user, regs.orig_rax), 5555); }
		if (r.orig_rax == 5555) PT(PTRACE_POKEUSER, p, offsetof(struct user, regs.rax), 777);
	}
	section("emulated calls");
	p = fork();
	if (!p) { ptrace(PTRACE_TRACEME, 0, 0, 0); call3(SYS_kill, call3(SYS_getpid, 0, 0, 0), SIGSTOP, 0); long a = call3(SYS_getppid, 0, 0, 0); call3(SYS_exit_group, a, 0, 0); }
	next(p); PT(PTRACE_SYSEMU, p, 0, 0); next(p); PT(PTRACE_POKEUSER, p, offsetof(struct user, regs.rax), 66); PT(PTRACE_CONT, p, 0, 0); next(p);
}
static void *sleeper(void *a) { for (;;) pause(); return a; }
static void *runner(void *a) { execl("/proc/self/exe", "ptrace", "thread", (char *)0); return a; }
static void *end(void *a) { return a; }
static void events(void) {
	section("events");
	pid_t p = fork();
	if (!p) {
		ptrace(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP);
		pid_t c = fork(); if (!c) _exit(1); int st; waitpid(c, &st, 0);
		c = vfork(); if (!c) _exit(2); waitpid(c, &st, 0);
		pthread_t t; pthread_create(&t, 0, end, 0); pthread_join(t, 0);
		execl("/proc/self/exe", "ptrace", "six", (char *)0);
	}
	next(p);
	PT(PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT);
	PT(PTRACE_CONT, p, 0, 0);
	// The order between threads is not fixed: each is followed on its own.
	pid_t wait = p;
	for (;;) {
		int st = next(wait); unsigned long m = 0;
		if (!WIFSTOPPED(st)) { if (wait == p) break; wait = p; continue; }
		int event = st >> 16;
		if (event) { PT(PTRACE_GETEVENTMSG, wait, 0, &m); printf("  message %s\n", event == PTRACE_EVENT_EXIT ? (m ? "status" : "0") : who(m)); if (event == PTRACE_EVENT_EXIT) printf("  status %lx\n", m); si(wait); }
		int sig = WSTOPSIG(st) == SIGCHLD ? SIGCHLD : 0;
		if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_CLONE) {
			// The new one first, to its end; then the old one.
			pid_t c = m; next(c); field(c, "TracerPid");
			do { PT(PTRACE_CONT, c, 0, 0); st = next(c); } while (WIFSTOPPED(st));
		} else if (event == PTRACE_EVENT_VFORK) {
			pid_t c = m; PT(PTRACE_CONT, wait, 0, 0); next(c);
			do { PT(PTRACE_CONT, c, 0, 0); st = next(c); } while (WIFSTOPPED(st));
			continue;
		}
		PT(PTRACE_CONT, wait, 0, sig);
	}
	section("exec without the event");
	p = fork(); if (!p) { ptrace(PTRACE_TRACEME, 0, 0, 0); execl("/proc/self/exe", "ptrace", "six", (char *)0); }
	next(p); si(p); printf("nr %ld\n", PT(PTRACE_PEEKUSER, p, offsetof(struct user, regs.orig_rax), 0)); PT(PTRACE_CONT, p, 0, 0); next(p);
	section("exec by a thread");
	p = fork();
	if (!p) {
		ptrace(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); pthread_t t; pthread_create(&t, 0, runner, 0); for (;;) pause();
	}
	next(p); PT(PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC); PT(PTRACE_CONT, p, 0, 0); next(p);
	unsigned long t = 0; PT(PTRACE_GETEVENTMSG, p, 0, &t); who(t); next(t); PT(PTRACE_CONT, p, 0, 0); PT(PTRACE_CONT, t, 0, 0);
	next(p); unsigned long m = 0; PT(PTRACE_GETEVENTMSG, p, 0, &m); printf("was %s\n", who(m)); PT(PTRACE_CONT, t, 0, 0); PT(PTRACE_CONT, p, 0, 0); next(p);
}
static void groups(void) {
	section("attach");
	int fd[2]; pipe(fd);
	pid_t p = fork();
	if (!p) { char c; close(fd[1]); int r = read(fd[0], &c, 1); _exit(r == 1 ? c : 99); }
	close(fd[0]);
	// Wait until it sleeps, so that the call is restarted.
	for (;;) { char n[64], b[512]; sprintf(n, "/proc/%d/stat", p); int f = open(n, 0); b[read(f, b, 511)] = 0; close(f); if (strchr(b, ')')[2] == 'S') break; sched_yield(); }
	PT(PTRACE_ATTACH, p, 0, 0); next(p); si(p);
	printf("in call %ld result %ld\n", PT(PTRACE_PEEKUSER, p, offsetof(struct user, regs.orig_rax), 0), PT(PTRACE_PEEKUSER, p, offsetof(struct user, regs.rax), 0));
	PT(PTRACE_SYSCALL, p, 0, 0); next(p); printf("in call %ld result %ld\n", PT(PTRACE_PEEKUSER, p, offsetof(struct user, regs.orig_rax), 0), PT(PTRACE_PEEKUSER, p, offsetof(struct user, regs.rax), 0));
	PT(PTRACE_DETACH, p, 0, 0); write(fd[1], "7", 1); next(p); close(fd[1]);

	section("attach to a stopped process");
	p = fork(); if (!p) { raise(SIGSTOP); _exit(4); }
	int st; waitpid(p, &st, WUNTRACED); say(p, st);
	PT(PTRACE_ATTACH, p, 0, 0); next(p); PT(PTRACE_CONT, p, 0, 0); next(p); PT(PTRACE_CONT, p, 0, 0); next(p);

	section("group stop of a traced process");
	p = fork(); if (!p) { ptrace(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); raise(SIGTSTP); _exit(5); }
	next(p); PT(PTRACE_CONT, p, 0, SIGSTOP); next(p); si(p); PT(PTRACE_CONT, p, 0, 0); next(p); kill(p, SIGCONT); PT(PTRACE_CONT, p, 0, 0); next(p); PT(PTRACE_CONT, p, 0, SIGCONT); next(p);

	section("seize");
	p = fork(); if (!p) { for (;;) pause(); }
	PT(PTRACE_SEIZE, p, 0, PTRACE_O_TRACESYSGOOD); PT(PTRACE_INTERRUPT, p, 0, 0); next(p); si(p); field(p, "State"); PT(PTRACE_CONT, p, 0, 0);
	kill(p, SIGSTOP); next(p); si(p); PT(PTRACE_LISTEN, p, 0, 0); PT(PTRACE_CONT, p, 0, SIGSTOP); next(p); si(p);
	PT(PTRACE_LISTEN, p, 0, 0); PT(PTRACE_CONT, p, 0, 0); field(p, "State");
	PT(PTRACE_INTERRUPT, p, 0, 0); next(p); si(p); PT(PTRACE_LISTEN, p, 0, 0);
	kill(p, SIGCONT); next(p); si(p); PT(PTRACE_CONT, p, 0, 0); next(p); PT(PTRACE_CONT, p, 0, SIGCONT);
	kill(p, SIGTERM); next(p); PT(PTRACE_DETACH, p, 0, SIGTERM); next(p);

	section("seized children");
	int g[2]; pipe(g);
	p = fork(); if (!p) { char c; read(g[0], &c, 1); pid_t c2 = fork(); if (!c2) _exit(8); int s; waitpid(c2, &s, 0); _exit(9); }
	PT(PTRACE_SEIZE, p, 0, PTRACE_O_TRACEFORK); write(g[1], "x", 1); next(p); si(p); unsigned long m; PT(PTRACE_GETEVENTMSG, p, 0, &m);
	pid_t c = m; next(c); si(c); PT(PTRACE_CONT, c, 0, 0); next(c); PT(PTRACE_CONT, p, 0, 0); st = next(p); if (WIFSTOPPED(st)) { PT(PTRACE_CONT, p, 0, SIGCHLD); next(p); }

	section("detach into a stop");
	p = fork(); if (!p) { ptrace(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); _exit(6); }
	next(p); PT(PTRACE_DETACH, p, 0, SIGSTOP); waitpid(p, &st, WUNTRACED); say(p, st); kill(p, SIGCONT); next(p);
}
static int global = 1;
static void *mapped;
static __attribute__((noinline)) int twice(int n) { __asm__ volatile(""); return 2 * n; }
static void memory(void) {
	section("memory");
	mapped = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *none = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *shared = mmap(0, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t p = fork();
	if (!p) { ptrace(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); int r = twice(global); raise(SIGUSR1); _exit(r + *(int *)mapped); }
	next(p);
	printf("global %ld\n", PT(PTRACE_PEEKDATA, p, &global, 0) & 0xffffffff);
	long w = PT(PTRACE_PEEKDATA, p, &global, 0); PT(PTRACE_POKEDATA, p, &global, (w & ~0xffffffffL) | 20);
	long text = PT(PTRACE_PEEKTEXT, p, twice, 0); PT(PTRACE_POKETEXT, p, twice, (text & ~0xffL) | 0xcc);
	PT(PTRACE_POKEDATA, p, mapped, 2); printf("read-only %ld\n", PT(PTRACE_PEEKDATA, p, mapped, 0)); printf("none %ld\n", PT(PTRACE_PEEKDATA, p, none, 0));
	PT(PTRACE_POKEDATA, p, shared, 2);
	char n[64]; sprintf(n, "/proc/%d/mem", p); int f = open(n, O_RDWR); long v = 0; printf("mem %zd", pread(f, &v, 4, (long)&global)); printf(" %ld\n", v); v = 21; printf("write %zd\n", pwrite(f, &v, 4, (long)&global)); close(f);
	PT(PTRACE_CONT, p, 0, 0); next(p); si(p);
	struct user_regs_struct r; PT(PTRACE_GETREGS, p, 0, &r); printf("at the breakpoint %d argument %lld nr %lld\n", r.rip == (long)twice + 1, (long long)r.rdi, (long long)r.orig_rax);
	r.rip--; PT(PTRACE_SETREGS, p, 0, &r); PT(PTRACE_POKETEXT, p, twice, text); PT(PTRACE_CONT, p, 0, 0); next(p);
	// A watchpoint of four bytes for writes on what is left of the program.
	PT(PTRACE_CONT, p, 0, 0); next(p); printf("mine %d %d\n", global, twice(2));
	section("watchpoint");
	p = fork(); if (!p) { ptrace(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); *(volatile int *)&global = 5; *(volatile int *)&global = 6; twice(1); _exit(1); }
	next(p); PT(PTRACE_POKEUSER, p, offsetof(struct user, u_debugreg[0]), &global); PT(PTRACE_POKEUSER, p, offsetof(struct user, u_debugreg[7]), 0x000d0001);
	PT(PTRACE_POKEUSER, p, offsetof(struct user, u_debugreg[1]), twice); PT(PTRACE_POKEUSER, p, offsetof(struct user, u_debugreg[7]), 0x000d0005);
	for (int i = 0; i < 4; i++) {
		PT(PTRACE_CONT, p, 0, 0); int st = next(p); if (!WIFSTOPPED(st)) break; siginfo_t s; PT(PTRACE_GETSIGINFO, p, 0, &s);
		printf("  code %d dr6 %lx dr7 %lx value %ld\n", s.si_code, PT(PTRACE_PEEKUSER, p, offsetof(struct user, u_debugreg[6]), 0) & 0xf, PT(PTRACE_PEEKUSER, p, offsetof(struct user, u_debugreg[7]), 0), PT(PTRACE_PEEKDATA, p, &global, 0) & 0xffffffff);
		PT(PTRACE_POKEUSER, p, offsetof(struct user, u_debugreg[6]), 0);
	}
	section("watchpoint while stepping");
	p = fork(); if (!p) { ptrace(PTRACE_TRACEME, 0, 0, 0); call3(SYS_kill, call3(SYS_getpid, 0, 0, 0), SIGSTOP, 0); for (volatile int i = 0; i < 3; i++); *(volatile int *)&global = 70; _exit(2); }
	next(p); printf("dr6 %lx\n", PT(PTRACE_PEEKUSER, p, offsetof(struct user, u_debugreg[6]), 0));
	PT(PTRACE_POKEUSER, p, offsetof(struct user, u_debugreg[0]), &global); PT(PTRACE_POKEUSER, p, offsetof(struct user, u_debugreg[7]), 0x000d0001);
	for (int i = 0; i < 200; i++) {
		PT(PTRACE_POKEUSER, p, offsetof(struct user, u_debugreg[6]), 0);
		PT(PTRACE_SINGLESTEP, p, 0, 0); int st; waitpid(p, &st, 0); long d = PT(PTRACE_PEEKUSER, p, offsetof(struct user, u_debugreg[6]), 0);
		if (d & 15 || !WIFSTOPPED(st)) { printf("dr6 %lx value %ld\n", d & 0x400f, PT(PTRACE_PEEKDATA, p, &global, 0) & 0xffffffff); si(p); break; }
	}
	PT(PTRACE_CONT, p, 0, 0); next(p);
}
static void on(int s) { (void)s; }
static void steps(void) {
	section("steps");
	pid_t p = fork();
	if (!p) {
		ptrace(PTRACE_TRACEME, 0, 0, 0); signal(SIGUSR1, on); call3(SYS_kill, call3(SYS_getpid, 0, 0, 0), SIGSTOP, 0);
		__asm__ volatile("nop; nop; mov $39, %%eax; syscall; nop; ud2" ::: "rax", "rcx", "r11");
	}
	next(p); struct user_regs_struct r, last; PT(PTRACE_GETREGS, p, 0, &last);
	for (int i = 0; i < 40; i++) {
		PT(PTRACE_SINGLESTEP, p, 0, 0); int st; waitpid(p, &st, 0); PT(PTRACE_GETREGS, p, 0, &r); siginfo_t s; PT(PTRACE_GETSIGINFO, p, 0, &s);
		unsigned long w = PT(PTRACE_PEEKTEXT, p, last.rip, 0);
		if ((w & 0xff) == 0x90 || (w & 0xffff) == 0x050f || (w & 0xff) == 0xb8 || (w & 0xffff) == 0x0b0f) printf("%02lx by %lld sig %d code %d flags %x nr %d\n", w & 0xff, (long long)(r.rip - last.rip), WSTOPSIG(st), s.si_code, (int)r.eflags & 0x100, r.orig_rax != -1);
		last = r; if (WSTOPSIG(st) != SIGTRAP) break;
	}
	// Into a signal handler: the stop is at its first instruction.
	PT(PTRACE_SINGLESTEP, p, 0, SIGUSR1); next(p); si(p); PT(PTRACE_GETREGS, p, 0, &r); printf("in the handler %d\n", r.rip == (long)on);
	PT(PTRACE_KILL, p, 0, 0); next(p);
}
static void sets(void) {
	section("register sets");
	pid_t p = fork();
	if (!p) {
		ptrace(PTRACE_TRACEME, 0, 0, 0); sigset_t m; sigemptyset(&m); sigaddset(&m, SIGUSR1); sigaddset(&m, SIGRTMIN); sigprocmask(SIG_BLOCK, &m, 0);
		union sigval v = {.sival_int = 5}; sigqueue(getpid(), SIGRTMIN, v); v.sival_int = 6; sigqueue(getpid(), SIGRTMIN, v); raise(SIGUSR1);
		double a = 1.5, b; __asm__ volatile("movsd %1, %%xmm3; mov $62, %%eax; mov %2, %%edi; mov $19, %%esi; syscall; movsd %%xmm3, %0" : "=m"(b) : "m"(a), "r"(getpid()) : "rax", "rdi", "rsi", "rcx", "r11", "xmm3", "memory");
		_exit((int)(b * 4));
	}
	next(p);
	static unsigned char x[16384]; struct iovec v = {x, sizeof x}; PT(PTRACE_GETREGSET, p, NT_PRSTATUS, &v); printf("general %zu\n", v.iov_len);
	v.iov_len = 16; PT(PTRACE_GETREGSET, p, NT_PRSTATUS, &v); printf("part %zu\n", v.iov_len);
	v.iov_len = sizeof x; PT(PTRACE_GETREGSET, p, NT_PRFPREG, &v); printf("fp %zu mxcsr %x cw %x\n", v.iov_len, *(unsigned *)(x + 24), *(unsigned short *)x);
	struct user_fpregs_struct fp; PT(PTRACE_GETFPREGS, p, 0, &fp); double d; memcpy(&d, &fp.xmm_space[12], 8); printf("xmm3 %g\n", d);
	d = 2.5; memcpy(&fp.xmm_space[12], &d, 8); PT(PTRACE_SETFPREGS, p, 0, &fp);
	v.iov_len = sizeof x; PT(PTRACE_GETREGSET, p, NT_X86_XSTATE, &v); memcpy(&d, x + 208, 8); printf("xstate %d xcr0 %lx xmm3 %g\n", v.iov_len >= 576, *(unsigned long *)(x + 464) & 3, d);
	d = 3.5; memcpy(x + 208, &d, 8); PT(PTRACE_SETREGSET, p, NT_X86_XSTATE, &v);
	unsigned long m = 0; PT(PTRACE_GETSIGMASK, p, 8, &m); printf("mask %lx\n", m);
	struct { unsigned long off; unsigned flags; int n; } a = {0, 0, 10}; siginfo_t s[10]; printf("thread %ld\n", PT(PTRACE_PEEKSIGINFO, p, &a, s));
	a.flags = 1; printf("process %ld", PT(PTRACE_PEEKSIGINFO, p, &a, s)); printf(" %d %d %d\n", s[0].si_signo, s[0].si_value.sival_int, s[1].si_value.sival_int);
	a.off = 1; printf("from one %ld\n", PT(PTRACE_PEEKSIGINFO, p, &a, s)); a.flags = 2; PT(PTRACE_PEEKSIGINFO, p, &a, s);
	m = 0; PT(PTRACE_SETSIGMASK, p, 8, &m); PT(PTRACE_CONT, p, 0, 0); next(p); PT(PTRACE_CONT, p, 0, 0); next(p); si(p); PT(PTRACE_CONT, p, 0, 0); next(p); PT(PTRACE_CONT, p, 0, 0); next(p);
}
static void families(void) {
	section("tracer that is no parent");
	int a[2], b[2], c[2]; pipe(a); pipe(b); pipe(c); char x;
	pid_t p = fork(); if (!p) { read(a[0], &x, 1); _exit(11); }
	who(p);
	pid_t t = fork();
	if (!t) {
		PT(PTRACE_SEIZE, p, 0, 0); write(b[1], "x", 1); int st; waitpid(p, &st, __WALL); say(p, st); fflush(stdout); write(b[1], "y", 1); _exit(0);
	}
	who(t); read(b[0], &x, 1); field(p, "TracerPid"); int st; printf("running %d\n", waitpid(p, &st, WNOHANG)); fflush(stdout);
	write(a[1], "x", 1); next(p); read(b[0], &x, 1); next(t);
	section("tracer that ends");
	p = fork(); if (!p) { read(a[0], &x, 1); _exit(12); }
	t = fork();
	if (!t) { PT(PTRACE_ATTACH, p, 0, 0); waitpid(p, &st, __WALL); write(b[1], "x", 1); read(c[0], &x, 1); _exit(0); }
	who(p); who(t); read(b[0], &x, 1); field(p, "State"); fflush(stdout); write(c[1], "x", 1); next(t); write(a[1], "x", 1); next(p);
	section("tracer that takes it along");
	p = fork(); if (!p) for (;;) pause();
	t = fork(); if (!t) { PT(PTRACE_SEIZE, p, 0, PTRACE_O_EXITKILL); _exit(0); }
	who(p); who(t); next(t); next(p);
	section("threads");
	p = fork();
	if (!p) { ptrace(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); pthread_t th; pthread_create(&th, 0, sleeper, 0); pthread_create(&th, 0, end, 0); pthread_join(th, 0); _exit(13); }
	next(p); PT(PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACECLONE); PT(PTRACE_CONT, p, 0, 0); next(p); unsigned long m, n; PT(PTRACE_GETEVENTMSG, p, 0, &m); who(m);
	next(m); PT(PTRACE_CONT, m, 0, 0); PT(PTRACE_CONT, p, 0, 0); next(p); PT(PTRACE_GETEVENTMSG, p, 0, &n); who(n); next(n); PT(PTRACE_CONT, n, 0, 0); next(n);
	errno = 0; printf("gone %d %d\n", waitpid(n, &st, __WALL), errno); PT(PTRACE_CONT, p, 0, 0); next(m); next(p); printf("none %d %d\n", waitpid(-1, &st, __WALL), errno);
}
int main(int argc, char **argv) {
	if (argc > 1) { if (!strcmp(argv[1], "thread")) _exit(7); _exit(6); }
	setvbuf(stdout, 0, _IOLBF, 0); alarm(60);
	signals(); errors(); calls(); events(); groups(); memory(); steps(); sets(); families();
	return 0;
}
