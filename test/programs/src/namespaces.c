// Entering the namespaces that one is in, and leaving them.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAY(expr)                                                            \
	do {                                                                     \
		errno = 0;                                                           \
		long r_ = (long)(expr);                                              \
		printf("%s = %ld %s\n", #expr, r_, errno ? strerrorname_np(errno) : ""); \
	} while (0)

static void enter(void) {
	static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
	char name[64];
	for (int i = 0; i < 8; i++) {
		sprintf(name, "/proc/self/ns/%s", kinds[i]);
		int f = open(name, O_RDONLY);
		puts(kinds[i]);
		SAY(setns(f, 0));
		SAY(setns(f, CLONE_NEWNET));
		close(f);
	}
	int f = syscall(SYS_pidfd_open, getpid(), 0);
	SAY(setns(f, CLONE_NEWUTS | CLONE_NEWIPC));
	SAY(setns(f, CLONE_NEWUSER));
	SAY(setns(f, 0));
	SAY(setns(f, 1));
}

int main(int argc, char **argv) {
	setvbuf(stdout, 0, _IOLBF, 0);
	enter();
	int pid = fork();
	if (!pid) {
		puts("as a user");
		if (setresuid(1000, 1000, 1000)) return 1;
		enter();
		return 0;
	}
	waitpid(pid, 0, 0);
	if (argc > 1) { // there are none to leave for
		SAY(unshare(CLONE_NEWNS));
		SAY(unshare(CLONE_NEWNET | CLONE_NEWPID));
		SAY(unshare(CLONE_NEWUSER));
		SAY(syscall(SYS_clone, CLONE_NEWUTS | 17, 0, 0, 0, 0));
	}
	return 0;
}
