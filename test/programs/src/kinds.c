// Files that are not on a disk: pipes, sockets, epoll, timers, terminals, and
// the calls that wait for them. Every line shows a call and what it gave.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SHOW(call)                                                             \
	do {                                                                   \
		errno = 0;                                                     \
		long result = (long)(call);                                    \
		printf("%s = %ld %s\n", #call, result,                         \
		       result < 0 ? strerror(errno) : "");                     \
	} while (0)

static int p[2], q[2];
static char b[70000];
static struct timeval tv;
static struct timespec ts;
static fd_set r, w;
static sigset_t m;
static sigset_t e;
static int n;
static int s[2];
static struct stat st;
static int ep, f, nul, tf;
static pid_t c;
static struct epoll_event ev = {EPOLLIN, {.u64 = 7}}, evs[4];
static struct pollfd pf[3];

static volatile int got;
static void handler(int sig) { got = sig; }

static void on(int flags) {
	struct sigaction sa = {0};
	sa.sa_handler = handler;
	sa.sa_flags = flags;
	sigaction(SIGALRM, &sa, 0);
}

static void alarm_ms(int ms) {
	struct itimerval it = {{0, 0}, {0, ms * 1000}};
	setitimer(ITIMER_REAL, &it, 0);
}

static void start(void) {
	setvbuf(stdout, 0, _IOLBF, 0);
	SHOW(pipe(p));
	SHOW(pipe(q));
}

static void select_shows_what_is_left(void) {
	tv.tv_sec = 0;
	tv.tv_usec = 30000;
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	SHOW(select(p[0]+1, &r, 0, 0, &tv));
	printf("left %ld.%06ld\n", (long)tv.tv_sec, (long)tv.tv_usec);
	tv.tv_sec = 5;
	tv.tv_usec = 0;
	write(p[1], "x", 1);
	FD_SET(p[0], &r);
	FD_ZERO(&w);
	FD_SET(p[1], &w);
	SHOW(select(p[1]+1, &r, &w, 0, &tv));
	printf("left4 %d\n", (int)tv.tv_sec==4);
	tv.tv_sec = -1;
	SHOW(select(1, 0, 0, 0, &tv));
	SHOW(select(-1, 0, 0, 0, 0));
	FD_ZERO(&r);
	FD_SET(40, &r);
	tv.tv_sec = 0;
	tv.tv_usec = 0;
	SHOW(select(41, &r, 0, 0, &tv));
	read(p[0], b, 1);
}

static void interruption(void) {
	on(0);
	alarm_ms(20);
	SHOW(read(p[0], b, 1));
	on(SA_RESTART);
	alarm_ms(20);
	c = fork();
	if (!c) {
		usleep(60000);
		write(p[1], "y", 1);
		_exit(0);
	}
	SHOW(read(p[0], b, 1));
	waitpid(c, 0, 0);
	alarm_ms(20);
	SHOW(poll(0, 0, 100));
	alarm_ms(20);
	ts.tv_sec = 1;
	ts.tv_nsec = 0;
	sigemptyset(&m);
	SHOW(ppoll(0, 0, &ts, &m));
	alarm_ms(20);
	tv.tv_sec = 1;
	tv.tv_usec = 0;
	SHOW(select(0, 0, 0, 0, &tv));
	printf("%d\n", tv.tv_sec==0);
	ep = epoll_create1(0);
	epoll_ctl(ep, 1, p[0], &ev);
	alarm_ms(20);
	SHOW(epoll_wait(ep, evs, 4, 1000));
	SHOW(epoll_wait(ep, evs, 4, 20));
	SHOW(epoll_wait(ep, evs, 0, 20));
	SHOW(epoll_wait(p[0], evs, 1, 20));
	SHOW(epoll_ctl(ep, 1, p[0], &ev));
	SHOW(epoll_ctl(ep, 2, q[0], &ev));
	SHOW(epoll_ctl(ep, 9, p[0], &ev));
	SHOW(epoll_ctl(ep, 1, 99, &ev));
	SHOW(epoll_ctl(ep, 1, ep, &ev));
	SHOW(epoll_wait(ep, (void*)1, 4, 0));
	write(p[1], "z", 1);
	SHOW(epoll_wait(ep, (void*)16, 4, 0));
	SHOW(epoll_wait(ep, evs, 4, 0));
	printf("%x %d\n", evs[0].events, (int)evs[0].data.u64);
	read(p[0], b, 1);
}

