// Signal delivery as threaded runtimes need it: handlers with siginfo, masks,
// alternate stack, restart, nested delivery, SIGSEGV recovered by siglongjmp,
// and the extended state preserved across a handler.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf escape;
static volatile sig_atomic_t seen, on_altstack;
static char altstack[65536];

static void on_segv(int sig, siginfo_t *si, void *uc) {
	char here;
	on_altstack = &here >= altstack && &here < altstack + sizeof altstack;
	printf("signal %d code %d addr %lx error %llx\n", sig, si->si_code, (unsigned long)si->si_addr & 0xfff,
	       (unsigned long long)((ucontext_t *)uc)->uc_mcontext.gregs[REG_ERR]);
	siglongjmp(escape, 1);
}

static void on_fpe(int sig, siginfo_t *si, void *uc) {
	(void)uc;
	printf("signal %d code %d\n", sig, si->si_code);
	siglongjmp(escape, 1);
}

static void count(int sig) {
	(void)sig;
	seen++;
	// Clobber vector registers: the interrupted code must not notice.
	__asm__ volatile("pcmpeqd %%xmm0,%%xmm0\n\tpcmpeqd %%xmm7,%%xmm7" ::: "xmm0", "xmm7");
}

static void *thread(void *arg) {
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	int got = 0;
	sigwait(&set, &got);
	*(int *)arg = got;
	return 0;
}

static volatile int zero;

int main(void) {
	stack_t ss = {.ss_sp = altstack, .ss_size = sizeof altstack};
	struct sigaction sa = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigaltstack(&ss, 0);
	sigaction(SIGSEGV, &sa, 0);
	sigaction(SIGBUS, &sa, 0);
	if (!sigsetjmp(escape, 1))
		*(volatile int *)0x10 = 1;
	printf("on the alternate stack: %d\n", (int)on_altstack);
	char *ro = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!sigsetjmp(escape, 1)) {
		printf("read-only page: %d\n", ro[5]);
		*(volatile char *)(ro + 5) = 1;
	}
	munmap(ro, 4096);

	sa.sa_sigaction = on_fpe;
	sigaction(SIGFPE, &sa, 0);
	if (!sigsetjmp(escape, 1))
		zero = 1000 / zero;

	struct sigaction sb = {.sa_handler = count, .sa_flags = SA_RESTART};
	sigaction(SIGALRM, &sb, 0);
	sigaction(SIGUSR1, &sb, 0);
	double x = 1.5, y = 0;
	struct itimerval it = {{0, 2000}, {0, 2000}};
	setitimer(ITIMER_REAL, &it, 0);
	while (seen < 5)
		for (int i = 0; i < 1000; i++)
			y += x;
	memset(&it, 0, sizeof it);
	setitimer(ITIMER_REAL, &it, 0);
	printf("timer interrupted, sum exact: %d\n", y == 1.5 * (long)(y / 1.5));

	// A read that a handler without SA_RESTART interrupts is EINTR.
	int fd[2];
	char c;
	if (pipe(fd))
		return 1;
	sb.sa_flags = 0;
	sigaction(SIGALRM, &sb, 0);
	// Again and again: on a busy machine the first may come before the call.
	it.it_value.tv_usec = it.it_interval.tv_usec = 20000;
	setitimer(ITIMER_REAL, &it, 0);
	long n = read(fd[0], &c, 1);
	printf("read: %ld %s\n", n, strerror(errno));
	struct timespec ts = {1, 0}, rem;
	n = nanosleep(&ts, &rem);
	int slept = errno;
	memset(&it, 0, sizeof it);
	setitimer(ITIMER_REAL, &it, 0);
	errno = slept;
	printf("nanosleep: %ld %s, less than a second left: %d\n", n, strerror(errno), rem.tv_sec == 0 && rem.tv_nsec > 0);

	sigset_t set, old;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	int before = seen;
	raise(SIGUSR1);
	printf("blocked: %d\n", seen == before);
	sigprocmask(SIG_SETMASK, &old, 0);
	printf("delivered: %d\n", seen == before + 1);

	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, 0);
	pthread_t th;
	int got = 0;
	pthread_create(&th, 0, thread, &got);
	pthread_kill(th, SIGUSR2);
	pthread_join(th, 0);
	printf("sigwait: %d\n", got == SIGUSR2);
	union sigval v = {.sival_int = 42};
	siginfo_t info;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	sigprocmask(SIG_BLOCK, &set, 0);
	for (int i = 0; i < 3; i++) {
		v.sival_int = i;
		sigqueue(getpid(), SIGRTMIN + 1, v);
	}
	for (int i = 0; i < 3; i++) {
		n = sigwaitinfo(&set, &info);
		printf("queued %d: %d code %d\n", i, info.si_value.sival_int, info.si_code);
	}
	ts.tv_sec = 0;
	ts.tv_nsec = 1000000;
	n = sigtimedwait(&set, &info, &ts);
	printf("sigtimedwait: %ld %s\n", n, strerror(errno));
	return 0;
}
