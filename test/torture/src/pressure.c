// Uses up memory in a child and tells who was killed for it, and what the
// kernel refuses.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

static int ready[2];

static void put(const char *path, const char *text) {
	int fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		perror(path);
	close(fd);
}

static long get(const char *key) {
	char line[200];
	long v = -1;
	FILE *f = fopen("/proc/meminfo", "r");
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, key, strlen(key)))
			v = atol(line + strlen(key) + 1);
	fclose(f);
	return v;
}

static char *touch(size_t n) {
	char *p = mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (size_t k = 0; p != MAP_FAILED && k < n; k += 4096)
		p[k] = 1;
	return p;
}

static int child(const char *adj, size_t n, int grow) {
	int pid = fork();
	if (pid)
		return read(ready[0], &n, 1), pid;
	put("/proc/self/oom_score_adj", adj);
	touch(n);
	write(ready[1], "r", 1);
	while (grow)
		touch(1 << 20);
	for (;;)
		pause();
}

static const char *end(int pid) {
	int st;
	if (waitpid(pid, &st, WNOHANG) == 0)
		return "alive";
	return WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL ? "killed" : "other";
}

int main(void) {
	struct sysinfo s;
	sysinfo(&s);
	size_t total = s.totalram * s.mem_unit, part = total / 8;
	pipe(ready);
	int calm = child("0", part, 0), safe = child("-1000", part * 2, 0), ripe = child("1000", 1 << 20, 0);
	int greedy = child("0", part, 1), st;
	waitpid(greedy, &st, 0);
	printf("greedy %s, calm %s, safe %s, ripe %s\n", WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL ? "killed" : "other", end(calm), end(safe), end(ripe));
	kill(calm, SIGKILL), kill(safe, SIGKILL);
	while (wait(0) > 0)
		;
	// overcommitment
	int rw = PROT_READ | PROT_WRITE, anon = MAP_PRIVATE | MAP_ANONYMOUS;
#define MAP(n, flags) (mmap(0, n, rw, flags, -1, 0) == MAP_FAILED ? strerror(errno) : "mapped")
	printf("0: half %s, ", MAP(total / 2, anon));
	printf("more than all %s, ", MAP(total * 2, anon));
	printf("unreserved %s, ", MAP(total * 2, anon | MAP_NORESERVE));
	printf("shared %s\n", MAP(total * 2, MAP_SHARED | MAP_ANONYMOUS));
	put("/proc/sys/vm/overcommit_memory", "1");
	printf("1: more than all %s\n", MAP(total * 2, anon));
	put("/proc/sys/vm/overcommit_memory", "2");
	put("/proc/sys/vm/overcommit_ratio", "400");
	long limit = get("CommitLimit:"), used = get("Committed_AS:");
	printf("2: limit %d, used %d, ", limit * 1024 > total * 3, used * 1024 > total * 2);
	printf("more %s, ", MAP(total * 3, anon));
	printf("unreserved %s, ", MAP(total * 3, anon | MAP_NORESERVE));
	printf("shared %s, ", MAP(total * 3, MAP_SHARED | MAP_ANONYMOUS));
	printf("a little %s\n", MAP(1 << 20, anon));
	put("/proc/sys/vm/overcommit_kbytes", "1000");
	printf("2: limit %ld, a little %s\n", get("CommitLimit:"), MAP(1 << 20, anon));
	return 0;
}
