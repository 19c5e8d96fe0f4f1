// A program to look at with a debugger: calls, a thread, a child, a signal.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int x = 1;
double half = 0.5;

static __attribute__((noinline)) int add(int a, int b) {
	int c = a + b;
	x = c;
	return c;
}

static void *worker(void *p) {
	x += (long)p;
	return p;
}

static void handler(int s) { x = 100 + s; }

int main(int argc, char **argv) {
	int sum = 0;
	if (argc > 1) { // wait to be attached to
		printf("%d\n", getpid());
		fflush(stdout);
		while (x == 1) usleep(1000);
		printf("released %d\n", x);
		return 4;
	}
	for (int i = 0; i < 3; i++)
		sum = add(sum, i);
	pthread_t t;
	pthread_create(&t, 0, worker, (void *)7L);
	pthread_join(t, 0);
	signal(SIGUSR1, handler);
	raise(SIGUSR1);
	pid_t pid = fork();
	if (pid == 0)
		_exit(add(1, 2));
	int status;
	waitpid(pid, &status, 0);
	printf("x=%d sum=%d status=%x\n", x, sum, status);
	return 7;
}
