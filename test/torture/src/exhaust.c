// Takes one kind of kernel object without end, until a call fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
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

int main(int argc, char **argv) {
	static const struct {
		const char *name;
		int (*take)(void);
	} kinds[] = {{"epolls", epolls}, {"sockets", sockets}, {"rings", rings}, {"maps", maps}, {"tables", tables}};
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