static void masks(void) {
	sigemptyset(&m);
	sigaddset(&m, SIGALRM);
	sigprocmask(SIG_BLOCK, &m, 0);
	got = 0;
	alarm_ms(10);
	usleep(30000);
	printf("blocked got %d\n", got);
	sigemptyset(&e);
	ts.tv_sec = 1;
	ts.tv_nsec = 0;
	SHOW(ppoll(0, 0, &ts, &e));
	printf("got %d\n", got);
	got = 0;
	alarm_ms(10);
	SHOW(epoll_pwait(ep, evs, 4, 1000, &e));
	printf("got %d\n", got);
	got = 0;
	alarm_ms(10);
	SHOW(pselect(0, 0, 0, 0, &ts, &e));
	printf("got %d\n", got);
	sigprocmask(SIG_SETMASK, 0, &m);
	printf("still blocked %d\n", sigismember(&m, SIGALRM));
	sigprocmask(SIG_SETMASK, &e, 0);
	struct { const sigset_t *s; size_t n; } arg =  {&e, 7};
	SHOW(syscall(SYS_pselect6, 0, 0, 0, 0, 0, &arg));
	SHOW(syscall(SYS_ppoll, 0, 0, &ts, &e, 4));
	struct timespec t2 = {0, 20000000};
	SHOW(syscall(441, ep, evs, 4, &t2, 0, 8));
	t2.tv_nsec = 2000000000;
	SHOW(syscall(441, ep, evs, 4, &t2, 0, 8));
}

static void polling(void) {
	pf[0] =  (struct pollfd){p[0], POLLIN, 0};
	pf[1] =  (struct pollfd){-1, POLLIN, 9};
	pf[2] =  (struct pollfd){88, POLLIN, 0};
	SHOW(poll(pf, 3, 0));
	printf("%x %x %x\n", pf[0].revents, pf[1].revents, pf[2].revents);
	SHOW(poll((void*)1, 1, 0));
	SHOW(poll(pf, 1000000000, 0));
}

static void pipes_and_splice(void) {
	SHOW(fcntl(p[1], F_SETPIPE_SZ, 4096));
	SHOW(fcntl(p[1], F_GETPIPE_SZ));
	fcntl(p[1], F_SETFL, O_NONBLOCK);
	SHOW(write(p[1], b, 5000));
	SHOW(write(p[1], b, 1));
	SHOW(tee(p[0], q[1], 100000, 0));
	SHOW(splice(p[0], 0, q[1], 0, 100, 0));
	SHOW(ioctl(q[0], FIONREAD, &n));
	printf("%d\n", n);
	SHOW(splice(p[0], 0, p[1], 0, 10, 0));
	SHOW(tee(p[0], p[1], 10, 0));
	loff_t off = 3;
	f = open("/etc/passwd", O_RDONLY);
	SHOW(splice(f, &off, q[1], 0, 10, 0));
	printf("%d\n", (int)off);
	SHOW(splice(p[0], &off, q[1], 0, 10, 0));
	SHOW(splice(f, 0, f, 0, 10, 0));
	SHOW(splice(f, 0, q[1], 0, 0, 0));
	SHOW(splice(f, 0, q[1], 0, 10, 0x100));
	SHOW(splice(99, 0, q[1], 0, 10, 0));
	SHOW(splice(q[1], 0, p[1], 0, 10, 0));
	struct iovec iv[2] = {{b, 10}, {b+20, 30}};
	SHOW(vmsplice(q[1], iv, 2, 0));
	SHOW(vmsplice(q[0], iv, 2, 0));
	SHOW(vmsplice(f, iv, 2, 0));
	nul = open("/dev/null", O_WRONLY);
	SHOW(splice(q[0], 0, nul, 0, 100000, 0));
	SHOW(splice(q[0], 0, nul, 0, 100, SPLICE_F_NONBLOCK));
	SHOW(pipe2(q, 0x12345));
	SHOW(pipe((void*)8));
}

