// Prints what a program can see of how it was started.
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

int main(int argc, char **argv) {
	printf("hello from %s\n", argv[0]);
	for (int i = 1; i < argc; i++)
		printf("argument %d: %s\n", i, argv[i]);
	printf("HOME=%s page=%lu uid=%d secure=%lu\n", getenv("HOME") ? getenv("HOME") : "", getauxval(AT_PAGESZ), getuid(), getauxval(AT_SECURE));
	fprintf(stderr, "and this is stderr\n");
	return argc > 1 ? atoi(argv[1]) : 0;
}
