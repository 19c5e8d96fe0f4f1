// Core files that go to a program, and what coredump_filter puts in them. The
// program is this one: it tells about its input in a file.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/corepipesXXXXXX";
static const char *const anon = "anonymous!", *const shared = "of all!!!!", *const file = "of a file!", *const fileShared = "file's own";

static char *whole(int fd, size_t *size) {
	char *b = 0;
	size_t n = 0, room = 0;
	for (;;) {
		if (n == room) b = realloc(b, room = room * 2 + 65536);
		ssize_t k = read(fd, b + n, room - n);
		if (k <= 0) break;
		n += k;
	}
	*size = n;
	return b;
}

// tell says which of the marks a core holds, and whether it is as long as its
// segments say.
static void tell(FILE *to, const char *core, size_t size) {
	const Elf64_Ehdr *h = (void *)core;
	if (size < sizeof *h || memcmp(core, ELFMAG, 4)) { fprintf(to, "no core: %zu\n", size); return; }
	const Elf64_Phdr *p = (void *)(core + h->e_phoff);
	size_t end = 0;
	int headers = 0;
	for (int i = 0; i < h->e_phnum; i++) {
		if (p[i].p_type == PT_LOAD && p[i].p_offset + p[i].p_filesz > end) end = p[i].p_offset + p[i].p_filesz;
		headers |= p[i].p_type == PT_LOAD && p[i].p_filesz == 4096 && p[i].p_memsz > 4096 && !memcmp(core + p[i].p_offset, ELFMAG, 4);
	}
	fprintf(to, "type %d whole %d", h->e_type, end == size);
	char mark[16];
	const char *const *m = (const char *const[]){anon, shared, file, fileShared, 0};
	for (; *m; m++) {
		// What is looked for must not be in what looks for it.
		for (int i = 0; i < 10; i++) mark[i] = (*m)[i] ^ 0x20;
		fprintf(to, " %s %d", *m, memmem(core, size, mark, 10) != 0);
	}
	fprintf(to, " headers %d\n", headers);
}

static void put(char *to, const char *mark) { for (int i = 0; i < 10; i++) to[i] = mark[i] ^ 0x20; }

// helper is what the kernel starts.
static int helper(int argc, char **argv) {
	char name[200];
	snprintf(name, sizeof name, "%s/said", argv[2]);
	FILE *to = fopen(name, "a");
	size_t size;
	for (int i = 3; i < argc; i++) fprintf(to, "[%s]", argv[i]);
	struct rlimit l;
	getrlimit(RLIMIT_CORE, &l);
	char cwd[100];
	fprintf(to, "\nuid %d %d cwd %s limit %ld 1 %d 2 %d environment %d\n", getuid(), geteuid(), getcwd(cwd, sizeof cwd), (long)l.rlim_cur, fcntl(1, F_GETFD), fcntl(2, F_GETFD), environ && *environ);
	char *core = whole(0, &size);
	tell(to, core, size);
	// It is still there if we are waited for.
	snprintf(name, sizeof name, "/proc/%s/comm", argv[3]);
	fprintf(to, "there %d\n", access(name, R_OK) == 0);
	fclose(to);
	return 0;
}

static int writeFile(const char *name, const char *s) {
	int f = open(name, O_WRONLY | O_CREAT, 0644);
	int n = f < 0 ? -1 : write(f, s, strlen(s));
	if (n < 0) printf("%s: %s\n", name, strerror(errno));
	close(f);
	return n;
}

