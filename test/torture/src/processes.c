// processes SECONDS SEED: processes that fork, execute, create threads, wait
// for, stop, continue, trace and kill each other, map memory and open files at
// random. In the end the first process kills and collects them all, and prints
// what is left: of processes, and of what the kernel counts.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 6, DEPTH = 3 };

static uint64_t state;
static char *self;
static volatile int *shared; // [0]: going on, [1]: a futex

static unsigned rnd(unsigned n) {
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 16) % n;
}

static void handler(int sig) {}

static void *wakes(void *rounds) {
	for (long i = 0; i < (long)rounds; i++) {
		if (i % 3 == 0)
			sched_yield();
		else if (i % 3 == 1)
			usleep(10);
		else
			syscall(SYS_futex, shared + 1, FUTEX_WAKE, 1, 0, 0, 0);
	}
	return 0;
}

static void *waits(void *arg) {
	struct timespec ms = {0, 1000000};
	do
		syscall(SYS_futex, shared + 1, FUTEX_WAIT, 0, &ms, 0, 0);
	while (rnd(8));
	if (rnd(5) == 0)
		_exit(1);
	return 0;
}

static void act(int depth);

static void child(int depth) {
	pthread_t t;
	state ^= getpid() * 0x9e3779b97f4a7c15;
	for (int n = rnd(6); n > 0; n--)
		act(depth + 1);
	switch (rnd(8)) {
	case 0:
		abort();
	case 1:
		raise(SIGKILL);
	case 2:
		*(volatile int *)0 = 0;
	case 3:
		execl(self, self, "exit", NULL);
	case 4:
		pthread_create(&t, 0, wakes, (void *)5);
		pthread_exit(0);
	}
	_exit(rnd(256));
}

// files leaves some descriptors open, also such that are on their way through
// a socket.
static void files(void) {
	int a[2], b[2];
	char control[CMSG_SPACE(sizeof a)] = {0};
	struct iovec v = {"x", 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	if (pipe(a) || socketpair(AF_UNIX, SOCK_STREAM, 0, b))
		return;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof a);
	memcpy(CMSG_DATA(c), a, sizeof a);
	sendmsg(b[0], &m, MSG_DONTWAIT);
	dup2(a[0], 40 + rnd(20));
	open("/proc/self/maps", O_RDONLY);
	memfd_create("torture", 0);
	close(a[rnd(2)]);
	close(b[rnd(2)]);
	if (rnd(3) == 0)
		close_range(3, ~0U, 0);
}

// memory maps, splits, moves and unmaps.
static void memory(void) {
	int kind = rnd(2) ? MAP_PRIVATE : MAP_SHARED;
	char *m = mmap(0, 1 << 18, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		return;
	for (int i = 0; i < 1 << 18; i += 4096 * (1 + rnd(4)))
		m[i] = i;
	mprotect(m + (1 << 14), 1 << 15, rnd(2) ? PROT_READ : PROT_NONE);
	madvise(m + (1 << 17), 1 << 15, rnd(2) ? MADV_DONTNEED : MADV_FREE);
	if (rnd(3) == 0 && fork() == 0) {
		for (int i = 0; i < 1 << 14; i += 4096)
			m[i]++;
		_exit(0);
	}
	void *n = mremap(m, 1 << 14, 1 << (12 + rnd(6)), rnd(2) ? MREMAP_MAYMOVE : 0);
	if (n != MAP_FAILED && n != m)
		munmap(n, 1 << 18);
	munmap(m, 1 << 18);
}

// trace attaches to some process, looks around and lets go, or does not.
static void trace(pid_t pid) {
	struct timespec ms = {0, 1000000};
	int status;

	if (pid <= 1 || ptrace(rnd(2) ? PTRACE_ATTACH : PTRACE_SEIZE, pid, 0, rnd(2) ? PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXEC : 0))
		return;
	ptrace(PTRACE_INTERRUPT, pid, 0, 0);
	for (int i = 0; i < 5; i++) {
		if (waitpid(pid, &status, WNOHANG | __WALL) != pid) {
			nanosleep(&ms, 0);
			continue;
		}
		if (!WIFSTOPPED(status))
			return;
		ptrace(PTRACE_PEEKUSER, pid, 8 * rnd(27), 0);
		if (rnd(4) == 0)
			ptrace(PTRACE_DETACH, pid, 0, 0);
		else
			ptrace(rnd(2) ? PTRACE_SYSCALL : rnd(2) ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, 0, 0);
	}
	if (rnd(2))
		ptrace(PTRACE_DETACH, pid, 0, 0);
}

static void act(int depth) {
	static const int signals[] = {SIGUSR1, SIGUSR2, SIGSTOP, SIGCONT, SIGTERM, SIGALRM, SIGKILL, SIGCHLD, SIGTSTP};
	struct itimerval soon = {{0, 0}, {0, rnd(2000) + 1}};
	struct timespec shortly = {0, rnd(100000)};
	sigset_t set;
	siginfo_t info;
	pthread_t t;
	pid_t pid;
	char *m;
	int status;

	switch (rnd(20)) {
	case 0:
	case 1:
	case 2:
		if (depth < DEPTH && fork() == 0)
			child(depth);
		break;
	case 3:
		if (vfork() == 0) {
			execl(self, self, "exit", NULL);
			_exit(9);
		}
		break;
	case 4:
		waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED);
		break;
	case 5:
		waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WCONTINUED | WNOHANG | (rnd(2) ? WNOWAIT : 0));
		break;
	case 6:
		pid = getpid() - 60 + (int)rnd(120);
		if (shared[0] && pid > 1)
			kill(pid, signals[rnd(sizeof signals / sizeof *signals)]);
		break;
	case 7:
		pthread_create(&t, 0, wakes, (void *)(long)rnd(5));
		rnd(2) ? pthread_join(t, 0) : pthread_detach(t);
		break;
	case 8:
		pthread_create(&t, 0, waits, 0);
		pthread_detach(t);
		break;
	case 9:
		setitimer(ITIMER_REAL, &soon, 0);
		break;
	case 10:
		usleep(rnd(300));
		break;
	case 11:
		sigfillset(&set);
		sigdelset(&set, rnd(64) + 1);
		sigprocmask(rnd(3), &set, 0);
		break;
	case 12:
		m = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (m == MAP_FAILED)
			break;
		memset(m, 1, 65536);
		if (rnd(2))
			munmap(m, 65536);
		break;
	case 13:
		if (depth)
			setpgid(0, rnd(2) ? 0 : getppid());
		break;
	case 14:
		if (depth && rnd(4) == 0)
			setsid();
		break;
	case 15:
		sigemptyset(&set);
		sigaddset(&set, SIGUSR1);
		sigtimedwait(&set, 0, &shortly);
		break;
	case 17:
		if (depth)
			files();
		break;
	case 18:
		memory();
		break;
	case 19:
		if (depth)
			trace(getpid() - 60 + (int)rnd(120));
		break;
	case 16:
		prctl(PR_SET_PDEATHSIG, rnd(2) ? SIGTERM : 0);
		break;
	}
}

