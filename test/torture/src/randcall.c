// Random system calls with random arguments, from several processes at once,
// until the given number of seconds has passed. The first process only starts
// others and waits; whatever the others do to themselves, it must live.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t state;

static uint64_t rnd(void) {
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static char *arena;
enum { ARENA = 1 << 20 };

// argument makes a value that some call may find interesting.
static long argument(void) {
	switch (rnd() % 12) {
	case 0: return 0;
	case 1: return -1;
	case 2: return (long)(rnd() % 16);
	case 3: return (long)(rnd() % 4096);
	case 4: return 1l << (rnd() % 64);
	case 5: return (long)(arena + rnd() % ARENA);
	case 6: return (long)(arena + (rnd() % (ARENA / 4096)) * 4096);
	case 7: return (long)rnd();
	case 8: return (long)"/tmp/randcall";
	case 9: return (long)"/proc/self/maps";
	case 10: return -(long)(rnd() % 4096);
	default: return (long)(uint32_t)rnd();
	}
}

static int skipped(long nr) {
	switch (nr) {
	case SYS_exit: case SYS_exit_group: case SYS_pause: case SYS_rt_sigsuspend: case SYS_rt_sigreturn:
	case SYS_vfork: case SYS_reboot: case SYS_kexec_load: case SYS_kexec_file_load: case SYS_vhangup:
		return 1;
	}
	return 0;
}

// harmsFirst tells the calls by which the superuser may end or stop the first
// process, on Linux too.
static int harmsFirst(long nr, const long *a) {
	switch (nr) {
	case SYS_prlimit64: case SYS_process_vm_writev:
		return a[0] == 1;
	case SYS_ptrace:
		return a[1] == 1;
	}
	return 0;
}

static void *caller(void *arg) {
	(void)arg;
	for (;;) {
		long nr = (long)(rnd() % 460), a[6];
		for (int i = 0; i < 6; i++)
			a[i] = argument();
		if (!skipped(nr) && !harmsFirst(nr, a))
			syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	}
}

static void child(uint64_t seed) {
	state = seed | 1;
	arena = mmap(0, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < ARENA; i += 8)
		*(uint64_t *)(arena + i) = i % 3 ? rnd() % 256 : (uint64_t)argument();
	// Nothing it writes may reach the report.
	int null = open("/dev/null", O_RDWR);
	dup2(null, 0), dup2(null, 1), dup2(null, 2);
	pthread_t th;
	pthread_create(&th, 0, caller, 0);
	caller(0);
}

static double seconds(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
	double until = seconds() + (argc > 1 ? atof(argv[1]) : 10);
	uint64_t seed = argc > 2 ? strtoull(argv[2], 0, 0) : 1;
	enum { WORKERS = 4 };
	pid_t pids[WORKERS] = {0};
	double born[WORKERS] = {0};
	long started = 0, ended = 0, failed = 0;
	mkdir("/tmp", 0777);
	while (seconds() < until) {
		for (int i = 0; i < WORKERS; i++) {
			int status;
			if (pids[i] && waitpid(pids[i], &status, WNOHANG) == pids[i])
				pids[i] = 0, ended++;
			if (pids[i] && seconds() - born[i] > 2)
				kill(-pids[i], SIGKILL), kill(pids[i], SIGKILL);
			if (!pids[i]) {
				pid_t p = fork();
				if (p == 0) {
					setpgid(0, 0);
					child(seed * 2654435761u + (uint64_t)started * 40503u + 12345);
				}
				if (p > 0)
					pids[i] = p, born[i] = seconds(), started++;
				else
					failed++;
			}
		}
		while (waitpid(-1, 0, WNOHANG) > 0) // orphans that came to us; ours are seen by ESRCH below
			ended++;
		for (int i = 0; i < WORKERS; i++)
			if (pids[i] && kill(pids[i], 0) && errno == ESRCH)
				pids[i] = 0;
		usleep(20000);
	}
	for (int i = 0; i < WORKERS; i++)
		if (pids[i])
			kill(-pids[i], SIGKILL), kill(pids[i], SIGKILL);
	while (waitpid(-1, 0, WNOHANG) > 0)
		ended++;
	printf("alive after %ld processes\n", started);
	fprintf(stderr, "started %ld ended %ld failed forks %ld\n", started, ended, failed);
	return 0;
}
