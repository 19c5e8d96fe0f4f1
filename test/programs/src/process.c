// The calls about processes, option by option.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
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
#define IN_CHILD(...)                                                       \
	({                                                                       \
		fflush(stdout);                                                      \
		int pid_ = fork();                                                   \
		if (!pid_) { __VA_ARGS__; fflush(stdout); _exit(0); }                       \
		pid_;                                                                \
	})

static void naps(int ms) { struct timespec t = {ms / 1000, ms % 1000 * 1000000L}; while (nanosleep(&t, &t)) ; }
static void nothing(int s) {}
static char stack[65536] __attribute__((aligned(16)));
static int fn(void *p) { return 7; }

static long cloned(unsigned long flags) {
	fflush(stdout);
	long r = syscall(SYS_clone, flags, 0, 0, 0, 0);
	if (!r) _exit(3);
	return r;
}
static void tryClone(const char *name, unsigned long flags) {
	errno = 0;
	long r = cloned(flags);
	int e = errno, st = 0;
	if (r > 0) waitpid(r, &st, __WALL);
	printf("clone %s: %s %s status %x\n", name, r > 0 ? "made" : "failed", e ? strerrorname_np(e) : "", st);
}

static void clones(void) {
	puts("== clone");
#define C(f) tryClone(#f, f)
	C(SIGCHLD);
	C(0);
	C(SIGUSR2 * 0 | SIGURG);
	C(CLONE_THREAD);
	C(CLONE_SIGHAND);
	C(CLONE_THREAD | CLONE_SIGHAND);
	C(CLONE_FS | CLONE_NEWNS);
	C(CLONE_NEWPID | CLONE_THREAD);
	C(CLONE_PIDFD | CLONE_PARENT_SETTID);
	C(CLONE_PIDFD | CLONE_DETACHED);
	C(CLONE_DETACHED | SIGCHLD);
	C(CLONE_PARENT_SETTID | SIGCHLD);
	C(CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD);
	C(CLONE_PTRACE | SIGCHLD);
	C(CLONE_UNTRACED | SIGCHLD);
	C(CLONE_IO | SIGCHLD);
	C(CLONE_SYSVSEM | SIGCHLD);
	C(CLONE_VFORK | SIGCHLD);
	C(65);
	C(255);
	C(CLONE_SYSVSEM | CLONE_NEWIPC);
	struct clone_args a;
#define C3(...) do { memset(&a, 0, sizeof a); __VA_ARGS__; errno = 0; fflush(stdout); long r = syscall(SYS_clone3, &a, sizeof a); if (!r) _exit(4); int e = errno, st = 0; if (r > 0) waitpid(r, &st, __WALL); printf("%d clone3 %s: %d %s %x\n", __LINE__, #__VA_ARGS__, r > 0, e ? strerrorname_np(e) : "", st); } while (0)
	C3(a.exit_signal = SIGCHLD);
	C3(a.exit_signal = 65);
	C3(a.exit_signal = 256);
	C3(a.flags = CLONE_DETACHED);
	C3(a.flags = 1ULL << 40);
	C3(a.flags = SIGCHLD);
	C3(a.stack = (uintptr_t)stack);
	C3(a.stack_size = 100);
	C3(a.flags = CLONE_THREAD; a.exit_signal = SIGCHLD);
	C3(a.flags = CLONE_PARENT; a.exit_signal = SIGCHLD);
	C3(a.flags = CLONE_CLEAR_SIGHAND | CLONE_SIGHAND | CLONE_VM);
	C3(a.flags = CLONE_CLEAR_SIGHAND);
	C3(a.set_tid_size = 33; a.set_tid = (uintptr_t)stack);
	C3(a.set_tid_size = 1);
	C3(a.set_tid = (uintptr_t)stack);
	C3(a.set_tid_size = 1; *(int *)stack = 0; a.set_tid = (uintptr_t)stack);
	C3(a.set_tid_size = 1; *(int *)stack = 1; a.set_tid = (uintptr_t)stack);
	C3(a.set_tid_size = 1; *(int *)stack = -5; a.set_tid = (uintptr_t)stack);
	C3(a.flags = CLONE_INTO_CGROUP; a.cgroup = 9999);
	C3(a.flags = CLONE_PIDFD; a.pidfd = 8);
	SAY(syscall(SYS_clone3, &a, 63));
	SAY(syscall(SYS_clone3, &a, 5000));
	SAY(syscall(SYS_clone3, 8, 64));
	SAY(unshare(1));
	SAY(unshare(0));
	SAY(unshare(CLONE_FILES | CLONE_FS | CLONE_SYSVSEM));
	SAY(unshare(CLONE_THREAD));
	SAY(unshare(CLONE_VM));
	SAY(unshare(CLONE_SIGHAND));
	int st, pid = IN_CHILD(if (setuid(1234)) _exit(9); SAY(unshare(CLONE_NEWNS)); SAY(unshare(CLONE_NEWIPC)); SAY(unshare(CLONE_NEWNET)); SAY(unshare(CLONE_NEWPID)); SAY(unshare(CLONE_NEWUTS)); SAY(cloned(CLONE_NEWNS | SIGCHLD)); SAY(cloned(CLONE_NEWNET | SIGCHLD)); C3(a.set_tid_size = 1; *(int *)stack = 30000; a.set_tid = (uintptr_t)stack));
	waitpid(pid, &st, 0);
	SAY(setns(0, 0));
	SAY(setns(99, 0));
	SAY(syscall(SYS_set_tid_address, 0) == gettid());
}

