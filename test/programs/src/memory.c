// The calls of mmap(2)'s family, their effects and their errors.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SHOW(call) printf("%s: %s\n", #call, (errno = 0, (long)(call) == -1) ? strerror(errno) : "ok")
enum { P = 4096 };

int main(void) {
	char *a = mmap(0, 16 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(a, 1, 16 * P);
	SHOW(munmap(a + 4 * P, P));
	SHOW(mmap(a, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	SHOW(mmap(a + 4 * P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	SHOW(mmap(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	SHOW(mmap(a + 1, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	SHOW(mmap(0, P, PROT_READ, MAP_ANONYMOUS, -1, 0));
	SHOW(mmap(0, P, PROT_READ, MAP_PRIVATE, 99, 0));
	SHOW(mmap(0, 1ul << 60, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	SHOW(mprotect(a + 1, P, PROT_READ));
	SHOW(mprotect(a, 4 * P, PROT_READ));
	SHOW(mprotect((void *)0x10000, P, PROT_READ));
	SHOW(munmap(a + 1, P));
	SHOW(msync(a, P, MS_SYNC | MS_ASYNC));
	SHOW(madvise(a, P, 12345));
	SHOW(madvise(a + 8 * P, 2 * P, MADV_DONTNEED));
	printf("after MADV_DONTNEED: %d %d\n", a[8 * P], a[10 * P]);
	unsigned char vec[16];
	SHOW(mincore(a, 2 * P, vec));
	printf("resident: %d\n", vec[0] & 1);
	char *grown = mremap(a + 10 * P, 2 * P, 64 * P, MREMAP_MAYMOVE);
	printf("mremap kept the data: %d %d\n", grown[0], grown[40 * P]);
	SHOW(mremap(grown, 64 * P, 65 * P, 8));
	char *top = sbrk(0);
	SHOW(sbrk(3 * P));
	memset(top, 7, 3 * P);
	SHOW(sbrk(-3 * P));
	printf("the break is back: %d\n", sbrk(0) == (void *)top);

	int fd = memfd_create("test", MFD_ALLOW_SEALING);
	SHOW(ftruncate(fd, 2 * P));
	char *s1 = mmap(0, 2 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *s2 = mmap(0, 2 * P, PROT_READ, MAP_SHARED, fd, 0);
	char *pr = mmap(0, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	strcpy(s1, "shared");
	printf("%s %s\n", s2, pr);
	strcpy(pr, "private");
	printf("%s %s\n", s2, pr);
	char b[16] = "";
	pread(fd, b, 6, 0);
	printf("read sees %s\n", b);
	pwrite(fd, "written", 8, 0);
	printf("the mapping sees %s\n", s2);
	SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	SHOW(ftruncate(fd, P));
	SHOW(mlock(s1, P));
	SHOW(munlock(s1, P));
	SHOW(mmap(0, P, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0));
	SHOW(munmap(s1, 2 * P));
	char *guard = mmap(0, 4 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	SHOW(write(1, guard, 0));
	SHOW(read(0, guard, 1) == -1 && errno != EFAULT && errno != 0 ? -1 : 0);
	SHOW(mprotect(guard + P, P, PROT_READ | PROT_WRITE));
	guard[P] = 1;
	SHOW(mlockall(MCL_CURRENT));
	SHOW(munlockall());
	return 0;
}
