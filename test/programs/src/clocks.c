// Clocks agree with each other and never go back; sleeps last long enough.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static int64_t ns(struct timespec t) { return t.tv_sec * 1000000000ll + t.tv_nsec; }

int main(void) {
	struct timespec a, b, c;
	int back = 0;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < 10000; i++) {
		clock_gettime(CLOCK_MONOTONIC, &b);
		back += ns(b) < ns(a);
		a = b;
	}
	printf("went back: %d\n", back);
	clock_gettime(CLOCK_MONOTONIC, &a);
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &b);
	clock_gettime(CLOCK_MONOTONIC, &c);
	printf("the vDSO agrees with the call: %d\n", ns(a) <= ns(b) && ns(b) <= ns(c));
	struct timeval tv;
	gettimeofday(&tv, 0);
	clock_gettime(CLOCK_REALTIME, &a);
	int64_t d = ns(a) - (tv.tv_sec * 1000000000ll + tv.tv_usec * 1000ll);
	printf("gettimeofday agrees: %d, time agrees: %d, after 2020: %d\n", d >= 0 && d < 100000000, labs(time(0) - a.tv_sec) <= 1, a.tv_sec > 1577836800);
	struct timespec s = {0, 15000000};
	clock_gettime(CLOCK_MONOTONIC, &a);
	nanosleep(&s, 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("slept at least 15 ms: %d\n", ns(b) - ns(a) >= 15000000);
	clock_gettime(CLOCK_MONOTONIC, &a);
	poll(0, 0, 10);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("polled at least 10 ms: %d\n", ns(b) - ns(a) >= 10000000);
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec it = {{0, 3000000}, {0, 5000000}};
	timerfd_settime(fd, 0, &it, 0);
	uint64_t n = 0, total = 0;
	while (total < 3 && read(fd, &n, 8) == 8)
		total += n;
	printf("timerfd expired: %d\n", total >= 3);
	printf("bad clock: %s\n", clock_gettime(77, &a) ? strerror(errno) : "ok");
	printf("bad sleep: %s\n", (s.tv_nsec = 2000000000, nanosleep(&s, 0)) ? strerror(errno) : "ok");
	struct timespec res;
	printf("resolution: %d %ld\n", clock_getres(CLOCK_MONOTONIC, &res), res.tv_nsec);
	return 0;
}