static void waits(void) {
	siginfo_t i;
	struct rusage ru;
	int st, pid, p2;
	puts("== wait");
	SAY(wait(&st));
	SAY(waitpid(-1, &st, WNOHANG));
	SAY(waitpid(INT_MIN, &st, 0));
	SAY(waitpid(-999999, &st, 0));
	SAY(waitpid(0, &st, 0));
	SAY(waitpid(-1, &st, 0x100));
	SAY(waitid(P_ALL, 0, &i, 0));
	SAY(waitid(P_ALL, 0, &i, WEXITED | 0x100));
	SAY(waitid(P_PID, 0, &i, WEXITED));
	SAY(waitid(P_PID, -1, &i, WEXITED));
	SAY(waitid(P_PGID, -1, &i, WEXITED));
	SAY(waitid(P_PIDFD, -1, &i, WEXITED));
	SAY(waitid(P_PIDFD, 99, &i, WEXITED));
	SAY(waitid(P_PIDFD, 0, &i, WEXITED));
	SAY(waitid(9, 0, &i, WEXITED));
	pid = IN_CHILD(_exit(300 & 255));
	memset(&i, 0, sizeof i);
	SAY(waitid(P_PID, pid, &i, WEXITED | WNOWAIT));
	printf("%d %d %d %d\n", i.si_signo, i.si_code, i.si_status, i.si_pid == pid);
	SAY(waitid(P_PID, pid, &i, WSTOPPED | WNOHANG));
	SAY(waitid(P_PID, pid, &i, WEXITED | WNOWAIT | WNOHANG));
	SAY(waitpid(pid, &st, WUNTRACED | WCONTINUED) == pid);
	printf("%x\n", st);
	SAY(waitpid(pid, &st, 0));
	pid = IN_CHILD(setpgid(0, 0); for (;;) pause());
	setpgid(pid, pid); // SIGTSTP does not stop orphaned groups
	SAY(waitpid(pid, &st, WNOHANG));
	memset(&i, 7, sizeof i);
	SAY(waitid(P_PID, pid, &i, WEXITED | WNOHANG));
	printf("%d %d\n", i.si_signo, i.si_pid);
	kill(pid, SIGSTOP);
	SAY(waitpid(pid, &st, WUNTRACED) == pid);
	printf("%x\n", st);
	SAY(waitpid(pid, &st, WUNTRACED | WNOHANG));
	kill(pid, SIGCONT);
	SAY(waitid(P_PID, pid, &i, WCONTINUED | WNOWAIT));
	printf("%d %d %d\n", i.si_signo, i.si_code, i.si_status);
	SAY(waitpid(pid, &st, WCONTINUED) == pid);
	printf("%x\n", st);
	SAY(waitpid(pid, &st, WCONTINUED | WNOHANG));
	kill(pid, SIGTSTP);
	SAY(waitid(P_PID, pid, &i, WSTOPPED | WNOWAIT));
	SAY(waitid(P_PID, pid, &i, WSTOPPED));
	printf("%d %d %d\n", i.si_signo, i.si_code, i.si_status);
	SAY(waitid(P_PID, pid, &i, WSTOPPED | WNOHANG));
	kill(pid, SIGKILL);
	SAY(waitid(P_ALL, 0, &i, WEXITED));
	printf("%d %d %d\n", i.si_signo, i.si_code, i.si_status);
	pid = cloned(0);
	SAY(waitpid(pid, &st, 0));
	SAY(waitpid(pid, &st, __WCLONE) == pid);
	pid = cloned(0);
	SAY(waitpid(-1, &st, __WALL) == pid);
	pid = cloned(SIGUSR1 * 0 | SIGURG);
	SAY(waitpid(-1, &st, WNOHANG));
	SAY(waitpid(-1, &st, __WCLONE) == pid);
	pid = IN_CHILD(_exit(1));
	SAY(waitpid(pid, &st, __WCLONE));
	SAY(waitpid(pid, &st, __WNOTHREAD) == pid);
	pid = IN_CHILD(setpgid(0, 0); for (;;) pause());
	setpgid(pid, pid);
	SAY(waitpid(0, &st, WNOHANG));
	SAY(waitpid(-pid, &st, WNOHANG));
	SAY(waitid(P_PGID, pid, &i, WEXITED | WNOHANG));
	int fd = syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = {fd, POLLIN};
	SAY(poll(&p, 1, 0));
	SAY(syscall(SYS_pidfd_send_signal, fd, 0, 0, 0));
	SAY(syscall(SYS_pidfd_send_signal, fd, 65, 0, 0));
	SAY(syscall(SYS_pidfd_send_signal, fd, SIGTERM, 0, 1 << 9));
	SAY(waitid(P_PIDFD, fd, &i, WEXITED | WNOHANG));
	SAY(syscall(SYS_pidfd_send_signal, fd, SIGTERM, 0, 0));
	SAY(waitid(P_PIDFD, fd, &i, WEXITED));
	printf("%d %d\n", i.si_code, i.si_status);
	SAY(poll(&p, 1, 0));
	SAY(waitid(P_PIDFD, fd, &i, WEXITED));
	SAY(syscall(SYS_pidfd_send_signal, fd, 0, 0, 0));
	close(fd);
	SAY(syscall(SYS_pidfd_open, pid, 0));
	SAY(syscall(SYS_pidfd_open, -1, 0));
	SAY(syscall(SYS_pidfd_open, getpid(), 1));
	pid = IN_CHILD(naps(30));
	fd = syscall(SYS_pidfd_open, pid, O_NONBLOCK);
	SAY(waitid(P_PIDFD, fd, &i, WEXITED));
	close(fd);
	SAY(wait4(pid, &st, 0, &ru) == pid);
	OK(ru.ru_maxrss > 0);
	SAY(wait4(-1, 0, 0, (void *)8));
	signal(SIGCHLD, SIG_IGN);
	pid = IN_CHILD(_exit(2));
	SAY(waitpid(pid, &st, 0));
	struct sigaction sa = {.sa_handler = nothing, .sa_flags = SA_NOCLDWAIT};
	sigaction(SIGCHLD, &sa, 0);
	pid = IN_CHILD(_exit(2));
	do errno = 0; while (waitpid(pid, &st, 0) < 0 && errno == EINTR);
	printf("nocldwait %s\n", strerrorname_np(errno));
	signal(SIGCHLD, SIG_DFL);
	pid = IN_CHILD(abort());
	SAY(waitpid(pid, &st, 0) == pid);
	printf("%x\n", st & ~0x80);
}

