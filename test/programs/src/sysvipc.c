// System V shared memory, semaphores and message queues, call by call.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAY(expr)                                                            \
	do {                                                                     \
		errno = 0;                                                           \
		long r_ = (long)(expr);                                              \
		printf("%d %s = %ld %s\n", __LINE__, #expr, r_, errno ? strerrorname_np(errno) : ""); \
	} while (0)
#define OK(expr)                                                             \
	do {                                                                     \
		errno = 0;                                                           \
		printf("%d %s: %s %s\n", __LINE__, #expr, (expr) ? "yes" : "no", errno ? strerrorname_np(errno) : ""); \
	} while (0)

union semun { int val; struct semid_ds *buf; unsigned short *array; struct seminfo *info; };

static int asUser(int uid, void (*f)(int), int arg) {
	fflush(stdout);
	int status, pid = fork();
	if (!pid) {
		if (uid && (setgid(uid) || setuid(uid)))
			exit(99);
		f(arg);
		exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void naps(int ms) { struct timespec t = {0, ms * 1000000}; nanosleep(&t, 0); }

static int nattch(int id) {
	struct shmid_ds d;
	return shmctl(id, IPC_STAT, &d) ? -1 : (int)d.shm_nattch;
}

static void otherShm(int id) {
	struct shmid_ds d;
	SAY(shmctl(id, IPC_STAT, &d));
	SAY(shmat(id, 0, SHM_RDONLY) == (void *)-1);
	SAY(shmat(id, 0, 0) == (void *)-1);
	SAY(shmctl(id, IPC_RMID, 0));
	SAY(shmctl(id, SHM_LOCK, 0));
	SAY(shmget(0x4711, 0, 0444));
	SAY(shmget(0x4711, 0, 0) >= 0);
	SAY(shmctl(id, IPC_SET, &d));
}

static void maps(void) {
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, f)) {
		char *at = strstr(line, "SYSV");
		char perm[8];
		if (at && sscanf(line, "%*s %7s", perm) == 1)
			printf("map %s %s", perm, at);
	}
	fclose(f);
}

static void shared(void) {
	struct shmid_ds d;
	struct shminfo i;
	struct shm_info u;
	char *p, *q;
	puts("== shm");
	SAY(shmget(0x4711, 0, IPC_CREAT | 0600));
	SAY(shmget(0x4711, 4096, 0600));
	SAY(shmget(IPC_PRIVATE, 1UL << 62, 0600));
	SAY(shmget(IPC_PRIVATE, 1UL << 45, 0600));
	OK(shmget(IPC_PRIVATE, 4096, SHM_HUGETLB | 0600) < 0);
	SAY(shmget(IPC_PRIVATE, 4096, SHM_HUGETLB | 17 << 26 | 0600));
	int id = shmget(0x4711, 10000, IPC_CREAT | 0640);
	OK(id >= 0);
	OK(shmget(0x4711, 10000, IPC_CREAT | 0640) == id);
	SAY(shmget(0x4711, 10000, IPC_CREAT | IPC_EXCL | 0640));
	SAY(shmget(0x4711, 10001, 0));
	OK(shmget(0x4711, 5, 0) == id);
	SAY(shmctl(id, IPC_STAT, &d));
	printf("key %x mode %o size %zu nattch %lu cpid %d lpid %d uid %d gid %d cuid %d atime %d dtime %d ctime %d\n", d.shm_perm.__key,
		d.shm_perm.mode, d.shm_segsz, d.shm_nattch, d.shm_cpid == getpid(), d.shm_lpid, d.shm_perm.uid, d.shm_perm.gid,
		d.shm_perm.cuid, d.shm_atime == 0, d.shm_dtime == 0, labs(d.shm_ctime - time(0)) < 100);
	SAY(shmat(id, (void *)1, 0));
	SAY(shmat(id, 0, SHM_REMAP));
	SAY(shmat(-1, 0, 0));
	SAY(shmat(id + 1, 0, 0));
	SAY(shmat(id ^ 1 << 20, 0, 0));
	p = shmat(id, 0, 0);
	OK(p != (void *)-1);
	OK(((unsigned long)p & 4095) == 0);
	strcpy(p, "hello");
	p[9999] = 'x';
	p[12287] = 'y';
	q = shmat(id, 0, SHM_RDONLY);
	OK(!strcmp(q, "hello") && q[9999] == 'x');
	OK(nattch(id) == 2);
	maps();
	SAY(mprotect(q, 4096, PROT_READ | PROT_WRITE));
	SAY(shmat(id, p, 0));
	SAY(shmat(id, p + 5, SHM_RND));
	OK(shmat(id, p + 5, SHM_RND | SHM_REMAP) == p);
	OK(nattch(id) == 2);
	OK(!strcmp(p, "hello"));
	SAY(shmdt(p + 4096));
	SAY(shmdt(p + 1));
	SAY(shmdt(0));
	if (!fork()) {
		p[0] = 'J';
		printf("child nattch %d\n", nattch(id));
		fflush(stdout);
		_exit(0);
	}
	wait(0);
	OK(!strcmp(q, "Jello"));
	OK(nattch(id) == 2);
	fflush(stdout);
	if (!fork()) { execl("/bin/true", "true", NULL); _exit(1); }
	wait(0);
	OK(nattch(id) == 2);
	SAY(munmap(q + 4096, 4096));
	OK(nattch(id) == 3);
	SAY(shmdt(q));
	OK(nattch(id) == 1);
	q = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SAY(shmat(id, q, 0));
	munmap(q, 1 << 20);
	OK(shmat(id, q, SHM_EXEC) == q);
	maps();
	SAY(shmdt(q));
	OK(shmctl(0, IPC_INFO, (void *)&i) >= 0);
	printf("shmmax %lu shmmin %lu shmmni %lu shmseg %lu shmall %lu\n", i.shmmax, i.shmmin, i.shmmni, i.shmseg, i.shmall);
	OK(shmctl(0, SHM_INFO, (void *)&u) >= 0);
	printf("used %d tot %lu rss %lu swp %lu\n", u.used_ids, u.shm_tot, u.shm_rss, u.shm_swp);
	SAY(shmctl(id, SHM_LOCK, 0));
	SAY(shmctl(id, IPC_STAT, &d));
	printf("mode %o\n", d.shm_perm.mode);
	SAY(shmctl(id, SHM_UNLOCK, 0));
	OK(shmctl(id & 32767, SHM_STAT, &d) == id);
	OK(shmctl(id & 32767, SHM_STAT_ANY, &d) == id);
	SAY(shmctl(id, 99, &d));
	SAY(shmctl(-1, IPC_STAT, &d));
	SAY(shmctl(id, -1, &d));
	SAY(shmctl(id, IPC_STAT, (void *)8));
	SAY(shmctl(id, IPC_SET, (void *)8));
	asUser(1234, otherShm, id);
	d.shm_perm.mode = 07766;
	d.shm_perm.uid = 77;
	d.shm_perm.gid = 78;
	SAY(shmctl(id, IPC_SET, &d));
	SAY(shmctl(id, IPC_STAT, &d));
	printf("mode %o uid %d gid %d cuid %d\n", d.shm_perm.mode, d.shm_perm.uid, d.shm_perm.gid, d.shm_perm.cuid);
	asUser(77, otherShm, id); // removes it
	SAY(shmctl(id, IPC_STAT, &d));
	printf("key %x mode %o nattch %lu\n", d.shm_perm.__key, d.shm_perm.mode, d.shm_nattch);
	SAY(shmget(0x4711, 1, 0));
	q = shmat(id, 0, 0);
	OK(q != (void *)-1 && !strcmp(q, "Jello"));
	SAY(shmdt(q));
	SAY(shmdt(p));
	SAY(shmctl(id, IPC_STAT, &d));
	SAY(shmat(id, 0, 0));
	// Gone with the process that attached it.
	id = shmget(IPC_PRIVATE, 4096, 0600);
	if (!fork()) { shmat(id, 0, 0); shmctl(id, IPC_RMID, 0); _exit(0); }
	wait(0);
	SAY(shmctl(id, IPC_RMID, 0));
	// Kept by a descriptor's like: a partial unmapping.
	id = shmget(IPC_PRIVATE, 3 * 4096, 0600);
	p = shmat(id, 0, 0);
	munmap(p, 4096);
	OK(nattch(id) == 1);
	SAY(shmdt(p));
	SAY(shmdt(p + 4096));
	munmap(p + 4096, 8192);
	OK(nattch(id) == 0);
	SAY(shmctl(id, IPC_RMID, 0));
	// madvise, mremap, and a thread's view
	id = shmget(IPC_PRIVATE, 1 << 20, 0600);
	p = shmat(id, 0, 0);
	memset(p, 7, 1 << 20);
	q = mremap(p, 1 << 20, 1 << 20, MREMAP_MAYMOVE | MREMAP_FIXED, p + (8 << 20));
	OK(q == p + (8 << 20) && q[12345] == 7);
	OK(nattch(id) == 1);
	SAY(shmdt(p));
	SAY(shmdt(q));
	SAY(shmctl(id, IPC_RMID, 0));
	// many
	int ids[200];
	for (int k = 0; k < 200; k++)
		ids[k] = shmget(0x9000 + k, 4096, IPC_CREAT | 0600);
	int different = 1;
	for (int k = 0; k < 200; k++)
		for (int j = 0; j < k; j++)
			different &= ids[k] != ids[j] && ids[k] >= 0;
	printf("different %d\n", different);
	for (int k = 0; k < 200; k++)
		if (shmctl(ids[k], IPC_RMID, 0))
			perror("rmid");
}

static int semid;

static void otherSem(int id) {
	struct semid_ds d;
	struct sembuf op = {0, 1, 0}, zero = {0, 0, IPC_NOWAIT};
	union semun a = {.buf = &d};
	SAY(semop(id, &op, 1));
	SAY(semop(id, &zero, 1));
	SAY(semctl(id, 0, GETVAL));
	SAY(semctl(id, 0, IPC_STAT, a));
	SAY(semctl(id & 32767, 0, SEM_STAT, a));
	OK(semctl(id & 32767, 0, SEM_STAT_ANY, a) == id);
	SAY(semctl(id, 0, IPC_RMID));
	SAY(semctl(id, 0, SETVAL, (union semun){.val = 3}));
}

static void handler(int s) {}

static void undoer(int id) {
	struct sembuf a[] = {{0, 5, SEM_UNDO}, {1, 2, SEM_UNDO}};
	semop(id, a, 2);
	struct sembuf b = {0, -1, SEM_UNDO};
	semop(id, &b, 1);
	printf("undoer sees %d %d\n", semctl(id, 0, GETVAL), semctl(id, 1, GETVAL));
}

static void *threadUndo(void *p) {
	struct sembuf a = {2, 4, SEM_UNDO};
	semop(semid, &a, 1);
	return 0;
}

static void undoByThread(int id) {
	pthread_t t;
	pthread_create(&t, 0, threadUndo, 0);
	pthread_join(t, 0);
	printf("after the thread %d\n", semctl(id, 2, GETVAL));
}

static void undoAcrossExec(int id) {
	struct sembuf a = {2, 4, SEM_UNDO};
	semop(id, &a, 1);
	execl("/bin/true", "true", NULL);
}

static void sleeper(int n, int op, int flag) {
	if (!fork()) {
		struct sembuf b = {n, op, flag};
		int r = semop(semid, &b, 1);
		_exit(r ? errno : 0);
	}
}

static int status(void) {
	int s;
	wait(&s);
	return WIFEXITED(s) ? WEXITSTATUS(s) : -WTERMSIG(s);
}

static void semaphores(void) {
	struct semid_ds d;
	struct seminfo i;
	union semun a = {.buf = &d};
	unsigned short v[5] = {1, 2, 3, 4, 5};
	struct timespec ts = {0, 20000000};
	puts("== sem");
	SAY(semget(0x4712, 0, IPC_CREAT | 0600));
	SAY(semget(0x4712, -1, IPC_CREAT | 0600));
	SAY(semget(0x4712, 32001, IPC_CREAT | 0600));
	SAY(semget(0x4712, 5, 0600));
	int id = semid = semget(0x4712, 5, IPC_CREAT | 0640);
	OK(id >= 0);
	SAY(semget(0x4712, 6, 0));
	OK(semget(0x4712, 0, 0) == id);
	SAY(semget(0x4712, 5, IPC_CREAT | IPC_EXCL));
	SAY(semctl(id, 0, IPC_STAT, a));
	printf("mode %o nsems %lu otime %d\n", d.sem_perm.mode, d.sem_nsems, d.sem_otime == 0);
	SAY(semctl(id, 0, SETALL, (union semun){.array = v}));
	v[0] = 40000;
	SAY(semctl(id, 0, SETALL, (union semun){.array = v}));
	SAY(semctl(id, 0, SETALL, (union semun){.array = (void *)8}));
	memset(v, 0, sizeof v);
	SAY(semctl(id, 0, GETALL, (union semun){.array = v}));
	printf("%d %d %d %d %d\n", v[0], v[1], v[2], v[3], v[4]);
	SAY(semctl(id, 4, GETVAL));
	SAY(semctl(id, 5, GETVAL));
	SAY(semctl(id, -1, GETVAL));
	SAY(semctl(id, 0, SETVAL, (union semun){.val = -1}));
	SAY(semctl(id, 0, SETVAL, (union semun){.val = 32768}));
	SAY(semctl(id, 0, SETVAL, (union semun){.val = 0}));
	SAY(semctl(id, 9, SETVAL, (union semun){.val = 0}));
	OK(semctl(id, 0, GETPID) == getpid());
	struct sembuf nothing = {0, 0, 0}, big = {9, 1, 0}, up = {0, 1, 0}, down = {0, -1, IPC_NOWAIT}, max = {0, 32767, 0};
	struct sembuf many[501] = {{0}};
	SAY(semop(id, &nothing, 1));
	SAY(semop(id, &big, 1));
	SAY(semop(id, &up, 0));
	SAY(semop(id, many, 501));
	SAY(semop(id, many, 500));
	SAY(semop(id, (void *)8, 1));
	SAY(semop(-1, &up, 1));
	SAY(semop(id + 1, &up, 1));
	SAY(semop(id, &down, 1));
	SAY(semop(id, &up, 1));
	SAY(semop(id, &max, 1));
	SAY(semop(id, &down, 1));
	SAY(semtimedop(id, &(struct sembuf){0, -1, 0}, 1, &ts));
	ts.tv_nsec = 2000000000;
	SAY(semtimedop(id, &(struct sembuf){0, -1, 0}, 1, &ts));
	ts = (struct timespec){-1, 0};
	SAY(semtimedop(id, &(struct sembuf){0, -1, 0}, 1, &ts));
	SAY(semtimedop(id, &up, 1, (void *)8));
	// all or nothing, several on the same
	struct sembuf multi[] = {{1, -2, 0}, {2, -3, 0}, {3, -5, IPC_NOWAIT}};
	SAY(semop(id, multi, 3));
	SAY(semctl(id, 1, GETVAL));
	struct sembuf same[] = {{1, -2, 0}, {1, 0, 0}, {1, 7, 0}, {1, -4, IPC_NOWAIT}};
	SAY(semop(id, same, 4));
	SAY(semctl(id, 1, GETVAL));
	struct sembuf range[] = {{1, 1, 0}, {2, 32767, 0}};
	SAY(semop(id, range, 2));
	SAY(semctl(id, 1, GETVAL));
	asUser(1234, otherSem, id);
	SAY(semctl(0, 0, IPC_INFO, (union semun){.info = &i}) >= 0);
	printf("%d %d %d %d %d %d %d %d %d %d\n", i.semmap, i.semmni, i.semmns, i.semmnu, i.semmsl, i.semopm, i.semume, i.semusz, i.semvmx, i.semaem);
	SAY(semctl(0, 0, SEM_INFO, (union semun){.info = &i}) >= 0);
	printf("used %d sems %d\n", i.semusz, i.semaem);
	SAY(semctl(id, 0, 99));
	// undo
	memset(v, 0, sizeof v);
	semctl(id, 0, SETALL, (union semun){.array = v});
	int st = asUser(0, undoer, id);
	printf("after undo %d %d status %d\n", semctl(id, 0, GETVAL), semctl(id, 1, GETVAL), st);
	asUser(0, undoByThread, id);
	printf("after the process %d\n", semctl(id, 2, GETVAL));
	asUser(0, undoAcrossExec, id);
	printf("after exec %d\n", semctl(id, 2, GETVAL));
	struct sembuf too[] = {{0, 32767, SEM_UNDO}, {0, -32767, 0}, {0, 32767, SEM_UNDO}};
	SAY(semop(id, too, 3));
	SAY(semctl(id, 0, GETVAL));
	SAY(semctl(id, 0, SETVAL, (union semun){.val = 0}));
	// waiting
	fflush(stdout);
	sleeper(0, -1, 0);
	sleeper(0, -2, 0);
	while (semctl(id, 0, GETNCNT) < 2)
		naps(1);
	printf("ncnt %d zcnt %d\n", semctl(id, 0, GETNCNT), semctl(id, 0, GETZCNT));
	SAY(semop(id, &(struct sembuf){0, 2, 0}, 1));
	SAY(status());
	SAY(semctl(id, 0, GETNCNT));
	SAY(semop(id, &up, 1));
	SAY(status());
	SAY(semctl(id, 0, GETVAL));
	semctl(id, 0, SETVAL, (union semun){.val = 1});
	fflush(stdout);
	sleeper(0, 0, 0);
	while (semctl(id, 0, GETZCNT) < 1)
		naps(1);
	SAY(semop(id, &down, 1));
	SAY(status());
	// a signal
	signal(SIGUSR1, handler);
	fflush(stdout);
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
	sigaction(SIGUSR1, &sa, 0);
	int pid = fork();
	if (!pid) _exit(semop(id, &(struct sembuf){0, -1, 0}, 1) ? errno : 0);
	while (semctl(id, 0, GETNCNT) < 1)
		naps(1);
	kill(pid, SIGUSR1);
	printf("interrupted %s\n", strerrorname_np(status()));
	fflush(stdout);
	sleeper(0, -1, 0);
	while (semctl(id, 0, GETNCNT) < 1)
		naps(1);
	SAY(semctl(id, 0, IPC_RMID));
	printf("removed %s\n", strerrorname_np(status()));
	SAY(semctl(id, 0, GETVAL));
	SAY(semop(id, &up, 1));
}

struct text { long type; char text[9000]; };

static void otherMsg(int id) {
	struct msqid_ds d;
	struct text m = {1, "x"};
	SAY(msgsnd(id, &m, 1, IPC_NOWAIT));
	SAY(msgrcv(id, &m, 1, 0, IPC_NOWAIT));
	SAY(msgctl(id, IPC_STAT, &d));
	SAY(msgctl(id & 32767, MSG_STAT, &d) == id);
	SAY(msgctl(id & 32767, 13, &d) == id);
	d.msg_qbytes = 1 << 20;
	SAY(msgctl(id, IPC_SET, &d));
	SAY(msgctl(id, IPC_RMID, 0));
}

static void messages(void) {
	struct msqid_ds d;
	struct msginfo i;
	static struct text m, r;
	puts("== msg");
	SAY(msgget(0x4713, 0600));
	int id = msgget(0x4713, IPC_CREAT | 0640);
	OK(id >= 0);
	SAY(msgget(0x4713, IPC_CREAT | IPC_EXCL));
	SAY(msgctl(id, IPC_STAT, &d));
	printf("mode %o qnum %lu qbytes %lu cbytes %lu lspid %d lrpid %d\n", d.msg_perm.mode, d.msg_qnum, d.msg_qbytes, d.__msg_cbytes, d.msg_lspid, d.msg_lrpid);
	SAY(msgrcv(id, &r, 10, 0, IPC_NOWAIT));
	m.type = 0;
	SAY(msgsnd(id, &m, 1, 0));
	m.type = 5;
	SAY(msgsnd(id, &m, 8193, 0));
	SAY(msgsnd(id, &m, -1, 0));
	SAY(msgsnd(-1, &m, 1, 0));
	SAY(msgsnd(id + 1, &m, 1, 0));
	SAY(msgsnd(id, (void *)8, 1, 0));
	for (int k = 0; k < 6; k++) {
		m.type = "352419"[k] - '0';
		sprintf(m.text, "message %d", k);
		SAY(msgsnd(id, &m, strlen(m.text) + 1, 0));
	}
#define RCV(size, kind, flags) do { memset(&r, 0, 64); SAY(msgrcv(id, &r, size, kind, flags)); printf("  %ld %s\n", r.type, r.text); } while (0)
	RCV(100, 2, IPC_NOWAIT | MSG_COPY);
	RCV(100, 9, IPC_NOWAIT | MSG_COPY);
	RCV(100, 2, MSG_COPY);
	RCV(100, 2, MSG_COPY | MSG_EXCEPT | IPC_NOWAIT);
	RCV(3, 0, MSG_COPY | IPC_NOWAIT);
	RCV(3, 0, MSG_COPY | MSG_NOERROR | IPC_NOWAIT);
	RCV(100, 4, IPC_NOWAIT);
	RCV(100, 4, IPC_NOWAIT);
	RCV(100, -3, IPC_NOWAIT);
	RCV(100, 3, MSG_EXCEPT | IPC_NOWAIT);
	RCV(3, 0, 0);
	RCV(3, 0, MSG_NOERROR);
	RCV(0, 0, MSG_NOERROR);
	RCV(100, LONG_MIN, 0);
	RCV(100, 0, IPC_NOWAIT);
	RCV(-1, 0, IPC_NOWAIT);
	SAY(msgctl(id, IPC_STAT, &d));
	printf("qnum %lu cbytes %lu lspid %d lrpid %d\n", d.msg_qnum, d.__msg_cbytes, d.msg_lspid == getpid(), d.msg_lrpid == getpid());
	// full
	m.type = 1;
	SAY(msgsnd(id, &m, 8192, 0));
	SAY(msgsnd(id, &m, 8192, 0));
	SAY(msgsnd(id, &m, 1, IPC_NOWAIT));
	SAY(msgsnd(id, &m, 0, IPC_NOWAIT));
	asUser(1234, otherMsg, id);
	fflush(stdout);
	int pid = fork();
	if (!pid) { m.type = 7; strcpy(m.text, "waited"); _exit(msgsnd(id, &m, 7, 0) ? errno : 0); }
	naps(30);
	SAY(msgrcv(id, &r, 8192, 1, 0));
	SAY(status());
	RCV(100, 7, 0);
	SAY(msgrcv(id, &r, 8192, 1, 0));
	SAY(msgrcv(id, &r, 8192, 1, 0));
	fflush(stdout);
	pid = fork();
	if (!pid) _exit(msgrcv(id, &r, 2, 3, 0) < 0 ? errno : 0);
	naps(30);
	m.type = 3;
	SAY(msgsnd(id, &m, 5, 0));
	printf("receiver %s\n", strerrorname_np(status()));
	RCV(100, 0, IPC_NOWAIT);
	fflush(stdout);
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
	sigaction(SIGUSR1, &sa, 0);
	pid = fork();
	if (!pid) _exit(msgrcv(id, &r, 2, 3, 0) < 0 ? errno : 0);
	int st;
	while (waitpid(pid, &st, WNOHANG) == 0) {
		kill(pid, SIGUSR1);
		naps(10);
	}
	printf("interrupted %s\n", strerrorname_np(WEXITSTATUS(st)));
	SAY(msgctl(id, IPC_INFO, (void *)&i) >= 0);
	printf("%d %d %d %d %d %d %d %d\n", i.msgpool, i.msgmap, i.msgmax, i.msgmnb, i.msgmni, i.msgssz, i.msgtql, i.msgseg);
	SAY(msgctl(id, MSG_INFO, (void *)&i) >= 0);
	printf("used %d messages %d bytes %d\n", i.msgpool, i.msgmap, i.msgtql);
	d.msg_perm.uid = 1234;
	d.msg_qbytes = 100;
	SAY(msgctl(id, IPC_SET, &d));
	SAY(msgsnd(id, &m, 101, IPC_NOWAIT));
	asUser(1234, otherMsg, id);
	SAY(msgctl(id, IPC_STAT, &d));
	id = msgget(IPC_PRIVATE, 0600);
	fflush(stdout);
	if (!fork()) _exit(msgrcv(id, &r, 2, 3, 0) < 0 ? errno : 0);
	naps(30);
	SAY(msgctl(id, IPC_RMID, 0));
	printf("removed %s\n", strerrorname_np(status()));
	SAY(msgctl(id, 99, 0));
}

static void table(const char *name, int columns) {
	char path[64], line[512];
	sprintf(path, "/proc/sysvipc/%s", name);
	FILE *f = fopen(path, "r");
	for (int n = 0; fgets(line, sizeof line, f); n++) {
		if (!n)
			fputs(line, stdout);
		else // key … perms, without the identifier
			printf("%.10s%.*s (%zu)\n", line, columns, line + 21, strlen(line));
	}
	fclose(f);
}

// attached shows who touched a segment last.
static void attached(void) {
	puts("== last process");
	struct shmid_ds d;
	int id = shmget(IPC_PRIVATE, 4096, 0600), pid;
#define LAST(...) do { fflush(stdout); if (!(pid = fork())) { __VA_ARGS__; _exit(0); } waitpid(pid, 0, 0); shmctl(id, IPC_STAT, &d); \
	printf("%s: child %d self %d none %d\n", #__VA_ARGS__, d.shm_lpid == pid, d.shm_lpid == getpid(), !d.shm_lpid); } while (0)
	LAST();
	void *at = shmat(id, 0, 0);
	LAST(pause);
	LAST(shmdt(at));
	LAST(execl("/bin/true", "true", (char *)0));
	LAST(kill(getpid(), SIGKILL));
	shmdt(at);
	LAST();
	shmctl(id, IPC_RMID, 0);
}

int main(void) {
	unshare(CLONE_NEWIPC); // where it can: nobody else's objects, and the usual limits
	setvbuf(stdout, 0, _IOLBF, 0);
	shared();
	semaphores();
	messages();
	attached();
	puts("== tables");
	int a = shmget(0x123, 5000, IPC_CREAT | 0640), b = semget(-3, 7, IPC_CREAT | 0600), c = msgget(0x125, IPC_CREAT | 0666);
	table("shm", 28);
	table("sem", 17);
	table("msg", 29);
	shmctl(a, IPC_RMID, 0);
	semctl(b, 0, IPC_RMID);
	msgctl(c, IPC_RMID, 0);
	char line[100];
	const char *files[] = {"shmmax", "shmall", "shmmni", "sem", "msgmax", "msgmnb", "msgmni", "shm_rmid_forced"};
	for (int k = 0; k < 8; k++) {
		sprintf(line, "/proc/sys/kernel/%s", files[k]);
		FILE *f = fopen(line, "r");
		printf("%s %s", files[k], fgets(line, sizeof line, f));
		fclose(f);
	}
	return 0;
}