static void memory_files(void) {
	int mf = memfd_create("m", MFD_ALLOW_SEALING);
	SHOW(ftruncate(mf, 100));
	SHOW(fcntl(mf, F_ADD_SEALS, F_SEAL_SHRINK|F_SEAL_GROW));
	SHOW(ftruncate(mf, 50));
	SHOW(pwrite(mf, "a", 1, 200));
	SHOW(fcntl(mf, F_GET_SEALS));
	SHOW(memfd_create("x", 0x800));
}

static void sockets(void) {
	SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	SHOW(socketpair(AF_UNIX, SOCK_STREAM, 1, p));
	SHOW(socketpair(AF_UNIX, SOCK_STREAM, 5, p));
	SHOW(socketpair(AF_UNIX, 9, 0, p));
	SHOW(socket(AF_UNIX, 99, 0));
	SHOW(socket(99, 1, 0));
	SHOW(socket(-1, 1, 0));
	SHOW(socket(AF_UNIX, SOCK_STREAM|0x10000, 0));
	SHOW(send(s[0], b, 100, 0));
	SHOW(recv(s[1], b, 10, MSG_PEEK));
	SHOW(recv(s[1], b, 1000, 0));
	SHOW(recv(s[1], b, 1, MSG_DONTWAIT));
	struct timeval to = {0, 20000};
	SHOW(setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &to, sizeof to));
	SHOW(recv(s[1], b, 1, 0));
	SHOW(read(s[1], b, 1));
	SHOW(getsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &to, (socklen_t[]){16}));
	SHOW(setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &to, 4));
	SHOW(setsockopt(s[1], SOL_SOCKET, 9999, &to, 4));
	SHOW(setsockopt(s[1], IPPROTO_TCP, 1, &n, 4));
	SHOW(getsockopt(s[1], IPPROTO_TCP, 1, &n, (socklen_t[]){4}));
	SHOW(shutdown(s[0], 5));
	SHOW(shutdown(f, 1));
	SHOW(shutdown(s[0], SHUT_WR));
	SHOW(recv(s[1], b, 1, 0));
	SHOW(send(s[0], b, 1, MSG_NOSIGNAL));
	SHOW(bind(s[0], (void*)b, 200));
	SHOW(connect(s[0], (void*)"\1\0/nonexist", 11));
	SHOW(accept(s[0], 0, 0));
	SHOW(listen(s[0], 1));
	SHOW(getpeername(s[0], (void*)b, (socklen_t[]){100}));
	SHOW(getsockname(f, (void*)b, (socklen_t[]){100}));
	int d[2];
	socketpair(AF_UNIX, SOCK_DGRAM, 0, d);
	struct mmsghdr mm[3];
	struct iovec io[3];
	char bb[3][50];
	memset(mm, 0, sizeof mm);
	for (int i = 0;i<3;i++) {
		io[i].iov_base = bb[i];
		io[i].iov_len = 10+i;
		mm[i].msg_hdr.msg_iov = &io[i];
		mm[i].msg_hdr.msg_iovlen = 1;
	}
	SHOW(sendmmsg(d[0], mm, 3, 0));
	for (int i = 0;i<3;i++)io[i].iov_len = 11;
	SHOW(recvmmsg(d[1], mm, 3, MSG_DONTWAIT, 0));
	for (int i = 0;i<3;i++)printf("%d %x ", mm[i].msg_len, mm[i].msg_hdr.msg_flags);
	puts("");
	SHOW(recvmmsg(d[1], mm, 3, MSG_DONTWAIT, 0));
	struct sockaddr_un un = {AF_UNIX};
	int u = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(un.sun_path, "/tmp/kinds-socket");
	unlink(un.sun_path);
	SHOW(connect(u, (void*)&un, sizeof un));
	SHOW(bind(u, (void*)&un, sizeof un));
	SHOW(bind(u, (void*)&un, sizeof un));
	int u2 = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(bind(u2, (void*)&un, sizeof un));
	SHOW(connect(u2, (void*)&un, sizeof un));
	SHOW(listen(u, 0));
	SHOW(connect(u2, (void*)&un, sizeof un));
	int u3 = socket(AF_UNIX, SOCK_DGRAM, 0);
	SHOW(connect(u3, (void*)&un, sizeof un));
	strcpy(un.sun_path, "/etc/passwd");
	SHOW(connect(u3, (void*)&un, sizeof un));
	SHOW(open("/tmp/kinds-socket", O_RDONLY));
	socklen_t l = sizeof un;
	SHOW(getpeername(u2, (void*)&un, &l));
	printf("%d %s\n", l, un.sun_path);
	struct ucred uc;
	l = sizeof uc;
	SHOW(getsockopt(u2, SOL_SOCKET, SO_PEERCRED, &uc, &l));
	printf("%d %d\n", uc.pid==getpid(), uc.uid);
}

