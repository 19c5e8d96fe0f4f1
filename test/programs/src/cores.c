// Which ends leave a core file, what it is called, and what wait says.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int level;
static void *deep(void *a) { volatile int here = 7; for (;;) pause(); return (void *)(long)here; }
static void __attribute__((noinline)) crash(int n) { level = n; *(volatile int *)8 = n; }
static void threads(void) { pthread_t t; for (int i = 0; i < 3; i++) pthread_create(&t, 0, deep, 0); usleep(20000); crash(3); }
static void segv(void) { crash(1); }
static void aborted(void) { abort(); }
static void quit(void) { raise(SIGQUIT); }
static void term(void) { raise(SIGTERM); }
static void undumpable(void) { prctl(PR_SET_DUMPABLE, 0); abort(); }
static void run(const char *what, long limit, void (*f)(void)) {
	fflush(stdout);
	pid_t p = fork();
	if (!p) { struct rlimit l = {limit, limit}; setrlimit(RLIMIT_CORE, &l); prctl(PR_SET_NAME, "a/name"); f(); _exit(0); }
	int st; siginfo_t si; memset(&si, 0, sizeof si);
	waitid(P_PID, p, &si, WEXITED | WNOWAIT); waitpid(p, &st, 0);
	printf("%s: signal %d core %d code %d\n", what, WTERMSIG(st), !!WCOREDUMP(st), si.si_code);
	DIR *d = opendir("."); struct dirent *e;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.') continue;
		struct stat s; stat(e->d_name, &s); char n[300]; strcpy(n, e->d_name);
		char num[16]; sprintf(num, "%d", p); char *at = strstr(n, num); if (at) { memmove(at + 3, at + strlen(num), strlen(at + strlen(num)) + 1); memcpy(at, "PID", 3); }
		int fd = open(e->d_name, 0); unsigned char h[20] = {0}; read(fd, h, 20); close(fd);
		printf("  %s mode %o links %d whole %d type %d\n", n, s.st_mode, (int)s.st_nlink, s.st_size > 20000, h[16]);
		if (strcmp(e->d_name, "keep")) unlink(e->d_name);
	}
	closedir(d);
}
static void set(const char *s) { int f = open("/proc/sys/kernel/core_pattern", O_WRONLY); if (f < 0 || write(f, s, strlen(s)) < 0) perror("pattern"); close(f); }
int main(int argc, char **argv) {
	int patterns = argc > 1 && !strcmp(argv[1], "patterns");
	if (argc > 1 && !patterns) { struct rlimit l = {RLIM_INFINITY, RLIM_INFINITY}; setrlimit(RLIMIT_CORE, &l); chdir(argv[1]); threads(); }
	char dir[] = "/tmp/coresXXXXXX"; mkdtemp(dir); chdir(dir);
	if (!patterns) {
	run("none", 0, segv); run("segv", -1, segv); run("abort", -1, aborted); run("quit", -1, quit); run("term", -1, term); run("undumpable", -1, undumpable);
	run("threads", -1, threads); run("too little", 4095, segv); run("one page", 4096, segv); run("some pages", 12288, segv);
	symlink("nowhere", "core"); run("link", -1, segv); mkdir("core", 0700); run("directory", -1, segv); rmdir("core");
	} else {
		set("c%%.%p.%e.%s.%u.%x"); run("pattern", -1, segv); set("/nowhere/core"); run("no directory", -1, segv); set(""); run("empty", -1, segv); set("core");
	}
	chdir("/"); rmdir(dir);
	return 0;
}
