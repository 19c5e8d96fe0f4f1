// The measurements of "make bench": one static program that runs under husk
// and under Linux alike and prints a line "name value" for each. With QEMU's
// -icount shift=0 a nanosecond of CLOCK_MONOTONIC is one guest instruction, so
// the values are instructions an operation.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void must(int ok, const char *what) {
	if (!ok) {
		printf("%s: %s\n", what, strerror(errno));
		exit(1);
	}
}

// report prints the mean of n operations begun at start.
static void report(const char *name, uint64_t start, int n) {
	printf("%s %llu\n", name, (unsigned long long)((now() - start) / (uint64_t)n));
}

static void null_call(void) {
	enum { N = 20000 };
	syscall(SYS_getppid);
	uint64_t t = now();
	for (int i = 0; i < N; i++)
		syscall(SYS_getppid);
	report("null-call", t, N);
}

// Isolated faults: one page in each 64 KiB, in a scattered order, so that
// nothing can be fetched ahead.
static void fault_isolated(void) {
	enum { N = 1000, STRIDE = 65536 };
	char *p = mmap(0, (size_t)N * STRIDE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(p != MAP_FAILED, "mmap");
	madvise(p, (size_t)N * STRIDE, MADV_NOHUGEPAGE);
	uint64_t t = now();
	for (int i = 0; i < N; i++)
		p[(size_t)(i * 387 % N) * STRIDE] = 1;
	report("fault", t, N);
	munmap(p, (size_t)N * STRIDE);
}

static void fault_sequential(void) {
	enum { N = 20000 };
	char *p = mmap(0, (size_t)N * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(p != MAP_FAILED, "mmap");
	madvise(p, (size_t)N * 4096, MADV_NOHUGEPAGE);
	uint64_t t = now();
	for (int i = 0; i < N; i++)
		p[(size_t)i * 4096] = 1;
	report("fault-sequential", t, N);
	munmap(p, (size_t)N * 4096);
}

static void pipe_self(void) {
	enum { N = 5000 };
	int fd[2];
	char b[8] = "1234567";
	must(pipe(fd) == 0, "pipe");
	must(write(fd[1], b, 8) == 8 && read(fd[0], b, 8) == 8, "pipe");
	uint64_t t = now();
	for (int i = 0; i < N; i++)
		must(write(fd[1], b, 8) == 8 && read(fd[0], b, 8) == 8, "pipe");
	report("pipe", t, N);
	close(fd[0]);
	close(fd[1]);
}

static int ping[2], pong[2];

static void *answer(void *unused) {
	char c;
	while (read(ping[0], &c, 1) == 1)
		must(write(pong[1], &c, 1) == 1, "pong");
	return unused;
}

static void thread_pingpong(void) {
	enum { N = 2000 };
	pthread_t th;
	char c = 'x';
	must(pipe(ping) == 0 && pipe(pong) == 0, "pipe");
	must(pthread_create(&th, 0, answer, 0) == 0, "pthread_create");
	must(write(ping[1], &c, 1) == 1 && read(pong[0], &c, 1) == 1, "ping");
	uint64_t t = now();
	for (int i = 0; i < N; i++)
		must(write(ping[1], &c, 1) == 1 && read(pong[0], &c, 1) == 1, "ping");
	report("thread-pingpong", t, N);
	close(ping[1]);
	pthread_join(th, 0);
}

static void *nothing(void *unused) { return unused; }

static void thread_create(void) {
	enum { N = 500 };
	pthread_t th;
	must(pthread_create(&th, 0, nothing, 0) == 0, "pthread_create");
	pthread_join(th, 0);
	uint64_t t = now();
	for (int i = 0; i < N; i++) {
		must(pthread_create(&th, 0, nothing, 0) == 0, "pthread_create");
		pthread_join(th, 0);
	}
	report("pthread-create-join", t, N);
}

static void map_unmap(void) {
	enum { N = 2000, SIZE = 16384 };
	uint64_t t = now();
	for (int i = 0; i < N; i++) {
		char *p = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(p != MAP_FAILED, "mmap");
		p[0] = 1;
		munmap(p, SIZE);
	}
	report("mmap-munmap", t, N);
}

static void files(void) {
	enum { N = 3000 };
	static char b[4096];
	struct stat st;
	mkdir("/tmp", 0777);
	mkdir("/tmp/husk-bench", 0777);
	int fd = open("/tmp/husk-bench/file", O_RDWR | O_CREAT | O_TRUNC, 0600);
	must(fd >= 0, "/tmp/husk-bench/file");
	must(write(fd, b, sizeof b) == sizeof b && pread(fd, b, sizeof b, 0) == sizeof b, "file");
	uint64_t t = now();
	for (int i = 0; i < N; i++)
		must(pread(fd, b, sizeof b, 0) == sizeof b, "pread");
	report("pread-4k", t, N);
	must(stat("/tmp/husk-bench/file", &st) == 0, "stat");
	t = now();
	for (int i = 0; i < N; i++)
		must(stat("/tmp/husk-bench/file", &st) == 0, "stat");
	report("stat", t, N);
	t = now();
	for (int i = 0; i < N; i++) {
		int f = open("/tmp/husk-bench/file", O_RDONLY);
		must(f >= 0 && close(f) == 0, "open");
	}
	report("open-close", t, N);
	close(fd);
	unlink("/tmp/husk-bench/file");
}

static void clock_read(void) {
	enum { N = 20000 };
	uint64_t t = now();
	for (int i = 0; i < N; i++)
		now();
	report("clock-gettime", t, N);
}

static void epoll_poll(void) {
	enum { N = 5000 };
	struct epoll_event ev = {.events = EPOLLIN};
	int ep = epoll_create1(0), fd[2];
	must(ep >= 0 && pipe(fd) == 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &ev) == 0, "epoll");
	epoll_wait(ep, &ev, 1, 0);
	uint64_t t = now();
	for (int i = 0; i < N; i++)
		must(epoll_wait(ep, &ev, 1, 0) == 0, "epoll_wait");
	report("epoll-wait", t, N);
}

// Two ends of a connection, by one family or the other, and a thread at the
// far one that sends back what comes in pieces of 64 bytes.
static int near, far;

static void connect_ends(int family, int type) {
	if (family == AF_UNIX) {
		int s[2];
		must(socketpair(AF_UNIX, type, 0, s) == 0, "socketpair");
		near = s[0], far = s[1];
		return;
	}
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof a;
	int l = socket(AF_INET, type, 0);
	must(bind(l, (void *)&a, n) == 0 && getsockname(l, (void *)&a, &n) == 0, "bind");
	near = socket(AF_INET, type, 0);
	if (type == SOCK_STREAM) {
		must(listen(l, 1) == 0 && connect(near, (void *)&a, n) == 0, "connect");
		far = accept(l, 0, 0);
		close(l);
	} else {
		must(connect(near, (void *)&a, n) == 0 && getsockname(near, (void *)&a, &n) == 0, "connect");
		must(connect(l, (void *)&a, n) == 0, "connect back");
		far = l;
	}
	must(far >= 0, "accept");
}

static void *echo(void *unused) {
	char b[64];
	ssize_t n;
	while ((n = recv(far, b, sizeof b, 0)) > 0) must(send(far, b, n, 0) == n, "echo");
	return unused;
}

static void round_trip(const char *name, int family, int type) {
	enum { N = 2000 };
	pthread_t th;
	char b[64] = {1};
	connect_ends(family, type);
	must(pthread_create(&th, 0, echo, 0) == 0, "pthread_create");
	uint64_t t = 0;
	for (int i = -10; i < N; i++) {
		if (i == 0) t = now();
		must(send(near, b, sizeof b, 0) == sizeof b && recv(near, b, sizeof b, 0) == sizeof b, "round trip");
	}
	report(name, t, N);
	if (type == SOCK_STREAM)
		close(near);
	else
		send(near, b, 0, 0);
	pthread_join(th, 0);
	close(near);
	close(far);
}

static void *drain(void *unused) {
	static char b[65536];
	while (recv(far, b, sizeof b, 0) > 0) {}
	return unused;
}

// bulk measures a mebibyte sent and received in pieces of 64 KiB.
static void bulk(const char *name, int family) {
	enum { N = 32, PIECE = 65536 };
	static char b[PIECE];
	pthread_t th;
	connect_ends(family, SOCK_STREAM);
	must(pthread_create(&th, 0, drain, 0) == 0, "pthread_create");
	must(send(near, b, PIECE, 0) == PIECE, "send");
	uint64_t t = now();
	for (int i = 0; i < N * (1 << 20) / PIECE; i++) must(send(near, b, PIECE, 0) == PIECE, "send");
	shutdown(near, SHUT_WR);
	pthread_join(th, 0);
	report(name, t, N);
	close(near);
	close(far);
}

static void tcp_connections(void) {
	enum { N = 500 };
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0);
	must(bind(l, (void *)&a, n) == 0 && getsockname(l, (void *)&a, &n) == 0 && listen(l, 5) == 0, "listen");
	uint64_t t = 0;
	for (int i = -10; i < N; i++) {
		if (i == 0) t = now();
		int c = socket(AF_INET, SOCK_STREAM, 0);
		must(connect(c, (void *)&a, n) == 0, "connect");
		int s = accept(l, 0, 0);
		must(s >= 0, "accept");
		close(c);
		close(s);
	}
	report("tcp-connect", t, N);
	close(l);
}

static void sockets(void) {
	round_trip("unix-roundtrip", AF_UNIX, SOCK_STREAM);
	round_trip("tcp-roundtrip", AF_INET, SOCK_STREAM);
	round_trip("udp-roundtrip", AF_INET, SOCK_DGRAM);
	tcp_connections();
	bulk("unix-bulk", AF_UNIX);
	bulk("tcp-bulk", AF_INET);
}

int main(void) {
	// Since the kernel's clock began: with husk that is its entry point.
	printf("main %llu\n", (unsigned long long)now());
	setvbuf(stdout, 0, _IOFBF, 4096);
	null_call();
	fault_isolated();
	fault_sequential();
	pipe_self();
	thread_pingpong();
	thread_create();
	map_unmap();
	files();
	clock_read();
	epoll_poll();
	sockets();
	printf("end 0\n");
	return 0;
}
