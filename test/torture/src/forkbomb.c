// Makes threads or processes that only wait, until the system refuses.
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
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
			return 0;
		}
	}
	return 1;
}
