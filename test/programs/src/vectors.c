// Vector state survives preemption, sleep and moves between CPUs: each thread
// holds its own pattern in the widest registers there are while it is disturbed.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

__attribute__((target("avx2"))) static int hold_avx(uint8_t seed) {
	uint8_t in[32], out[32];
	memset(in, seed, sizeof in);
	int bad = 0;
	for (int i = 0; i < 60; i++) {
		struct timespec ts = {0, seed % 3 == 0 ? 100000 : 0};
		__asm__ volatile("vmovdqu (%0), %%ymm5" ::"r"(in) : "xmm5");
		if (seed % 3 == 0) { // a system call by hand: the compiler must not save ymm5
			long r;
			__asm__ volatile("syscall" : "=a"(r) : "0"(35), "D"(&ts), "S"(0) : "rcx", "r11", "memory");
		} else if (seed % 3 == 1) {
			long r;
			__asm__ volatile("syscall" : "=a"(r) : "0"(24) : "rcx", "r11", "memory");
		} else {
			for (volatile int k = 0; k < 20000; k++)
				;
		}
		__asm__ volatile("vmovdqu %%ymm5, (%0)" ::"r"(out) : "memory");
		bad += memcmp(in, out, sizeof in) != 0;
	}
	return bad;
}

static void *thread(void *arg) {
	return (void *)(intptr_t)hold_avx((uint8_t)(intptr_t)arg);
}

int main(void) {
	if (!__builtin_cpu_supports("avx2")) {
		puts("corrupted: 0");
		return 0;
	}
	pthread_t th[12];
	long bad = 0;
	for (long i = 0; i < 12; i++)
		pthread_create(&th[i], 0, thread, (void *)(i + 1));
	for (int i = 0; i < 12; i++) {
		void *r;
		pthread_join(th[i], &r);
		bad += (long)r;
	}
	printf("corrupted: %ld\n", bad);
	return bad != 0;
}
