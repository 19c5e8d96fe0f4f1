// Threads against each other: mutexes, condition variables, barriers,
// read-write locks, robust and priority-inheriting mutexes, thread-local
// storage, cancellation.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8, ROUNDS = 2000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static long sum, turn, serial;
static __thread long mine;
static sem_t sem;

static void *adder(void *arg) {
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&mutex);
		sum++;
		pthread_mutex_unlock(&mutex);
		mine++;
		pthread_rwlock_rdlock(&rw);
		long s = serial;
		pthread_rwlock_unlock(&rw);
		(void)s;
	}
	if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
		pthread_rwlock_wrlock(&rw);
		serial++;
		pthread_rwlock_unlock(&rw);
	}
	for (int i = 0; i < 50; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % THREADS != (long)arg)
			pthread_cond_wait(&cond, &mutex);
		turn++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&mutex);
	}
	return (void *)mine;
}

static void *die_with(void *m) {
	pthread_mutex_lock(m);
	return 0;
}

static void *forever(void *unused) {
	for (;;)
		pause();
	return unused;
}

static void *poster(void *unused) {
	for (int i = 0; i < 100; i++)
		sem_post(&sem);
	return unused;
}

int main(void) {
	pthread_t th[THREADS];
	pthread_barrier_init(&barrier, 0, THREADS);
	for (long i = 0; i < THREADS; i++)
		pthread_create(&th[i], 0, adder, (void *)i);
	long own = 0;
	for (int i = 0; i < THREADS; i++) {
		void *r;
		pthread_join(th[i], &r);
		own += (long)r;
	}
	printf("sum %ld own %ld turns %ld serial %ld\n", sum, own, turn, serial);

	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_t robust;
	pthread_mutex_init(&robust, &attr);
	pthread_create(&th[0], 0, die_with, &robust);
	pthread_join(th[0], 0);
	int r = pthread_mutex_lock(&robust);
	printf("robust: %s\n", r == EOWNERDEAD ? "owner died" : strerror(r));
	pthread_mutex_consistent(&robust);
	pthread_mutex_unlock(&robust);

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_t pi;
	r = pthread_mutex_init(&pi, &attr);
	if (r == 0) {
		pthread_mutex_lock(&pi);
		r = pthread_mutex_trylock(&pi);
		pthread_mutex_unlock(&pi);
	}
	printf("priority inheritance: %s\n", strerror(r));

	pthread_create(&th[0], 0, forever, 0);
	pthread_cancel(th[0]);
	void *result;
	pthread_join(th[0], &result);
	printf("cancelled: %d\n", result == PTHREAD_CANCELED);

	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 5000000;
	if (ts.tv_nsec >= 1000000000)
		ts.tv_sec++, ts.tv_nsec -= 1000000000;
	pthread_mutex_lock(&mutex);
	r = pthread_cond_timedwait(&cond, &mutex, &ts);
	pthread_mutex_unlock(&mutex);
	printf("timed wait: %s\n", strerror(r));

	sem_init(&sem, 0, 0);
	pthread_create(&th[0], 0, poster, 0);
	for (int i = 0; i < 100; i++)
		sem_wait(&sem);
	pthread_join(th[0], 0);
	puts("semaphore done");
	return 0;
}