static void execs(char *self) {
	puts("== exec");
	char *big = malloc(3 << 20), *args[70], *env[] = {NULL};
	int st, pid;
	memset(big, 'x', 3 << 20);
	args[0] = "true", args[1] = big, args[2] = NULL;
	big[131071] = 0;
	pid = IN_CHILD(execve("/bin/true", args, env); _exit(errno));
	waitpid(pid, &st, 0);
	printf("131071: %x\n", st);
	big[131071] = 'x', big[131072] = 0;
	SAY(execve("/bin/true", args, env));
	big[131072] = 'x', big[100000] = 0;
	for (int k = 1; k < 64; k++) args[k] = big;
	args[64] = NULL;
	SAY(execve("/bin/true", args, env));
	args[19] = NULL; // 1.8 MB of 2
	pid = IN_CHILD(execve("/bin/true", args, env); _exit(errno));
	waitpid(pid, &st, 0);
	printf("1.8 MB: %x\n", st);
	args[19] = args[21] = big, args[22] = NULL;
	SAY(execve("/bin/true", args, env));
	pid = IN_CHILD(struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY}; setrlimit(RLIMIT_STACK, &r); args[21] = big; args[55] = NULL; execve("/bin/true", args, env); _exit(errno));
	waitpid(pid, &st, 0);
	printf("5.4 MB unlimited: %x\n", st);
	pid = IN_CHILD(struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY}; setrlimit(RLIMIT_STACK, &r); for (int k = 20; k < 64; k++) args[k] = big; args[64] = NULL; execve("/bin/true", args, env); _exit(errno));
	waitpid(pid, &st, 0);
	printf("6.3 MB unlimited: %x\n", st);
	pid = IN_CHILD(struct rlimit r = {200000, RLIM_INFINITY}; setrlimit(RLIMIT_STACK, &r); args[2] = NULL; execve("/bin/true", args, env); _exit(errno));
	waitpid(pid, &st, 0);
	printf("100 KB of a small stack: %x\n", st);
	SAY(execve("/nonexistent", args, env));
	SAY(execve("/etc/passwd", args, env));
	SAY(execve("/etc", args, env));
	SAY(execve("/etc/passwd/x", args, env));
	SAY(execve("", args, env));
	SAY(execve((void *)8, args, env));
	SAY(execve("/bin/true", (void *)8, env));
	pid = IN_CHILD(SAY(syscall(SYS_execve, "/bin/true", NULL, NULL)); _exit(1));
	waitpid(pid, &st, 0);
	printf("no arguments: %x\n", st);
	args[1] = NULL;
	int fd = open("/bin/true", O_RDONLY | O_CLOEXEC), path = open("/bin/true", O_PATH), dir = open("/bin", O_RDONLY | O_DIRECTORY);
