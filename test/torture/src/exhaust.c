// Takes one kind of kernel object without end, until a call fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int epolls(void) { return epoll_create1(0); }

static int sockets(void) {
	static char data[65536];
	int s[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s))
		return -1;
	fcntl(s[0], F_SETFL, O_NONBLOCK);
	while (write(s[0], data, sizeof data) > 0)
		;
	return 0;
}

// rings makes the tables of pipes large, not their contents.
static int rings(void) {
	int p[2];
	return pipe(p) ? -1 : fcntl(p[0], F_SETPIPE_SZ, 1 << 30);
}

static int maps(void) {
	char *p = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? -1 : munmap(p + 4096, 4096);
}

static int tables(void) {
	if (dup2(0, (1 << 20) - 1) < 0)
		return -1;
	return fork() ? 0 : pause();
}

static int locks(void) {
	static int fd, n;
	if (n++ % 100 == 0) // each look goes through all of a file
		fd = memfd_create("locks", 0);
	struct flock l = {.l_type = F_WRLCK, .l_start = 2 * n, .l_len = 1};
	return fcntl(fd, F_SETLK, &l);
}

static int watches(void) {
	static int in = -1, n;
	char name[40];
	if (in < 0)
		in = inotify_init();
	sprintf(name, "/dev/shm/%d", n++);
	close(open(name, O_CREAT | O_RDWR, 0600));
	return inotify_add_watch(in, name, IN_ALL_EVENTS);
}

static int events(void) { // each instance watches many, each file has many watchers
	static int ep, n, files[512];
	if (!n)
		for (int k = 0; k < 512; k++)
			files[k] = eventfd(0, 0);
	if (n++ % 512 == 0)
		ep = epoll_create1(0);
	struct epoll_event e = {EPOLLIN};
	return ep < 0 ? -1 : epoll_ctl(ep, EPOLL_CTL_ADD, files[n % 512], &e);
}

static int signals(void) {
	sigset_t m;
	sigfillset(&m);
	sigprocmask(SIG_BLOCK, &m, 0);
	setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){1 << 30, 1 << 30});
	return sigqueue(getpid(), SIGRTMIN, (union sigval){0});
}

static int timers(void) {
	timer_t t;
	setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){1 << 30, 1 << 30});
	return timer_create(CLOCK_MONOTONIC, 0, &t);
}

static int messages(void) {
	static char m[8200] = {1};
	int q = msgget(IPC_PRIVATE, 0600);
	return q < 0 || msgsnd(q, m, 8192, IPC_NOWAIT) ? -1 : msgsnd(q, m, 8192, IPC_NOWAIT);
}

static int semaphores(void) {
	int s = semget(IPC_PRIVATE, 32000, 0600);
	return s < 0 ? -1 : semop(s, &(struct sembuf){0, 1, SEM_UNDO}, 1);
}

static int segments(void) {
	int s = shmget(IPC_PRIVATE, 1 << 20, 0600);
	return s < 0 || shmat(s, 0, 0) == (void *)-1 ? -1 : 0;
}

static int queues(void) {
	static int n;
	char name[40], text[8192];
	setrlimit(RLIMIT_MSGQUEUE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
	sprintf(name, "/q%d", n++);
	int q = mq_open(name, O_CREAT | O_RDWR, 0600, 0);
	for (int k = 0; q >= 0 && k < 10; k++)
		if (mq_send(q, text, sizeof text, 0))
			return -1;
	return q;
}

int main(int argc, char **argv) {
	static const struct {
		const char *name;
		int (*take)(void);
	} kinds[] = {{"epolls", epolls}, {"sockets", sockets}, {"rings", rings}, {"maps", maps}, {"tables", tables}, {"locks", locks}, {"watches", watches}, {"events", events}, {"signals", signals}, {"timers", timers}, {"messages", messages}, {"semaphores", semaphores}, {"segments", segments}, {"queues", queues}};
	struct rlimit most = {1 << 20, 1 << 20};
	setrlimit(RLIMIT_NOFILE, &most);
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		if (argc < 2 || strcmp(kinds[k].name, argv[1]))
			continue;
		int n = 0;
		while (n < 200000 && kinds[k].take() >= 0)
			n++;
		printf("after %d, refused: %s\n", n, strerror(errno));
		return 0;
	}
	return 1;
}