static void odd_calls(void) {
	tf = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec is = {{0, 0}, {0, 1}};
	SHOW(timerfd_settime(tf, 0, &is, 0));
	usleep(1000);
	unsigned long long v;
	SHOW(read(tf, &v, 8));
	SHOW(read(tf, &v, 8));
	SHOW(write(tf, &v, 8));
	SHOW(read(tf, &v, 4));
	SHOW(lseek(tf, 0, 0));
	SHOW(pread(tf, &v, 8, 0));
	SHOW(ftruncate(tf, 0));
	SHOW(fsync(tf));
	SHOW(mmap(0, 4096, PROT_READ, MAP_SHARED, tf, 0)==MAP_FAILED?-1:0);
	SHOW(timerfd_settime(f, 0, &is, 0));
	SHOW(eventfd(0, 99));
	SHOW(signalfd(f, &m, 0));
	SHOW(signalfd(-1, &m, 0x7));
	SHOW(fsync(s[0]));
	SHOW(fsync(p[0]));
	SHOW(lseek(p[0], 0, 0));
	SHOW(ftruncate(p[0], 0));
	SHOW(fchmod(p[0], 0600));
	SHOW(posix_fallocate(p[0], 0, 1));
	SHOW(fallocate(p[0], 0, 0, 1));
	SHOW(fallocate(s[0], 0, 0, 1));
	SHOW(ioctl(p[0], TCGETS, b));
	SHOW(ioctl(s[0], TCGETS, b));
	SHOW(ioctl(nul, TCGETS, b));
	SHOW(getdents64(p[0], b, 100));
	SHOW(fcntl(p[0], F_GETFL));
	SHOW(fcntl(s[0], F_GETFL));
	SHOW(fcntl(tf, F_GETFL));
	SHOW(fcntl(ep, F_GETFL));
	fstat(p[0], &st);
	printf("%o %ld %ld %d\n", st.st_mode, (long)st.st_size, (long)st.st_blksize, (int)st.st_nlink);
	fstat(s[0], &st);
	printf("%o %ld %ld\n", st.st_mode, (long)st.st_size, (long)st.st_blksize);
	fstat(tf, &st);
	printf("%o\n", st.st_mode);
	fstat(ep, &st);
	printf("%o\n", st.st_mode);
}