#define AT(dirfd, name, flags) do { int p_ = IN_CHILD(syscall(SYS_execveat, dirfd, name, args, env, flags); _exit(errno)); waitpid(p_, &st, 0); printf("execveat %s %s %s: %s %x\n", #dirfd, #name, #flags, WEXITSTATUS(st) ? strerrorname_np(WEXITSTATUS(st)) : "", WTERMSIG(st)); } while (0)
	AT(fd, "", AT_EMPTY_PATH);
	AT(path, "", AT_EMPTY_PATH);
	AT(fd, "", 0);
	AT(dir, "true", 0);
	AT(dir, "true", 4);
	AT(dir, "nothing", 0);
	AT(fd, "true", 0);
	AT(99, "true", 0);
	AT(99, "/bin/true", 0);
	AT(dir, "", AT_EMPTY_PATH);
	symlink("/bin/true", "/tmp/link-to-true");
	AT(AT_FDCWD, "/tmp/link-to-true", 0);
	AT(AT_FDCWD, "/tmp/link-to-true", AT_SYMLINK_NOFOLLOW);
	unlink("/tmp/link-to-true");
	FILE *f = fopen("/tmp/script", "w");
	fputs("#!/bin/sh\necho script $#\n", f);
	fclose(f);
	AT(AT_FDCWD, "/tmp/script", 0);
	chmod("/tmp/script", 0755);
	AT(AT_FDCWD, "/tmp/script", 0);
	int s1 = open("/tmp/script", O_RDONLY), s2 = open("/tmp/script", O_RDONLY | O_CLOEXEC);
	AT(s1, "", AT_EMPTY_PATH);
	AT(s2, "", AT_EMPTY_PATH);
	int w = open("/tmp/script", O_RDWR);
	AT(AT_FDCWD, "/tmp/script", 0);
	close(w);
	f = fopen("/tmp/script", "w");
	fputs("#!", f); for (int k = 0; k < 300; k++) fputc('a', f); fclose(f);
	AT(AT_FDCWD, "/tmp/script", 0);
	f = fopen("/tmp/script", "w"); fputs("#!/tmp/script\n", f); fclose(f);
	AT(AT_FDCWD, "/tmp/script", 0);
	f = fopen("/tmp/script", "w"); fputs("#!   \n", f); fclose(f);
	AT(AT_FDCWD, "/tmp/script", 0);
	f = fopen("/tmp/script", "w"); fputs("#!/nonexistent -x\n", f); fclose(f);
	AT(AT_FDCWD, "/tmp/script", 0);
	f = fopen("/tmp/script", "w"); fputs("\177ELF", f); fclose(f);
	AT(AT_FDCWD, "/tmp/script", 0);
	f = fopen("/tmp/script", "w"); fclose(f);
	AT(AT_FDCWD, "/tmp/script", 0);
	unlink("/tmp/script");
	SAY(syscall(SYS_execveat, AT_FDCWD, "/bin/true", args, env, 0x4000));
	// what an exec keeps and what it resets
	pid = IN_CHILD(signal(SIGUSR1, SIG_IGN); signal(SIGUSR2, nothing); sigset_t m; sigemptyset(&m); sigaddset(&m, SIGHUP); sigprocmask(SIG_SETMASK, &m, 0); alarm(100); umask(5); prctl(PR_SET_PDEATHSIG, SIGURG); prctl(PR_SET_NAME, "renamed"); prctl(PR_SET_DUMPABLE, 0); prctl(PR_SET_TIMERSLACK, 777); prctl(PR_SET_CHILD_SUBREAPER, 1); prctl(PR_SET_KEEPCAPS, 1); struct itimerval iv = {{0}, {9, 0}}; setitimer(ITIMER_VIRTUAL, &iv, 0); nice(3); timer_t t; timer_create(CLOCK_REALTIME, 0, &t); execl(self, self, "inherited", NULL));
	waitpid(pid, &st, 0);
	printf("%x\n", st);
}