static void crash(const char *what, const char *filter) {
	char file_[200], line[400], said[200];
	fflush(stdout);
	pid_t p = fork();
	if (!p) {
		struct rlimit l = {0, 0};
		setrlimit(RLIMIT_CORE, &l);
		prctl(PR_SET_NAME, "a b/c");
		if (filter) writeFile("/proc/self/coredump_filter", filter);
		snprintf(file_, sizeof file_, "%s/file", dir);
		int f = open(file_, O_RDWR | O_CREAT, 0600);
		char page[8192] = "";
		put(page, file);
		put(page + 4096, fileShared);
		pwrite(f, page, sizeof page, 0);
		memset(page, 0, sizeof page);
		put(mmap(0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), anon);
		put(mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0), shared);
		volatile char a = *(volatile char *)mmap(0, 4096, PROT_READ, MAP_PRIVATE, f, 0);
		volatile char b = *(volatile char *)mmap(0, 4096, 3, MAP_SHARED, f, 4096);
		(void)a, (void)b;
		*(volatile int *)8 = 1;
	}
	int st;
	waitpid(p, &st, 0);
	printf("%s: signal %d core %d\n", what, WTERMSIG(st), !!WCOREDUMP(st));
	snprintf(said, sizeof said, "%s/said", dir);
	FILE *f = fopen(said, "r");
	while (f && fgets(line, sizeof line, f)) {
		char num[16], *at;
		sprintf(num, "%d", p);
		// Three times at most: %s may be the same number.
		for (int i = 0; i < 3 && (at = strstr(line, num)); i++) { memmove(at + 3, at + strlen(num), strlen(at + strlen(num)) + 1); memcpy(at, "PID", 3); }
		fputs(line, stdout);
	}
	if (f) fclose(f);
	unlink(said);
}

int main(int argc, char **argv) {
	if (argc > 2) return helper(argc, argv);
	if (argc > 1) { char b[9]; int g = open("/proc/self/coredump_filter", O_RDONLY); read(g, b, 9); printf("%.9s", b); return 0; }
	char self[200] = "", pattern[400], old[200] = "", limit[20] = "", b[32];
	readlink("/proc/self/exe", self, sizeof self - 1);
	mkdtemp(dir);
	chmod(dir, 0777);
	int f = open("/proc/sys/kernel/core_pattern", O_RDONLY); read(f, old, sizeof old - 1); close(f);
	f = open("/proc/sys/kernel/core_pipe_limit", O_RDONLY); read(f, limit, sizeof limit - 1); close(f);
	snprintf(pattern, sizeof pattern, "|%s helper %s %%p %%P %%i %%u:%%g %%s %%e %%%% x%%q %%d %%c", self, dir);
	f = open("/proc/self/coredump_filter", O_RDWR); read(f, b, 9); printf("filter %.9s", b);
	printf("%d ", (int)pwrite(f, "0x7f\n", 5, 0)); pread(f, b, 9, 0); printf("%.9s", b);
	printf("%d ", (int)pwrite(f, "-1", 2, 0)); printf("%d ", (int)pwrite(f, "words", 5, 0)); printf("%d ", (int)pwrite(f, "0xffff", 6, 0)); pread(f, b, 9, 0); printf("%.9s", b);
	fflush(stdout);
	if (!fork()) { int g = open("/proc/self/coredump_filter", O_RDONLY); read(g, b, 9); printf("child %.9s", b); fflush(stdout); execl(self, "filter", "filter", (char *)0); _exit(1); }
	wait(0);
	pwrite(f, "0x33", 4, 0);
	close(f);
	writeFile("/proc/sys/kernel/core_pipe_limit", "4");
	writeFile("/proc/sys/kernel/core_pattern", pattern);
	crash("pipe", 0);
	crash("nothing", "0");
	crash("private", "1");
	crash("shared", "2");
	crash("files", "4");
	crash("shared files", "8");
	crash("headers", "0x10");
	crash("all", "0x1ff");
	writeFile("/proc/sys/kernel/core_pattern", "|/nowhere/nothing %p");
	crash("no program", 0);
	snprintf(pattern, sizeof pattern, "|%s filter", self);
	writeFile("/proc/sys/kernel/core_pattern", pattern);
	crash("does not read", 0);
	if (writeFile("/proc/sys/kernel/core_pattern", "|") == 1) crash("no name", 0);
	writeFile("/proc/sys/kernel/core_pattern", old);
	writeFile("/proc/sys/kernel/core_pipe_limit", limit);
	snprintf(pattern, sizeof pattern, "%s/file", dir);
	unlink(pattern);
	rmdir(dir);
	return 0;
}