static void terminals_and_fifos(void) {
	int ma, sl;
	struct winsize ws = {10, 20, 0, 0};
	SHOW(openpty(&ma, &sl, b, 0, &ws)<0);
	printf("%.9s\n", b);
	SHOW(tcgetpgrp(sl));
	SHOW(tcgetpgrp(ma));
	SHOW(ioctl(sl, TIOCGWINSZ, &ws));
	printf("%d %d\n", ws.ws_row, ws.ws_col);
	SHOW(tcsendbreak(sl, 0));
	SHOW(tcdrain(sl));
	SHOW(tcflush(sl, TCIOFLUSH));
	SHOW(tcflush(sl, 9));
	SHOW(tcflow(sl, 9));
	SHOW(ioctl(sl, TIOCSTI, "q"));
	SHOW(ioctl(ma, TIOCGPTN, &n)<0);
	SHOW(ioctl(sl, TIOCGPTN, &n));
	SHOW(lseek(sl, 0, 0));
	SHOW(fsync(sl));
	SHOW(ioctl(sl, 0x1234, 0));
	SHOW(ptsname_r(ma, b, 100));
	SHOW(tcgetsid(sl));
	SHOW(ioctl(sl, TIOCNOTTY, 0));
	int pe;
	SHOW((pe = ioctl(ma, TIOCGPTPEER, O_RDWR|O_NOCTTY))<0);
	fstat(sl, &st);
	printf("%o %d\n", st.st_mode, (int)major(st.st_rdev));
	c = fork();
	if (!c) {
		setsid();
		SHOW(ioctl(sl, TIOCSCTTY, 0));
		SHOW(tcgetpgrp(sl)==getpid());
		SHOW(tcgetsid(sl)==getpid());
		SHOW(open("/dev/tty", O_RDWR)<0);
		signal(SIGHUP, SIG_IGN);
		SHOW(ioctl(sl, TIOCSCTTY, 0));
		pid_t k = fork();
		if (!k) {
			setpgid(0, 0);
			signal(SIGTTOU, SIG_DFL);
			SHOW(tcsetpgrp(sl, getpid()));
			_exit(9);
		}
		int stt;
		waitpid(k, &stt, WUNTRACED);
		printf("bg %d %d\n", WIFSTOPPED(stt), WIFSTOPPED(stt)?WSTOPSIG(stt):0);
		kill(k, SIGKILL);
		waitpid(k, &stt, 0);
		SHOW(tcsetpgrp(sl, 99999));
		_exit(0);
	}
	waitpid(c, &n, 0);
	printf("child %x\n", n);
	close(sl);
	close(pe);
	while (read(ma, b, 100)>0);
	SHOW(read(ma, b, 1));
	pf[0].fd = ma;
	pf[0].events = -1;
	SHOW(poll(pf, 1, 0));
	printf("%x\n", pf[0].revents);
	unlink("/tmp/kinds-socket");
	unlink("/tmp/kinds-fifo");
	SHOW(mkfifo("/tmp/kinds-fifo", 0600));
	SHOW(open("/tmp/kinds-fifo", O_WRONLY|O_NONBLOCK));
	int fr;
	SHOW((fr = open("/tmp/kinds-fifo", O_RDONLY|O_NONBLOCK))<0);
	SHOW(read(fr, b, 1));
	int fw;
	SHOW((fw = open("/tmp/kinds-fifo", O_WRONLY|O_NONBLOCK))<0);
	SHOW(read(fr, b, 1));
	SHOW(write(fw, "abc", 3));
	close(fw);
	SHOW(read(fr, b, 10));
	SHOW(read(fr, b, 10));
	pf[0].fd = fr;
	SHOW(poll(pf, 1, 0));
	printf("%x\n", pf[0].revents);
	unlink("/tmp/kinds-fifo");
	SHOW(socket(AF_NETLINK, SOCK_RAW, 0)<0?0:0);
}

int main(void) {
	start();
	select_shows_what_is_left();
	interruption();
	masks();
	polling();
	pipes_and_splice();
	memory_files();
	sockets();
	odd_calls();
	terminals_and_fifos();
	puts("end");
	return 0;
}