static void inherited(void) {
	struct sigaction a;
	sigset_t m;
	char name[17] = "";
	int v = -1;
	sigaction(SIGUSR1, 0, &a);
	printf("ignored %d ", a.sa_handler == SIG_IGN);
	sigaction(SIGUSR2, 0, &a);
	printf("caught %d ", a.sa_handler == SIG_DFL);
	sigprocmask(0, 0, &m);
	printf("blocked %d alarm %d umask %o ", sigismember(&m, SIGHUP), alarm(0) > 90, umask(0));
	prctl(PR_GET_PDEATHSIG, &v);
	printf("pdeathsig %d ", v);
	prctl(PR_GET_NAME, name);
	prctl(PR_GET_CHILD_SUBREAPER, &v);
	printf("name %s dumpable %d slack %d subreaper %d keepcaps %d ", name, prctl(PR_GET_DUMPABLE), prctl(PR_GET_TIMERSLACK), v, prctl(PR_GET_KEEPCAPS));
	struct itimerval iv;
	getitimer(ITIMER_VIRTUAL, &iv);
	printf("virtual %d nice %d timer %d\n", iv.it_value.tv_sec > 7, nice(0), syscall(SYS_timer_delete, 0) == -1);
}

static void families(void) {
	puts("== families");
	int st, pid, p[2];
	char b[64];
	pipe(p);
	// a parent's death, and adoption by a subreaper
	signal(SIGUSR1, SIG_DFL);
	pid = IN_CHILD(
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		int mid = fork();
		if (!mid) {
			if (!fork()) {
				prctl(PR_SET_PDEATHSIG, SIGUSR1);
				sigset_t m; sigemptyset(&m); sigaddset(&m, SIGUSR1); sigprocmask(SIG_BLOCK, &m, 0);
				write(p[1], "r", 1);
				int s; sigwait(&m, &s);
				int n = sprintf(b, "%d %d", s == SIGUSR1, getppid() == pid);
				_exit(5);
			}
			read(p[0], b, 1);
			_exit(6);
		}
		int a = waitpid(mid, &st, 0) == mid ? WEXITSTATUS(st) : -1;
		int s2; int g = wait(&s2);
		printf("first %d, adopted %d %d\n", a, g > 0, WEXITSTATUS(s2)));
	waitpid(pid, &st, 0);
	SAY(prctl(PR_SET_PDEATHSIG, 65));
	SAY(prctl(PR_SET_PDEATHSIG, -1));
	int v = 5;
	SAY(prctl(PR_GET_PDEATHSIG, 8));
	SAY(prctl(PR_SET_CHILD_SUBREAPER, 9));
	SAY(prctl(PR_GET_CHILD_SUBREAPER, &v));
	printf("%d\n", v);
	SAY(prctl(PR_SET_CHILD_SUBREAPER, 0));
	// sessions and groups
	pid = IN_CHILD(
		SAY(setsid() == getpid()); SAY(setsid()); SAY(setpgid(0, 0)); SAY(getsid(0) == getpid()); SAY(getpgid(99999)); SAY(getsid(99999));
		SAY(setpgid(0, 99999)); SAY(setpgid(99999, 0)); SAY(setpgid(0, -1)); SAY(setpgid(1, 0)); SAY(getpgid(-1)));
	waitpid(pid, &st, 0);
	int x[2], y[2];
	pipe2(x, O_CLOEXEC);
	pipe2(y, O_CLOEXEC);
	pid = IN_CHILD(read(y[0], b, 1); execl("/bin/sleep", "sleep", "1", NULL));
	SAY(setpgid(pid, pid));
	write(y[1], "g", 1);
	close(x[1]);
	read(x[0], b, 1); // until it has executed
	SAY(setpgid(pid, getpgrp()));
	kill(pid, SIGKILL);
	waitpid(pid, &st, 0);
	// memory of others
	static char mine[8192], theirs[8192];
	strcpy(theirs, "of the child");
	int q[2];
	pipe(q);
	pid = IN_CHILD(strcpy(theirs, "changed by the child"); write(p[1], "r", 1); read(q[0], b, 1); printf("child has %s\n", theirs));
	read(p[0], b, 1);
	struct iovec l[2] = {{mine, 5}, {mine + 5, 4000}}, r[2] = {{theirs, 10}, {theirs + 10, 100}};
	SAY(process_vm_readv(pid, l, 2, r, 2, 0));
	puts(mine);
	strcpy(mine, "written by the parent");
	SAY(process_vm_writev(pid, l, 2, r, 1, 0));
	SAY(process_vm_readv(pid, l, 2, r, 2, 1));
	SAY(process_vm_readv(99999, l, 1, r, 1, 0));
	SAY(process_vm_readv(pid, l, 1, r, 1025, 0));
	SAY(process_vm_readv(pid, l, 0, r, 1, 0));
	r[0].iov_base = (void *)8;
	SAY(process_vm_readv(pid, l, 1, r, 1, 0));
	r[0] = (struct iovec){theirs, 10}, r[1] = (struct iovec){(void *)8, 10};
	SAY(process_vm_readv(pid, l, 2, r, 2, 0));
	r[0].iov_len = -1;
	SAY(process_vm_readv(pid, l, 1, r, 1, 0));
	SAY(process_vm_readv(pid, (void *)8, 1, r, 1, 0));
	// kcmp and pidfd_getfd
	int fd = syscall(SYS_pidfd_open, pid, 0);
	int got = syscall(SYS_pidfd_getfd, fd, q[0], 0);
	OK(got >= 0);
	SAY(fcntl(got, F_GETFD));
	SAY(syscall(SYS_kcmp, getpid(), pid, KCMP_FILE, q[0], q[0]));
	SAY(syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, got, q[0]));
	OK(syscall(SYS_kcmp, getpid(), pid, KCMP_FILE, q[0], q[1]) > 0);
	SAY(syscall(SYS_kcmp, getpid(), pid, KCMP_FILE, 99, q[1]));
	OK(syscall(SYS_kcmp, getpid(), pid, KCMP_VM, 0, 0) > 0);
	SAY(syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0));
	OK(syscall(SYS_kcmp, getpid(), pid, KCMP_FILES, 0, 0) > 0);
	OK(syscall(SYS_kcmp, getpid(), pid, KCMP_FS, 0, 0) > 0);
	OK(syscall(SYS_kcmp, getpid(), pid, KCMP_SIGHAND, 0, 0) > 0);
	SAY(syscall(SYS_kcmp, getpid(), pid, KCMP_SYSVSEM, 0, 0) >= 0);
	SAY(syscall(SYS_kcmp, getpid(), pid, 99, 0, 0));
	SAY(syscall(SYS_kcmp, getpid(), 99999, KCMP_VM, 0, 0));
	SAY(syscall(SYS_pidfd_getfd, fd, 99, 0));
	SAY(syscall(SYS_pidfd_getfd, fd, 0, 1));
	SAY(syscall(SYS_pidfd_getfd, 0, 0, 0));
	struct iovec adv = {theirs, 4096};
	SAY(syscall(SYS_process_madvise, fd, &adv, 1, MADV_DONTNEED, 0));
	SAY(syscall(SYS_process_madvise, fd, &adv, 1, MADV_COLD, 1));
	SAY(syscall(SYS_process_madvise, 99, &adv, 1, MADV_COLD, 0));
	SAY(syscall(SYS_process_mrelease, fd, 1));
	SAY(syscall(SYS_process_mrelease, 99, 0));
	SAY(syscall(SYS_process_mrelease, fd, 0));
	int other = IN_CHILD(if (setgid(1234) || setuid(1234)) _exit(1); SAY(process_vm_readv(pid, l, 1, r, 1, 0)); SAY(syscall(SYS_pidfd_getfd, fd, 0, 0)); SAY(syscall(SYS_kcmp, getpid(), pid, KCMP_VM, 0, 0)); SAY(kill(pid, 0)); SAY(kill(1, 0)); SAY(syscall(SYS_pidfd_send_signal, fd, 0, 0, 0)); SAY(getpriority(PRIO_PROCESS, pid)); SAY(setpriority(PRIO_PROCESS, pid, 1)); cpu_set_t c; CPU_ZERO(&c); CPU_SET(0, &c); SAY(sched_setaffinity(pid, sizeof c, &c)); struct rlimit rl; SAY(prlimit(pid, RLIMIT_NOFILE, 0, &rl)); struct sched_param sp = {0}; SAY(sched_setscheduler(pid, SCHED_BATCH, &sp)); SAY(sched_setscheduler(0, SCHED_BATCH, &sp)); SAY(setpriority(PRIO_PROCESS, 0, -1)); SAY(nice(2)); SAY(nice(-1)));
	waitpid(other, &st, 0);
	write(q[1], "g", 1);
	waitpid(pid, &st, 0);
}