static void start(time_t end) {
	static int n;
	n++;
	if (fork() == 0) {
		state += n * 7919;
		while (time(0) < end)
			act(0);
		_exit(0);
	}
}

// counts are what the kernel says is in use.
struct counts {
	long files, anon, tables, shmem, committed, free;
};

static long field(const char *text, const char *name) {
	const char *at = strstr(text, name);
	return at ? atol(at + strlen(name)) : -1;
}

static struct counts count(void) {
	static char text[8192];
	struct counts c;
	int fd = open("/proc/sys/fs/file-nr", O_RDONLY);
	text[read(fd, text, sizeof text - 1)] = 0;
	c.files = atol(text);
	close(fd);
	fd = open("/proc/meminfo", O_RDONLY);
	text[read(fd, text, sizeof text - 1)] = 0;
	close(fd);
	c.anon = field(text, "\nAnonPages:");
	c.tables = field(text, "\nPageTables:");
	c.shmem = field(text, "\nShmem:");
	c.committed = field(text, "\nCommitted_AS:");
	c.free = field(text, "\nMemFree:");
	return c;
}

// leaked compares two counts; the first process itself may have touched a few
// pages more in between.
static int leaked(struct counts a, struct counts b) {
	fprintf(stderr, "files %ld → %ld, anonymous %ld → %ld kB, tables %ld → %ld kB, shared %ld → %ld kB, committed %ld → %ld kB, free %ld → %ld kB\n",
		a.files, b.files, a.anon, b.anon, a.tables, b.tables, a.shmem, b.shmem, a.committed, b.committed, a.free, b.free);
	return b.files != a.files || b.anon > a.anon + 256 || b.tables > a.tables + 32 || b.shmem > a.shmem || b.committed > a.committed + 1024 || b.free < a.free - 1024;
}

int main(int argc, char **argv) {
	if (argc < 3)
		return 7; // executed by a child
	self = argv[0];
	time_t end = time(0) + atoi(argv[1]);
	state = strtoull(argv[2], 0, 0) | 1;
	shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shared[0] = 1;
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
	sigaction(SIGUSR1, &sa, 0);
	sigaction(SIGUSR2, &sa, 0);
	sigaction(SIGALRM, &sa, 0);

	int collected = 0, status;
	count();
	struct counts before = count();
	for (int i = 0; i < WORKERS; i++)
		start(end);
	while (time(0) < end) {
		while (waitpid(-1, &status, WNOHANG) > 0) {
			collected++;
			start(end);
		}
		usleep(5000);
		if (rnd(8) == 0)
			kill(-1, SIGCONT);
		if (rnd(64) == 0) // tracers and traced may have come to a standstill
			kill(-1, SIGKILL);
	}
	shared[0] = 0;
	for (int i = 0; i < 40 || waitpid(-1, &status, WNOHANG) == 0; i++) {
		kill(-1, SIGKILL);
		while (waitpid(-1, &status, WNOHANG) > 0)
			collected++;
		usleep(5000);
	}
	int left = kill(-1, 0) == 0;
	pid_t last = fork();
	if (last == 0)
		_exit(0);
	waitpid(last, &status, 0);
	fprintf(stderr, "%d tasks, ", last);
	left |= leaked(before, count());
	printf("alive after %d children, %s left\n", collected, left ? "some" : "none");
	return 0;
}
