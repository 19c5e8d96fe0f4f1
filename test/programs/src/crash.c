// Ends by the fault that its argument names.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile int zero;

static int overflow(int n) {
	volatile char frame[4096];
	frame[0] = (char)n;
	return overflow(n + 1) + frame[0];
}

__attribute__((noipa)) static void at_the_bottom(const char *kind) {
	if (!strcmp(kind, "null"))
		*(volatile int *)0 = 1;
	if (!strcmp(kind, "stack"))
		zero = overflow(0);
	if (!strcmp(kind, "divide"))
		zero = 1000 / zero;
	if (!strcmp(kind, "abort"))
		abort();
	if (!strcmp(kind, "illegal"))
		__asm__ volatile("ud2");
	if (!strcmp(kind, "trap"))
		__asm__ volatile("int3");
	if (!strcmp(kind, "noncanonical"))
		*(volatile int *)0x8000000000000000 = 1;
	if (!strcmp(kind, "text"))
		*(volatile char *)&at_the_bottom = 1;
	if (!strcmp(kind, "privileged"))
		__asm__ volatile("hlt");
	if (!strcmp(kind, "kernel"))
		*(volatile int *)0xffffffff80300000 = 1;
}

int main(int argc, char **argv) {
	printf("before\n");
	fflush(stdout);
	if (argc > 1)
		at_the_bottom(argv[1]);
	printf("after\n");
	return 0;
}