static void controls(void) {
	puts("== prctl");
	int v;
	char name[20] = "a name that is too long";
	SAY(prctl(PR_SET_NAME, "a name that is too long"));
	SAY(prctl(PR_GET_NAME, name));
	puts(name);
	SAY(prctl(PR_SET_NAME, 8));
	SAY(prctl(PR_SET_NAME, "process"));
	SAY(prctl(PR_GET_DUMPABLE));
	SAY(prctl(PR_SET_DUMPABLE, 2));
	SAY(prctl(PR_SET_DUMPABLE, 0));
	SAY(prctl(PR_GET_DUMPABLE));
	SAY(prctl(PR_SET_DUMPABLE, 1));
	SAY(prctl(PR_SET_KEEPCAPS, 2));
	SAY(prctl(PR_SET_TIMERSLACK, 123));
	SAY(prctl(PR_GET_TIMERSLACK));
	SAY(prctl(PR_SET_TIMERSLACK, 0));
	SAY(prctl(PR_GET_TIMERSLACK));
	SAY(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
	SAY(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
	SAY(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
	SAY(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	SAY(prctl(PR_GET_TIMING));
	SAY(prctl(PR_SET_TIMING, 1));
	SAY(prctl(PR_SET_TIMING, 0));
	SAY(prctl(PR_SET_FPEMU, 0));
	SAY(prctl(PR_GET_ENDIAN, &v));
	SAY(prctl(PR_SET_UNALIGN, 0));
	SAY(prctl(PR_GET_TSC, &v));
	SAY(prctl(PR_SET_TSC, 5));
	SAY(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0));
	SAY(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
	SAY(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, 9, 0, 0));
	SAY(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0));
	SAY(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_DEFAULT, 0, 0));
	SAY(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 1, 0, 0));
	SAY(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	SAY(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	SAY(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
	SAY(prctl(PR_CAPBSET_READ, 0));
	SAY(prctl(PR_CAPBSET_READ, 63));
	SAY(prctl(PR_CAPBSET_READ, 64));
	SAY(prctl(PR_CAPBSET_DROP, 64));
	SAY(prctl(PR_GET_SECUREBITS));
	SAY(prctl(PR_SET_SECUREBITS, 1 << 12));
	SAY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0));
	SAY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 1, 0));
	SAY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0));
	SAY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, 0, 0, 0));
	SAY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0));
	SAY(prctl(PR_CAP_AMBIENT, 9, 0, 0, 0));
	SAY(prctl(PR_SET_PTRACER, 99999, 0, 0, 0));
	SAY(prctl(PR_TASK_PERF_EVENTS_DISABLE));
	SAY(prctl(PR_SVE_GET_VL));
	SAY(prctl(PR_PAC_RESET_KEYS, 0, 0, 0, 0));
	SAY(prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0));
	SAY(prctl(PR_SCHED_CORE, 99, 0, 0, 0));
	SAY(prctl(-1, 0, 0, 0, 0));
	SAY(prctl(9999, 0, 0, 0, 0));
	SAY(syscall(SYS_personality, 0xffffffff));
	SAY(syscall(SYS_arch_prctl, 0x9999, 0));
}

