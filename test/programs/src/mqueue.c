// POSIX message queues, call by call.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

static void naps(int ms) { struct timespec t = {0, ms * 1000000}; nanosleep(&t, 0); }

static int asUser(int uid, void (*f)(void)) {
	fflush(stdout);
	int status, pid = fork();
	if (!pid) {
		if (uid && (setgid(uid) || setuid(uid)))
			exit(99);
		f();
		exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void shut(mqd_t q) { if (q != -1) mq_close(q); }

static void other(void) {
	struct mq_attr big = {.mq_maxmsg = 11, .mq_msgsize = 100}, a = {.mq_maxmsg = 10, .mq_msgsize = 8192};
	SAY(mq_open("/q", O_RDWR) == -1);
	SAY(mq_open("/q", O_RDONLY) == -1);
	SAY(mq_unlink("/q"));
	SAY(mq_open("/mine", O_RDWR | O_CREAT, 0600, &big));
	big.mq_maxmsg = 1, big.mq_msgsize = 8193;
	SAY(mq_open("/mine", O_RDWR | O_CREAT, 0600, &big));
	int n = 0;
	char name[20];
	for (;; n++) {
		sprintf(name, "/mine%d", n);
		mqd_t q = mq_open(name, O_RDWR | O_CREAT, 0600, &a);
		if (q == -1)
			break;
		mq_close(q);
	}
	printf("queues %d %s\n", n, strerrorname_np(errno));
	while (n--) {
		sprintf(name, "/mine%d", n);
		if (mq_unlink(name))
			perror(name);
	}
	struct rlimit r = {8192, 8192};
	SAY(setrlimit(RLIMIT_MSGQUEUE, &r));
	SAY(mq_open("/mine", O_RDWR | O_CREAT, 0600, &a));
	a.mq_maxmsg = 1, a.mq_msgsize = 8192 - 96;
	OK((n = mq_open("/mine", O_RDWR | O_CREAT, 0600, &a)) >= 0);
	SAY(mq_unlink("/mine"));
	SAY(mq_open("/mine", O_RDWR | O_CREAT, 0600, &a));
	close(n);
	OK((n = mq_open("/mine", O_RDWR | O_CREAT, 0600, &a)) >= 0);
	SAY(mq_unlink("/mine"));
}

static volatile int got, code, value, pidOK;
static void handler(int s, siginfo_t *i, void *c) {
	got = s, code = i->si_code, value = i->si_value.sival_int, pidOK = i->si_pid > 0;
}

static void nothing(int s) {}

int main(void) {
	char buf[9000], name[300];
	struct mq_attr a, old;
	struct timespec ts;
	unsigned prio;
	unshare(CLONE_NEWIPC);
	setvbuf(stdout, 0, _IOLBF, 0);
	SAY(mq_open("/q", O_RDWR));
	SAY(mq_open("q", O_RDWR));
	SAY(mq_open("/", O_RDWR | O_CREAT, 0600, 0));
	SAY(mq_open("/a/b", O_RDWR | O_CREAT, 0600, 0));
	SAY(syscall(SYS_mq_open, "..", O_RDWR | O_CREAT, 0600, 0));
	SAY(syscall(SYS_mq_open, "/x", O_RDWR | O_CREAT, 0600, 0));
	SAY(syscall(SYS_mq_open, (void *)8, O_RDWR | O_CREAT, 0600, 0));
	SAY(syscall(SYS_mq_open, "x", O_RDWR | O_CREAT, 0600, 8));
	memset(name, 'n', sizeof name);
	name[0] = '/';
	name[256] = 0;
	mqd_t q = mq_open(name, O_RDWR | O_CREAT, 0600, 0);
	OK(q >= 0);
	mq_close(q);
	SAY(mq_unlink(name));
	name[256] = 'n', name[257] = 0;
	SAY(mq_open(name, O_RDWR | O_CREAT, 0600, 0));
	memset(&a, 0, sizeof a);
	SAY(mq_open("/q", O_RDWR | O_CREAT, 0600, &a));
	a.mq_maxmsg = -1, a.mq_msgsize = 10;
	SAY(mq_open("/q", O_RDWR | O_CREAT, 0600, &a));
	a.mq_maxmsg = 65537;
	SAY(mq_open("/q", O_RDWR | O_CREAT, 0600, &a));
	a.mq_maxmsg = 4;
	umask(027);
	q = mq_open("/q", O_RDWR | O_CREAT | O_EXCL, 0666, &a);
	OK(q >= 0);
	SAY(fcntl(q, F_GETFD));
	SAY(mq_open("/q", O_RDWR | O_CREAT | O_EXCL, 0600, &a));
	SAY(mq_open("/q", 3));
	SAY(mq_getattr(q, &a));
	printf("%ld %ld %ld %ld\n", a.mq_flags, a.mq_maxmsg, a.mq_msgsize, a.mq_curmsgs);
	SAY(mq_send(q, buf, 11, 0));
	SAY(mq_send(q, buf, 10, 32768));
	SAY(syscall(SYS_mq_timedsend, q, 8, 10, 0, 0));
	SAY(mq_send(q, "low", 4, 1));
	SAY(mq_send(q, "high", 5, 7));
	SAY(mq_send(q, "low2", 5, 1));
	SAY(mq_send(q, "", 0, 32767));
	a.mq_flags = O_NONBLOCK;
	SAY(mq_setattr(q, &a, &old));
	printf("%ld %ld %ld %ld\n", old.mq_flags, old.mq_maxmsg, old.mq_msgsize, old.mq_curmsgs);
	SAY(mq_send(q, "full", 5, 0));
	a.mq_flags = O_NONBLOCK | 1;
	SAY(mq_setattr(q, &a, &old));
	struct pollfd p = {q, POLLIN | POLLOUT};
	SAY(poll(&p, 1, 0));
	printf("revents %x\n", p.revents);
	SAY(mq_receive(q, buf, 9, &prio));
	for (int k = 0; k < 4; k++) {
		SAY(mq_receive(q, buf, 10, &prio));
		printf("%u %s\n", prio, buf);
	}
	SAY(mq_receive(q, buf, 10, &prio));
	SAY(poll(&p, 1, 0));
	printf("revents %x\n", p.revents);
	a.mq_flags = 0;
	SAY(mq_setattr(q, &a, 0));
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 20000000;
	if (ts.tv_nsec >= 1000000000) ts.tv_nsec -= 1000000000, ts.tv_sec++;
	SAY(mq_timedreceive(q, buf, 10, &prio, &ts));
	ts.tv_sec -= 100;
	SAY(mq_timedreceive(q, buf, 10, &prio, &ts));
	ts.tv_nsec = -1;
	SAY(mq_timedreceive(q, buf, 10, &prio, &ts));
	SAY(mq_timedreceive(q, buf, 5, &prio, &ts));
	SAY(mq_timedreceive(99, buf, 10, &prio, 0));
	SAY(mq_timedreceive(0, buf, 10, &prio, 0));
	mqd_t r = mq_open("/q", O_RDONLY), w = mq_open("/q", O_WRONLY | O_NONBLOCK);
	SAY(mq_send(r, "x", 1, 0));
	SAY(mq_receive(w, buf, 10, 0));
	SAY(mq_getattr(w, &a));
	printf("%ld\n", a.mq_flags);
	// blocked
	fflush(stdout);
	if (!fork()) { naps(30); _exit(mq_send(w, "wake", 5, 3)); }
	SAY(mq_receive(r, buf, 10, &prio));
	printf("%u %s\n", prio, buf);
	wait(0);
	for (int k = 0; k < 4; k++)
		mq_send(q, "x", 2, 0);
	fflush(stdout);
	if (!fork()) { naps(30); _exit(mq_receive(r, buf, 10, 0)); }
	SAY(mq_send(q, "fifth", 6, 2));
	wait(0);
	SAY(mq_receive(q, buf, 10, &prio));
	printf("%u %s\n", prio, buf);
	fflush(stdout);
	int told[2];
	char c;
	pipe(told);
	fcntl(told[0], F_SETFL, O_NONBLOCK);
	struct sigaction sa = {.sa_handler = nothing};
	sigaction(SIGUSR1, &sa, 0);
	int pid = fork();
	if (!pid) {
		while (mq_receive(q, buf, 10, 0) >= 0)
			;
		printf("interrupted %s\n", strerrorname_np(errno));
		sa.sa_flags = SA_RESTART;
		sigaction(SIGUSR1, &sa, 0);
		write(told[1], "t", 1);
		printf("after restart %zd\n", mq_receive(q, buf, 10, 0));
		fflush(stdout);
		_exit(0);
	}
	while (read(told[0], &c, 1) < 0) {
		kill(pid, SIGUSR1);
		naps(10);
	}
	naps(50);
	kill(pid, SIGUSR1);
	naps(50);
	mq_send(q, "end", 4, 0);
	wait(0);
	// epoll
	int e = epoll_create1(0);
	struct epoll_event ev = {EPOLLIN | EPOLLET, {.fd = q}};
	SAY(epoll_ctl(e, EPOLL_CTL_ADD, q, &ev));
	SAY(epoll_wait(e, &ev, 1, 0));
	mq_send(q, "x", 2, 0);
	SAY(epoll_wait(e, &ev, 1, 1000));
	SAY(epoll_wait(e, &ev, 1, 0));
	mq_send(q, "y", 2, 0);
	SAY(epoll_wait(e, &ev, 1, 1000));
	// notification
	sa = (struct sigaction){.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	sigaction(SIGUSR1, &sa, 0);
	struct sigevent se = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};
	SAY(mq_notify(q, &se));
	SAY(mq_notify(q, &se));
	mq_send(q, "z", 2, 0);
	printf("got %d\n", got);
	while (mq_getattr(q, &a), a.mq_curmsgs)
		mq_receive(q, buf, 10, 0);
	mq_send(q, "z", 2, 0);
	printf("got %d code %d value %d pid %d\n", got == SIGUSR1, code, value, pidOK);
	got = 0;
	mq_receive(q, buf, 10, 0);
	mq_send(q, "z", 2, 0);
	printf("got %d\n", got);
	mq_receive(q, buf, 10, 0);
	SAY(mq_notify(q, &se));
	SAY(mq_notify(q, NULL));
	SAY(mq_notify(q, NULL));
	SAY(mq_notify(q, &se));
	fflush(stdout);
	pid = fork();
	if (!pid) { naps(30); SAY(mq_notify(q, &se)); SAY(mq_notify(q, 0)); mq_send(q, "blocked", 8, 0); _exit(0); }
	SAY(mq_receive(q, buf, 10, 0));
	printf("got %d\n", got); // none: somebody waited
	wait(0);
	mq_close(w); // ends it, whatever descriptor made it
	SAY(mq_notify(q, &se));
	se.sigev_signo = 65;
	SAY(mq_notify(q, &se));
	se.sigev_notify = 7;
	SAY(mq_notify(q, &se));
	se.sigev_notify = SIGEV_NONE;
	mq_notify(q, 0);
	SAY(mq_notify(q, &se));
	SAY(mq_notify(99, &se));
	SAY(mq_notify(0, &se));
	char cookie[32] = {0};
	se.sigev_notify = SIGEV_THREAD, se.sigev_signo = 0, se.sigev_value.sival_ptr = cookie;
	SAY(syscall(SYS_mq_notify, q, &se));
	se.sigev_signo = 99;
	SAY(syscall(SYS_mq_notify, q, &se));
	// the file
	SAY(read(r, buf, 100));
	printf("%.40s\n", buf);
	SAY(read(r, buf, 100));
	SAY(write(q, buf, 1));
	SAY(lseek(r, 0, SEEK_SET));
	SAY(read(r, buf, 5));
	struct stat st;
	SAY(fstat(q, &st));
	printf("%o %ld %d %d\n", st.st_mode, (long)st.st_size, (int)st.st_nlink, st.st_uid);
	snprintf(name, sizeof name, "/proc/self/fd/%d", q);
	memset(buf, 0, 100);
	SAY(readlink(name, buf, 100));
	puts(buf);
	SAY(ftruncate(q, 0) < 0);
	SAY(fchmod(q, 0600));
	asUser(1234, other);
	// the file system
	mkdir("/tmp/mq", 0700);
	SAY(mount("none", "/tmp/mq", "mqueue", 0, 0));
	mq_send(q, "12345", 5, 0);
	DIR *d = opendir("/tmp/mq");
	for (struct dirent *f; (f = readdir(d));)
		printf("entry %s %d\n", f->d_name, f->d_type);
	closedir(d);
	SAY(stat("/tmp/mq", &st));
	printf("%o %d\n", st.st_mode, (int)st.st_nlink);
	int fd = open("/tmp/mq/q", O_RDONLY);
	memset(buf, 0, 100);
	SAY(read(fd, buf, 100));
	printf("%s", buf);
	SAY(mq_receive(fd, buf, 10, 0));
	close(fd);
	fd = open("/tmp/mq/new", O_RDWR | O_CREAT, 0600);
	SAY(mq_getattr(fd, &a));
	printf("%ld %ld\n", a.mq_maxmsg, a.mq_msgsize);
	SAY(rename("/tmp/mq/new", "/tmp/mq/newer"));
	SAY(mkdir("/tmp/mq/dir", 0700));
	SAY(symlink("x", "/tmp/mq/link"));
	SAY(unlink("/tmp/mq/new"));
	close(fd);
	SAY(mq_unlink("/q"));
	SAY(mq_unlink("/q"));
	SAY(access("/tmp/mq/q", F_OK));
	SAY(mq_send(q, "still", 6, 0));
	SAY(mq_receive(r, buf, 10, 0));
	SAY(umount("/tmp/mq"));
	rmdir("/tmp/mq");
	const char *files[] = {"msg_default", "msg_max", "msgsize_default", "msgsize_max", "queues_max"};
	for (int k = 0; k < 5; k++) {
		sprintf(name, "/proc/sys/fs/mqueue/%s", files[k]);
		FILE *f = fopen(name, "r");
		printf("%s %s", files[k], fgets(buf, sizeof buf, f));
		fclose(f);
	}
	return 0;
}
