// The measurements of processes for "make bench": a dynamic program, like
// most that fork. What it executes is inside it and written to /tmp first.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define EMBED(name, path)                                                                       \
	__asm__(".section .rodata\n.balign 8\n" #name ":\n.incbin \"" path "\"\n" #name "_end:\n.byte 0\n.previous\n"); \
	extern const char name[], name##_end[];
EMBED(static_nop, STATIC)
EMBED(dynamic_nop, DYNAMIC)
EMBED(shell, SHELL)

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
	fflush(stdout);
}

static void install(const char *path, const char *from, const char *to) {
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	must(fd >= 0 && write(fd, from, to - from) == to - from && close(fd) == 0, path);
}

static void collect(pid_t pid) {
	int status;
	must(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "child");
}

// Enough of them for the kernel's own garbage collection to be in each.
enum { WARM = 3, N = 200 };

static void fork_exit(const char *unused) {
	(void)unused;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	collect(pid);
}

static void fork_exec(const char *path) {
	pid_t pid = fork();
	if (pid == 0) {
		execl(path, path, (char *)0);
		_exit(127);
	}
	collect(pid);
}

static void spawn(const char *path) {
	pid_t pid;
	char *argv[] = {(char *)path, 0}, *env[] = {0};
	must(posix_spawn(&pid, path, 0, 0, argv, env) == 0, "posix_spawn");
	collect(pid);
}

static void shell_true(const char *path) {
	pid_t pid = fork();
	if (pid == 0) {
		execl(path, "sh", "-c", "true", (char *)0);
		_exit(127);
	}
	collect(pid);
}

static void measure(const char *name, void (*f)(const char *), const char *path) {
	for (int i = 0; i < WARM; i++)
		f(path);
	uint64_t t = now();
	for (int i = 0; i < N; i++)
		f(path);
	report(name, t, N);
}

static void nothing(int sig) { (void)sig; }

static void signal_self(void) {
	enum { N = 3000 };
	pid_t me = getpid();
	signal(SIGUSR1, nothing);
	kill(me, SIGUSR1);
	uint64_t t = now();
	for (int i = 0; i < N; i++)
		kill(me, SIGUSR1);
	report("signal-self", t, N);
}

static void signal_processes(void) {
	enum { N = 1000 };
	sigset_t set, open;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &open);
	signal(SIGUSR1, nothing);
	pid_t me = getpid(), child = fork();
	if (child == 0) {
		for (int i = 0; i <= N; i++) {
			sigsuspend(&open);
			kill(me, SIGUSR1);
		}
		_exit(0);
	}
	uint64_t t = 0;
	for (int i = 0; i <= N; i++) {
		if (i == 1)
			t = now();
		kill(child, SIGUSR1);
		sigsuspend(&open);
	}
	report("signal-processes", t, N);
	collect(child);
	sigprocmask(SIG_SETMASK, &open, 0);
}

static void process_pingpong(void) {
	enum { N = 2000 };
	int ping[2], pong[2];
	char c = 'x';
	must(pipe(ping) == 0 && pipe(pong) == 0, "pipe");
	pid_t child = fork();
	if (child == 0) {
		close(ping[1]);
		while (read(ping[0], &c, 1) == 1)
			if (write(pong[1], &c, 1) != 1)
				_exit(1);
		_exit(0);
	}
	must(write(ping[1], &c, 1) == 1 && read(pong[0], &c, 1) == 1, "ping");
	uint64_t t = now();
	for (int i = 0; i < N; i++)
		must(write(ping[1], &c, 1) == 1 && read(pong[0], &c, 1) == 1, "ping");
	report("process-pingpong", t, N);
	close(ping[1]);
	collect(child);
}

static int open_pty(int *slave, tcflag_t clear) {
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	struct termios tio;
	must(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0, "posix_openpt");
	*slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	must(*slave >= 0 && tcgetattr(*slave, &tio) == 0, "pty");
	tio.c_lflag &= ~clear;
	must(tcsetattr(*slave, TCSANOW, &tio) == 0, "tcsetattr");
	return master;
}

// A character typed and its echo seen.
static void pty_echo(void) {
	enum { N = 1000 };
	int slave, master = open_pty(&slave, ICANON);
	char c = 'x';
	must(write(master, &c, 1) == 1 && read(master, &c, 1) == 1 && read(slave, &c, 1) == 1, "echo");
	uint64_t t = now();
	for (int i = 0; i < N; i++)
		must(write(master, &c, 1) == 1 && read(master, &c, 1) == 1 && read(slave, &c, 1) == 1, "echo");
	report("pty-echo", t, N);
	close(master);
	close(slave);
}

// A line typed and the answer of the program on the terminal seen.
static void pty_roundtrip(void) {
	enum { N = 500 };
	int slave, master = open_pty(&slave, ECHO);
	char b[16];
	pid_t child = fork();
	if (child == 0) {
		close(master);
		for (int i = 0; i <= N; i++)
			if (read(slave, b, sizeof b) != 2 || write(slave, b, 2) != 2)
				_exit(1);
		_exit(0);
	}
	uint64_t t = 0;
	for (int i = 0; i <= N; i++) {
		if (i == 1)
			t = now();
		must(write(master, "x\n", 2) == 2, "line");
		ssize_t n;
		do
			must((n = read(master, b, sizeof b)) > 0, "line");
		while (b[n - 1] != '\n');
	}
	report("pty-roundtrip", t, N);
	collect(child);
	close(master);
	close(slave);
}

int main(int argc, char **argv) {
	// Where things lie decides what shares a page table, and with it what fork
	// costs: let it be the same each time.
	int how = personality(0xffffffff);
	must(how >= 0, "personality");
	if (argc > 0 && !(how & ADDR_NO_RANDOMIZE)) {
		personality((unsigned)how | ADDR_NO_RANDOMIZE);
		execv("/proc/self/exe", argv);
	}
	mkdir("/tmp", 0777);
	install("/tmp/static", static_nop, static_nop_end);
	install("/tmp/dynamic", dynamic_nop, dynamic_nop_end);
	install("/tmp/sh", shell, shell_end);
	measure("fork-exit-wait", fork_exit, 0);
	measure("fork-exec-static", fork_exec, "/tmp/static");
	measure("fork-exec-dynamic", fork_exec, "/tmp/dynamic");
	measure("posix-spawn", spawn, "/tmp/static");
	measure("sh-c-true", shell_true, "/tmp/sh");
	signal_self();
	signal_processes();
	process_pingpong();
	pty_echo();
	pty_roundtrip();
	printf("end 0\n");
	return 0;
}