static void *thread(void *p) {
	*(int *)p = gettid();
	for (;;) pause();
}

static void signals(void) {
	puts("== signals");
	siginfo_t i = {.si_code = SI_QUEUE};
	int st, tid = 0;
	volatile int *t = &tid;
	pthread_t th;
	sigset_t m;
	sigemptyset(&m);
	sigaddset(&m, SIGUSR1);
	sigaddset(&m, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &m, 0);
	pthread_create(&th, 0, thread, &tid);
	while (!*t) naps(1);
	int pid = IN_CHILD(for (;;) pause());
#define Q(pid, code, sig) do { i.si_code = code; i.si_signo = 0; SAY(syscall(SYS_rt_sigqueueinfo, pid, sig, &i)); } while (0)
	Q(pid, SI_USER, 0);
	Q(pid, SI_KERNEL, 0);
	Q(pid, SI_TKILL, 0);
	Q(pid, SI_QUEUE, 0);
	Q(pid, SI_MESGQ, 0);
	Q(pid, SI_QUEUE, 65);
	Q(99999, SI_QUEUE, 0);
	Q(-1, SI_QUEUE, 0);
	Q(0, SI_QUEUE, 0);
	Q(getpid(), SI_USER, SIGUSR1);
	Q(getpid(), SI_TKILL, SIGRTMIN);
	SAY(syscall(SYS_rt_sigqueueinfo, pid, 0, 8));
#define TQ(pid, tid, code, sig) do { i.si_code = code; SAY(syscall(SYS_rt_tgsigqueueinfo, pid, tid, sig, &i)); } while (0)
	TQ(getpid(), tid, SI_USER, 0);
	TQ(getpid(), tid, SI_TKILL, 0);
	TQ(getpid(), tid, SI_QUEUE, SIGUSR1);
	TQ(getpid(), getpid(), SI_USER, 0);
	TQ(pid, tid, SI_QUEUE, 0);
	TQ(0, tid, SI_QUEUE, 0);
	TQ(getpid(), 0, SI_QUEUE, 0);
	TQ(pid, pid, SI_QUEUE, 99);
	SAY(syscall(SYS_tkill, 0, 0));
	SAY(syscall(SYS_tkill, 99999, 0));
	SAY(syscall(SYS_tgkill, pid, tid, 0));
	SAY(syscall(SYS_tgkill, -1, pid, 0));
	SAY(kill(99999, 0));
	SAY(kill(-99999, 0));
	SAY(kill(pid, -1));
	SAY(kill(pid, 65));
	SAY(kill(INT_MIN, 0));
	kill(pid, SIGKILL);
	naps(20);
	SAY(kill(pid, 0));
	SAY(kill(pid, SIGTERM));
	waitpid(pid, &st, 0);
	SAY(kill(pid, 0));
	int r;
	struct timespec z = {0, 0};
	while ((r = sigtimedwait(&m, &i, &z)) > 0)
		printf("pending %d code %d\n", r == SIGUSR1, i.si_code);
}

int main(int argc, char **argv) {
	if (argc > 1) { inherited(); return 0; }
	setvbuf(stdout, 0, _IOLBF, 0);
	char self[4096] = "";
	readlink("/proc/self/exe", self, 4095);
	clones();
	waits();
	execs(self);
	families();
	controls();
	signals();
	return 0;
}
