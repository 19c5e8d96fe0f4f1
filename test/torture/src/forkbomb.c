// Makes threads or processes that only wait, until the system refuses. When
// the processes have ended, another one must be made at once.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *wait_forever(void *arg) {
	(void)arg;
	for (;;)
		pause();
}

int main(int argc, char **argv) {
	int threads = argc > 1 && !strcmp(argv[1], "threads");
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 32768);
	for (int made = 0; made < 40000; made++) {
		int err = 0;
		if (threads) {
			pthread_t t;
			err = pthread_create(&t, &attr, wait_forever, 0);
		} else {
			pid_t p = fork();
			if (p == 0)
				wait_forever(0);
			if (p < 0)
				err = errno;
		}
		if (err) {
			printf("after %d, refused: %s\n", made, strerror(err));
			if (threads)
				return 0;
			signal(SIGTERM, SIG_IGN);
			kill(0, SIGTERM);
			while (wait(0) > 0)
				;
			pid_t p = fork();
			if (p == 0)
				_exit(0);
			printf("then: %s\n", p < 0 ? strerror(errno) : "made");
			return 0;
		}
	}
	return 1;
}
