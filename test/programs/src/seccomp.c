// What seccomp(2) does to calls, threads and processes.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/ptrace.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <poll.h>
#include <linux/seccomp.h>
#include <linux/filter.h>
#include <linux/audit.h>
#define SC(...) syscall(SYS_seccomp, __VA_ARGS__)
static void status(const char *what, int st) {
	if (WIFEXITED(st)) printf("%s: exit %d\n", what, WEXITSTATUS(st));
	else if (WIFSIGNALED(st)) printf("%s: signal %d\n", what, WTERMSIG(st));
	else printf("%s: %x\n", what, st);
	fflush(stdout);
}
static void child(const char *what, void (*f)(void)) {
	fflush(stdout);
	pid_t p = fork();
	if (!p) { f(); fflush(stdout); _exit(0); }
	int st; waitpid(p, &st, 0); status(what, st);
}
static int install(struct sock_filter *f, int n, int flags) {
	struct sock_fprog p = {n, f};
	int r = SC(SECCOMP_SET_MODE_FILTER, flags, &p);
	return r < 0 ? -errno : r;
}
/* a filter that gives action for one call */
static int deny(int nr, unsigned action, int flags) {
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	return install(f, 7, flags);
}
static void nnp(void) { if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) printf("nnp %d\n", errno); }
static void show(void) {
	char b[4096]; FILE *f = fopen("/proc/self/status", "r");
	while (fgets(b, sizeof b, f)) if (!strncmp(b, "Seccomp", 7) || !strncmp(b, "NoNew", 5) || !strncmp(b, "Tracer", 6)) fputs(b, stdout);
	fclose(f);
}
static void strict_ok(void) { prctl(PR_SET_SECCOMP, 1, 0, 0, 0); write(1, "strict\n", 7); syscall(SYS_exit, 4); }
static void strict_kill(void) { prctl(PR_SET_SECCOMP, 1, 0, 0, 0); syscall(SYS_getpid); }
static void kill_process(void) { nnp(); deny(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0); syscall(SYS_getppid); }
static void kill_thread_alone(void) { nnp(); deny(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0); syscall(SYS_getppid); }
static void *victim(void *a) { syscall(SYS_getppid); return a; }
static void kill_thread(void) {
	nnp(); deny(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0);
	pthread_t t; pthread_create(&t, 0, victim, 0);
	/* a killed thread is never joined; wait for it to vanish */
	for (;;) { char b[64]; FILE *f = fopen("/proc/self/stat", "r"); int n = 0; char buf[1024]; fgets(buf, sizeof buf, f); fclose(f);
		char *q = strrchr(buf, ')'); for (int i = 0; q && i < 18; i++) q = strchr(q + 1, ' '); n = atoi(q); if (n == 1) break; sched_yield(); }
	printf("survived\n");
}
static void on_sys(int s, siginfo_t *si, void *u) {
	printf("SIGSYS code %d errno %d syscall %d arch %x addr %d\n", si->si_code, si->si_errno, si->si_syscall, si->si_arch, si->si_call_addr != 0);
	fflush(stdout);
}
static void trap(void) {
	struct sigaction sa = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO}; sigaction(SIGSYS, &sa, 0);
	nnp(); deny(SYS_getppid, SECCOMP_RET_TRAP | 0x77, 0);
	long r = syscall(SYS_getppid); printf("returned %ld\n", r);
}
static void errors(void) {
	nnp();
	printf("%d\n", deny(SYS_getppid, SECCOMP_RET_ERRNO | 42, 0));
	long r = syscall(SYS_getppid); printf("%ld %d\n", r, errno);
	printf("%d\n", deny(SYS_getuid, SECCOMP_RET_ERRNO | 0xffff, SECCOMP_FILTER_FLAG_LOG));
	errno = 0; r = syscall(SYS_getuid); printf("%ld %d\n", r, errno);
	printf("%d\n", deny(SYS_getgid, SECCOMP_RET_ERRNO, SECCOMP_FILTER_FLAG_SPEC_ALLOW));
	r = syscall(SYS_getgid); printf("%ld\n", r);
	printf("%d\n", deny(SYS_getegid, SECCOMP_RET_TRACE | 3, 0));
	r = syscall(SYS_getegid); printf("%ld %d\n", r, errno);
	printf("%d\n", deny(SYS_geteuid, SECCOMP_RET_LOG, 0));
	r = syscall(SYS_geteuid); printf("%d\n", r >= 0);
	show();
	printf("mode %d\n", prctl(PR_GET_SECCOMP));
	printf("strict after filter %d %d\n", prctl(PR_SET_SECCOMP, 1, 0), errno);
	fflush(stdout);
	pid_t p = fork(); if (!p) { r = syscall(SYS_getppid); printf("child %ld %d\n", r, errno); fflush(stdout);
		execl("/proc/self/exe", "sec", "after", (char *)0); _exit(9); }
	int st; waitpid(p, &st, 0); status("inherited", st);
}
static void unprivileged(void) {
	if (setresuid(65534, 65534, 65534)) return;
	printf("without nnp %d\n", deny(SYS_getppid, SECCOMP_RET_ERRNO, 0));
	nnp(); printf("with %d\n", deny(SYS_getppid, SECCOMP_RET_ERRNO, 0));
}
static pthread_barrier_t bar;
static void *other(void *a) {
	if (a) deny(SYS_getgid, SECCOMP_RET_ERRNO | 9, 0);
	pthread_barrier_wait(&bar); pthread_barrier_wait(&bar);
	errno = 0; long r = syscall(SYS_getppid);
	printf("other %d %d\n", r >= 0, errno); fflush(stdout);
	return 0;
}
static void tsync(void) {
	nnp(); pthread_barrier_init(&bar, 0, 2); pthread_t t; pthread_create(&t, 0, other, 0); pthread_barrier_wait(&bar);
	printf("%d\n", deny(SYS_getppid, SECCOMP_RET_ERRNO | 11, SECCOMP_FILTER_FLAG_TSYNC)); fflush(stdout);
	pthread_barrier_wait(&bar); pthread_join(t, 0);
}
static void tsync_fails(void) {
	nnp(); pthread_barrier_init(&bar, 0, 2); pthread_t t; pthread_create(&t, 0, other, &bar); pthread_barrier_wait(&bar);
	int r = deny(SYS_getppid, SECCOMP_RET_ERRNO | 11, SECCOMP_FILTER_FLAG_TSYNC); printf("%d\n", r > 0);
	printf("%d\n", deny(SYS_getppid, SECCOMP_RET_ERRNO | 11, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH)); fflush(stdout);
	pthread_barrier_wait(&bar); pthread_join(t, 0);
}
static void arguments(void) {
	nnp();
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_dup, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LDX | BPF_MEM, 3),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 1000, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 99),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	printf("%d\n", install(f, 8, 0));
	long r = syscall(SYS_dup, 1000); printf("%ld %d\n", r, errno);
	r = syscall(SYS_dup, 999); printf("%ld %d\n", r, errno);
}
static void tracer(void) {
	pid_t p = fork();
	if (!p) {
		ptrace(PTRACE_TRACEME); raise(SIGSTOP); nnp();
		deny(SYS_getppid, SECCOMP_RET_TRACE | 0x1234, 0);
		long r = syscall(SYS_getppid); printf("tracee %d\n", r > 0); fflush(stdout);
		r = syscall(SYS_getppid); printf("tracee %ld %d\n", r, errno); fflush(stdout); _exit(1);
	}
	int st; waitpid(p, &st, 0);
	ptrace(PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACESECCOMP); ptrace(PTRACE_CONT, p, 0, 0);
	for (int i = 0; i < 2; i++) {
		waitpid(p, &st, 0); unsigned long m = 0; ptrace(PTRACE_GETEVENTMSG, p, 0, &m);
		printf("stop %x message %lx nr %ld\n", st, m, ptrace(PTRACE_PEEKUSER, p, 15 * 8, 0)); fflush(stdout);
		struct sock_filter f[64]; long n = ptrace(0x420c, p, 0, f); printf("filter %ld %x\n", n, n > 0 ? f[0].code : 0); fflush(stdout);
		if (i) ptrace(PTRACE_POKEUSER, p, 15 * 8, -1L), ptrace(PTRACE_POKEUSER, p, 10 * 8, 77L);
		ptrace(PTRACE_CONT, p, 0, 0);
	}
	waitpid(p, &st, 0); status("traced", st);
}
static int listener(int nr) {
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	return install(f, 4, SECCOMP_FILTER_FLAG_NEW_LISTENER);
}
static void notified(void) {
	int sv[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, sv); nnp();
	int l = listener(SYS_getppid); printf("listener %d again %d\n", l >= 0, listener(SYS_getuid));
	fflush(stdout);
	pid_t p = fork();
	if (!p) {
		close(l); long r = syscall(SYS_getppid, 1, 2, 3); printf("got %ld\n", r); r = syscall(SYS_getppid); printf("got %ld %d\n", r, errno);
		r = syscall(SYS_getppid); printf("went on %d\n", r == getpgrp() || r > 0); r = syscall(SYS_getppid); printf("descriptor %ld\n", r);
		r = syscall(SYS_getppid); printf("closed %ld %d\n", r, errno); fflush(stdout); _exit(3);
	}
	struct seccomp_notif n; struct seccomp_notif_resp a;
	struct pollfd pf = {l, POLLIN | POLLOUT};
	for (int i = 0; i < 4; i++) {
		memset(&n, i == 0, sizeof n); if (i == 0) { int r = ioctl(l, SECCOMP_IOCTL_NOTIF_RECV, &n); printf("not zero %d %d\n", r, errno); memset(&n, 0, sizeof n); }
		poll(&pf, 1, -1); printf("poll %x\n", pf.revents);
		int r = ioctl(l, SECCOMP_IOCTL_NOTIF_RECV, &n); poll(&pf, 1, -1);
		printf("call %d %d nr %d arch %x arg %llu pid %d poll %x\n", r, i, n.data.nr, n.data.arch, n.data.args[2], n.pid == p, pf.revents);
		__u64 bad = n.id + 77; printf("valid %d", ioctl(l, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id)); r = ioctl(l, SECCOMP_IOCTL_NOTIF_ID_VALID, &bad); printf(" %d %d\n", r, errno);
		memset(&a, 0, sizeof a); a.id = n.id; a.flags = 8; r = ioctl(l, SECCOMP_IOCTL_NOTIF_SEND, &a); printf("flags %d %d\n", r, errno);
		a.flags = 0; if (i == 0) a.val = 4711; if (i == 1) a.error = -EXDEV; if (i == 2) a.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		fflush(stdout);
		if (i == 3) {
			struct seccomp_notif_addfd d = {.id = n.id, .srcfd = sv[0], .newfd = 50, .flags = SECCOMP_ADDFD_FLAG_SETFD | SECCOMP_ADDFD_FLAG_SEND};
			r = ioctl(l, SECCOMP_IOCTL_NOTIF_ADDFD, &d); printf("added %d\n", r); fflush(stdout);
		} else { r = ioctl(l, SECCOMP_IOCTL_NOTIF_SEND, &a); printf("sent %d\n", r); fflush(stdout); }
	}
	poll(&pf, 1, -1); printf("last %x\n", pf.revents); fflush(stdout); close(l);
	int st; waitpid(p, &st, 0); status("notified", st);
}
int main(int argc, char **argv) {
	if (argc > 1) { long r = syscall(SYS_getppid); printf("after exec %ld %d\n", r, errno); return 5; }
	unsigned a;
	unsigned acts[] = {SECCOMP_RET_KILL_PROCESS, 0, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO, SECCOMP_RET_USER_NOTIF, SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW, 0x12340000};
	for (int i = 0; i < 9; i++) { a = acts[i]; errno = 0; printf("avail %x %ld %d\n", a, SC(2, 0, &a), errno); }
	printf("bad %ld %d\n", SC(2, 1, &a), errno); printf("bad %ld %d\n", SC(99, 0, 0), errno);
	printf("bad %ld %d\n", SC(0, 1, 0), errno); printf("bad %ld %d\n", SC(0, 0, &a), errno);
	printf("bad %ld %d\n", SC(1, 0, 0), errno); printf("bad %ld %d\n", SC(1, 0x100, 0), errno);
	printf("bad %ld %d\n", SC(1, 9, &a), errno);
	printf("prctl %d %d\n", prctl(PR_SET_SECCOMP, 3, 0), errno);
	struct seccomp_notif_sizes z = {0}; printf("sizes %ld %d %d %d\n", SC(3, 0, &z), z.seccomp_notif, z.seccomp_notif_resp, z.seccomp_data);
	struct sock_fprog p = {0, 0}; printf("empty %ld %d\n", SC(1, 0, &p), errno);
	struct sock_filter wrong[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), BPF_STMT(BPF_RET | BPF_K, 0)};
	printf("wrong %d\n", install(wrong, 2, 0)); p.len = 2; p.filter = (void *)1; printf("fault %ld %d\n", SC(1, 0, &p), errno);
	show();
	child("strict", strict_ok); child("strict kill", strict_kill); child("kill process", kill_process);
	child("kill thread alone", kill_thread_alone); child("kill thread", kill_thread); child("trap", trap);
	child("errors", errors); child("unprivileged", unprivileged); child("tsync", tsync); child("tsync fails", tsync_fails);
	child("arguments", arguments); child("tracer", tracer); child("notified", notified);
	return 0;
}
