// Sockets of the internet within one machine: every call in every state of a
// connection, the rules of ports, datagrams, options and readiness. Prints
// what happened; run on Linux it says what should have.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <linux/errqueue.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int family, pipes;
static const char *group;

static void on_pipe(int s) { pipes++; }

static void say(const char *what, long n) {
	int e = errno;
	printf("%s %s: %ld", group, what, n);
	if (n == -1) printf(" %s", strerrorname_np(e));
	if (pipes) printf(" SIGPIPE"), pipes = 0;
	printf("\n");
	errno = 0;
}
#define S(e) say(#e, (long)(e))
#define N(what, e) say(what, (long)(e))

typedef union {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage ss;
} addr;

static socklen_t size(void) { return family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6); }

static addr loop(int port) {
	addr a;
	memset(&a, 0, sizeof a);
	a.sa.sa_family = family;
	a.in.sin_port = htons(port);
	if (family == AF_INET)
		a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		a.in6.sin6_addr = in6addr_loopback;
	return a;
}

static addr name_of(int fd) {
	addr a;
	socklen_t n = sizeof a;
	memset(&a, 0, sizeof a);
	getsockname(fd, &a.sa, &n);
	return a;
}

static int bound(int type) {
	int s = socket(family, type, 0);
	addr a = loop(0);
	bind(s, &a.sa, size());
	return s;
}

static int listener(int backlog) {
	int s = bound(SOCK_STREAM);
	listen(s, backlog);
	return s;
}

static int to(int l, int type) {
	int s = socket(family, type & 0xf, 0);
	addr a = name_of(l);
	if (type & SOCK_NONBLOCK) fcntl(s, F_SETFL, O_NONBLOCK);
	connect(s, &a.sa, size());
	return s;
}

static int ready(int fd, int ev) {
	struct pollfd p = {fd, ev, 0};
	poll(&p, 1, 0);
	return p.revents;
}

#define ALL (POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLLRDBAND | POLLWRBAND)

static int option(int fd, int level, int name) {
	int v = -99;
	socklen_t n = sizeof v;
	if (getsockopt(fd, level, name, &v, &n) < 0) return -1;
	return v;
}

static int set(int fd, int level, int name, int v) { return setsockopt(fd, level, name, &v, sizeof v); }

static int state(int fd) {
	struct tcp_info t;
	socklen_t n = sizeof t;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &t, &n) < 0) return -1;
	// Linux acknowledges a FIN when it has time: FIN_WAIT1 becomes FIN_WAIT2.
	return t.tcpi_state == TCP_FIN_WAIT1 ? TCP_FIN_WAIT2 : t.tcpi_state;
}

static int queued(int fd, unsigned long request) {
	int n = -99;
	if (ioctl(fd, request, &n) < 0) return -1;
	return n;
}

// The states of a TCP socket that the calls are tried in.
static const char *states[] = {"fresh", "bound", "listening", "accepting", "connected", "accepted", "data", "shut-wr", "shut-rd", "shut-both",
	"peer-shut-wr", "peer-shut-rd", "peer-closed", "peer-closed-data", "peer-reset", "peer-reset-data", "refused", "refused-nonblock",
	"disconnected", "pending-closed", "listener-closed", "urgent", "urgent-data", "urgent-read", "both-shut", "connecting", "self"};
enum { STATES = sizeof states / sizeof *states };

static int l, other;

static int make(int st) {
	struct linger hard = {1, 0};
	int s;
	l = listener(5);
	other = -1;
	switch (st) {
	case 0: return socket(family, SOCK_STREAM, 0);
	case 1: return bound(SOCK_STREAM);
	case 2: return listener(5);
	case 3:
		s = listener(5);
		other = to(s, SOCK_STREAM);
		return s;
	case 16: {
		s = socket(family, SOCK_STREAM, 0);
		addr a = name_of(l);
		close(l);
		l = -1;
		connect(s, &a.sa, size());
		return s;
	}
	case 17: {
		s = socket(family, SOCK_STREAM, 0);
		addr a = name_of(l);
		close(l);
		l = -1;
		fcntl(s, F_SETFL, O_NONBLOCK);
		connect(s, &a.sa, size());
		return s;
	}
	case 19:
		s = listener(5);
		other = to(s, SOCK_STREAM);
		close(other);
		other = -1;
		int a = accept(s, 0, 0);
		close(s);
		return a;
	case 20:
		s = to(l, SOCK_STREAM);
		close(l);
		l = -1;
		return s;
	case 25:
		s = listener(0);
		other = to(s, SOCK_STREAM);
		close(l);
		l = s;
		return to(s, SOCK_STREAM | SOCK_NONBLOCK);
	case 26: {
		s = bound(SOCK_STREAM);
		addr a = name_of(s);
		connect(s, &a.sa, size());
		return s;
	}
	}
	s = to(l, SOCK_STREAM);
	other = accept(l, 0, 0);
	switch (st) {
	case 5: {
		int x = s;
		s = other;
		other = x;
		break;
	}
	case 6: send(other, "data", 4, 0); break;
	case 7: shutdown(s, SHUT_WR); break;
	case 8: shutdown(s, SHUT_RD); break;
	case 9: shutdown(s, SHUT_RDWR); break;
	case 10: shutdown(other, SHUT_WR); break;
	case 11: shutdown(other, SHUT_RD); break;
	case 12: close(other), other = -1; break;
	case 13: send(other, "data", 4, 0), close(other), other = -1; break;
	case 14: setsockopt(other, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), close(other), other = -1; break;
	case 15: send(other, "data", 4, 0), send(s, "x", 1, 0), close(other), other = -1; break;
	case 18: {
		addr u = {.sa = {AF_UNSPEC}};
		connect(s, &u.sa, size());
		break;
	}
	case 21: send(other, "u", 1, MSG_OOB); break;
	case 22: send(other, "abcde", 5, 0), send(other, "fgU", 3, MSG_OOB), send(other, "hij", 3, 0); break;
	case 23: {
		char c;
		send(other, "abU", 3, MSG_OOB), send(other, "cd", 2, 0);
		recv(s, &c, 1, MSG_OOB);
		break;
	}
	case 24: shutdown(s, SHUT_WR), shutdown(other, SHUT_WR); break;
	}
	return s;
}

static long text(int s, int n, int flags) {
	char b[64];
	memset(b, 0, sizeof b);
	long k = recv(s, b, n, flags | MSG_DONTWAIT);
	int e = errno;
	if (k > 0) printf("[%.*s] ", flags & MSG_TRUNC ? 0 : (int)k, b);
	errno = e;
	return k;
}

static long messaged(int s, int flags) {
	char b[64];
	struct iovec v = {b, sizeof b};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	long k = recvmsg(s, &m, flags | MSG_DONTWAIT);
	if (k >= 0) printf("{%x} ", m.msg_flags);
	return k;
}

enum { CALLS = 46 };

static void call(int s, int c) {
	addr a = loop(0), u = {.sa = {AF_UNSPEC}};
	socklen_t n = sizeof a;
	char b[16];
	struct sockaddr_in6 short6 = {.sin6_family = AF_INET6};
	switch (c) {
	case 0: N("poll", ready(s, ALL)); break;
	case 1: N("send", send(s, "hello", 5, MSG_DONTWAIT)); break;
	case 2: N("send, send", (send(s, "hello", 5, MSG_DONTWAIT), pipes = 0, send(s, "hello", 5, MSG_DONTWAIT | MSG_NOSIGNAL))); break;
	case 3: N("send oob", send(s, "hello", 5, MSG_DONTWAIT | MSG_OOB)); break;
	case 4: N("send nothing", send(s, "", 0, MSG_DONTWAIT)); break;
	case 5: N("recv", text(s, 16, 0)); break;
	case 6: N("recv, recv", (text(s, 16, 0), text(s, 16, 0))); break;
	case 7: N("recv three times", (text(s, 16, 0), text(s, 16, 0), text(s, 16, 0))); break;
	case 8: N("peek", text(s, 16, MSG_PEEK)); break;
	case 9: N("recv 2", text(s, 2, 0)); break;
	case 10: N("recv oob", text(s, 4, MSG_OOB)); break;
	case 11: N("peek oob", text(s, 4, MSG_OOB | MSG_PEEK)); break;
	case 12: N("recv trunc", text(s, 16, MSG_TRUNC)); break;
	case 13: N("recvmsg", messaged(s, 0)); break;
	case 14: N("recvmsg oob", messaged(s, MSG_OOB)); break;
	case 15: N("recvmsg errqueue", messaged(s, MSG_ERRQUEUE)); break;
	case 16: N("getpeername", getpeername(s, &a.sa, &n)); break;
	case 17: N("getsockname", getsockname(s, &a.sa, &n) ?: n * 10 + (a.in.sin_port != 0)); break;
	case 18: N("shutdown rd", shutdown(s, SHUT_RD)); N("poll", ready(s, ALL)); N("state", state(s)); break;
	case 19: N("shutdown wr", shutdown(s, SHUT_WR)); N("poll", ready(s, ALL)); N("state", state(s)); break;
	case 20: N("shutdown both", shutdown(s, SHUT_RDWR)); N("poll", ready(s, ALL)); N("state", state(s)); break;
	case 21: N("shutdown 3", shutdown(s, 3)); break;
	case 22: fcntl(s, F_SETFL, O_NONBLOCK); N("accept", accept(s, 0, 0) >= 0 ? 0 : -1); break;
	case 23: N("listen", listen(s, 1)); N("state", state(s)); break;
	case 24: N("bind", bind(s, &a.sa, size())); break;
	case 25:
		if (l < 0 || strcmp(group + 3, "connecting") == 0) break;
		a = name_of(l);
		fcntl(s, F_SETFL, O_NONBLOCK);
		N("connect", connect(s, &a.sa, size()));
		N("connect again", connect(s, &a.sa, size()));
		N("and again", connect(s, &a.sa, size()));
		N("poll", ready(s, ALL));
		break;
	case 26:
		if (l < 0) break;
		a = name_of(l);
		N("connect in short", connect(s, &a.sa, 8));
		break;
	case 27: N("connect unspec", connect(s, &u.sa, sizeof u.sa)); N("poll", ready(s, ALL)); N("state", state(s)); N("error", option(s, SOL_SOCKET, SO_ERROR)); break;
	case 28: N("error", option(s, SOL_SOCKET, SO_ERROR)); N("error again", option(s, SOL_SOCKET, SO_ERROR)); N("poll", ready(s, ALL)); break;
	case 29: N("state", state(s)); break;
	case 30: N("FIONREAD", queued(s, FIONREAD)); break;
	case 31: N("SIOCATMARK", queued(s, SIOCATMARK)); break;
	case 32: N("SIOCOUTQ", queued(s, SIOCOUTQ) < 0 ? -1 : 0); break;
	case 33: N("acceptconn", option(s, SOL_SOCKET, SO_ACCEPTCONN)); break;
	case 34: N("inline", set(s, SOL_SOCKET, SO_OOBINLINE, 1)); N("FIONREAD", queued(s, FIONREAD)); N("poll", ready(s, ALL)); N("recv", text(s, 16, 0)); N("mark", queued(s, SIOCATMARK)); N("recv", text(s, 16, 0)); N("oob", text(s, 1, MSG_OOB)); break;
	case 35: N("read 0", read(s, b, 0)); break;
	case 36: N("write", write(s, "abc", 3)); break;
	case 37: fcntl(s, F_SETFL, O_NONBLOCK); N("read", read(s, b, 4)); break;
	case 38: a = loop(1); N("sendto", sendto(s, "abc", 3, MSG_DONTWAIT, &a.sa, size())); break;
	case 39:
		n = sizeof a;
		N("recvfrom", (fcntl(s, F_SETFL, O_NONBLOCK), recvfrom(s, b, 4, 0, &a.sa, &n)));
		N("length of the name", n);
		break;
	case 40: N("lseek", lseek(s, 0, SEEK_CUR)); break;
	case 41: N("connect with a wrong family", connect(s, (void *)&short6, family == AF_INET ? sizeof short6 : 20)); break;
	case 42:
		if (other < 0) break;
		N("peer sends", send(other, "peer", 4, MSG_DONTWAIT));
		N("recv", text(s, 16, 0));
		N("peer's poll", ready(other, ALL));
		close(s);
		N("peer's poll after close", ready(other, ALL));
		N("peer sends", send(other, "peer", 4, MSG_DONTWAIT));
		N("peer sends again", send(other, "peer", 4, MSG_DONTWAIT));
		N("peer's poll", ready(other, ALL));
		N("peer receives", text(other, 16, 0));
		N("peer receives again", text(other, 16, 0));
		N("peer's error", option(other, SOL_SOCKET, SO_ERROR));
		N("peer's state", state(other));
		break;
	case 43:
		if (other < 0) break;
		close(s);
		N("peer receives after close", text(other, 16, 0));
		N("peer receives again", text(other, 16, 0));
		N("peer's poll", ready(other, ALL));
		N("peer's state", state(other));
		break;
	case 44:
		if (other < 0) break;
		close(other);
		other = -1;
		N("poll after the peer's close", ready(s, ALL));
		N("state", state(s));
		N("recv", text(s, 16, 0));
		N("send", send(s, "x", 1, MSG_DONTWAIT));
		N("send", send(s, "x", 1, MSG_DONTWAIT));
		N("poll", ready(s, ALL));
		N("recv", text(s, 16, 0));
		break;
	case 45:
		if (other < 0) break;
		shutdown(other, SHUT_WR);
		N("poll after the peer's shutdown", ready(s, ALL));
		N("state", state(s));
		N("shutdown", shutdown(s, SHUT_WR));
		N("state", state(s));
		N("peer's state", state(other));
		N("peer's poll", ready(other, ALL));
		N("poll", ready(s, ALL));
		break;
	}
}

static void matrix(void) {
	static char g[64];
	for (int st = 0; st < STATES; st++)
		for (int c = 0; c < CALLS; c++) {
			snprintf(g, sizeof g, "%d %s", family == AF_INET ? 4 : 6, states[st]);
			group = g;
			int s = make(st);
			pipes = 0;
			errno = 0;
			call(s, c);
			close(s);
			if (other >= 0) close(other);
			if (l >= 0) close(l);
		}
}

// ports: who may be bound beside whom.
static void ports(void) {
	static char g[64];
	// They are chosen, since others may be left in TIME_WAIT by what went before.
	static int port = 20000;
	for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++)
		for (int mask = 0; mask < 16; mask++)
			for (int where = 0; where < 4; where++)
				for (int listens = 0; listens < (type == SOCK_STREAM ? 3 : 1); listens++) {
					int a = socket(family, type, 0), b = socket(family, type, 0);
					set(a, SOL_SOCKET, SO_REUSEADDR, mask & 1);
					set(a, SOL_SOCKET, SO_REUSEPORT, mask >> 1 & 1);
					set(b, SOL_SOCKET, SO_REUSEADDR, mask >> 2 & 1);
					set(b, SOL_SOCKET, SO_REUSEPORT, mask >> 3 & 1);
					addr x = loop(++port), y;
					if (where & 1) memset((char *)&x + (family == AF_INET ? 4 : 8), 0, family == AF_INET ? 4 : 16);
					bind(a, &x.sa, size());
					if (listens) listen(a, 1);
					x = loop(0), y = name_of(a);
					x.in.sin_port = y.in.sin_port;
					if (where & 2) memset((char *)&x + (family == AF_INET ? 4 : 8), 0, family == AF_INET ? 4 : 16);
					snprintf(g, sizeof g, "ports %d type %d options %x where %d listening %d", family, type, mask, where, listens);
					group = g;
					N("bind", bind(b, &x.sa, size()));
					if (listens == 2) N("listen", listen(b, 1));
					close(a), close(b);
				}
	// Two families, one port.
	for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++)
		for (int mask = 0; mask < 8; mask++) {
			int a = socket(AF_INET6, type, 0), b = socket(AF_INET, type, 0);
			set(a, IPPROTO_IPV6, IPV6_V6ONLY, mask & 1);
			set(a, SOL_SOCKET, SO_REUSEADDR, mask >> 1 & 1);
			set(b, SOL_SOCKET, SO_REUSEADDR, mask >> 1 & 1);
			addr x = {.in6 = {.sin6_family = AF_INET6}}, y = {.in = {.sin_family = AF_INET}};
			x.in6.sin6_port = y.in.sin_port = htons(++port);
			snprintf(g, sizeof g, "families type %d %d", type, mask);
			group = g;
			if (mask & 4) {
				N("bind 4", bind(b, &y.sa, 16));
				N("bind 6", bind(a, &x.sa, 28));
			} else {
				N("bind 6", bind(a, &x.sa, 28));
				N("bind 4", bind(b, &y.sa, 16));
			}
			close(a), close(b);
		}
	group = "time-wait";
	int s = listener(5), c = to(s, SOCK_STREAM), d = accept(s, 0, 0);
	addr a = name_of(s);
	close(d);
	N("eof", text(c, 4, 0));
	close(c), close(s);
	s = socket(family, SOCK_STREAM, 0);
	N("bind", bind(s, &a.sa, size()));
	set(s, SOL_SOCKET, SO_REUSEADDR, 1);
	N("bind with reuse", bind(s, &a.sa, size()));
	N("listen", listen(s, 1));
	close(s);
	group = "established";
	s = listener(5), c = to(s, SOCK_STREAM), d = accept(s, 0, 0);
	a = name_of(s);
	close(s);
	s = socket(family, SOCK_STREAM, 0);
	N("bind", bind(s, &a.sa, size()));
	set(s, SOL_SOCKET, SO_REUSEADDR, 1);
	N("bind with reuse on one side", bind(s, &a.sa, size()));
	close(s), close(c), close(d);
	group = "names";
	s = socket(family, SOCK_STREAM, 0);
	a = loop(0);
	N("bind, length 3", bind(s, &a.sa, 3));
	N("bind, length 1", bind(s, &a.sa, 1));
	N("bind, length 128", bind(s, &a.sa, sizeof a.ss));
	N("bind again", bind(s, &a.sa, size()));
	close(s);
	s = socket(family, SOCK_STREAM, 0);
	a.sa.sa_family = AF_UNIX;
	N("bind, another family", bind(s, &a.sa, size()));
	a.sa.sa_family = AF_UNSPEC;
	N("bind, no family", bind(s, &a.sa, size()));
	a = loop(0);
	if (family == AF_INET)
		a.in.sin_addr.s_addr = htonl(0x08080808);
	else
		a.in6.sin6_addr.s6_addr[0] = 0x20;
	N("bind, not ours", bind(s, &a.sa, size()));
	close(s);
	s = socket(family, SOCK_STREAM, 0);
	N("listen without a name", listen(s, 3));
	N("has a port", name_of(s).in.sin_port != 0);
	close(s);
}

static void datagrams(void) {
	char b[128];
	static char g[64];
	snprintf(g, sizeof g, "udp %d", family);
	group = g;
	int u = socket(family, SOCK_DGRAM, 0), v = bound(SOCK_DGRAM);
	addr a = name_of(v), none = loop(9), from;
	socklen_t n = sizeof from;
	fcntl(u, F_SETFL, O_NONBLOCK);
	fcntl(v, F_SETFL, O_NONBLOCK);
	N("poll", ready(u, ALL));
	N("recv", text(u, 8, 0));
	N("send", send(u, "x", 1, 0));
	N("getpeername", getpeername(u, &from.sa, &n));
	N("shutdown", shutdown(u, SHUT_RD));
	close(u), u = socket(family, SOCK_DGRAM, 0);
	N("sendto", sendto(u, "hello", 5, 0, &a.sa, size()));
	N("sendto, short name", sendto(u, "hello", 5, 0, &a.sa, 7));
	addr port0 = loop(0);
	N("sendto, port 0", sendto(u, "hello", 5, 0, &port0.sa, size()));
	N("sendto, nothing", sendto(u, "", 0, 0, &a.sa, size()));
	N("sendto, oob", sendto(u, "a", 1, MSG_OOB, &a.sa, size()));
	N("has a port", name_of(u).in.sin_port != 0);
	N("poll", ready(v, ALL));
	N("FIONREAD", queued(v, FIONREAD));
	N("peek", text(v, 2, MSG_PEEK));
	N("peek trunc", text(v, 2, MSG_PEEK | MSG_TRUNC));
	n = sizeof from;
	N("recvfrom", recvfrom(v, b, 3, 0, &from.sa, &n));
	N("name", n);
	N("of the sender", from.in.sin_port == name_of(u).in.sin_port);
	N("poll", ready(v, ALL));
	N("recv", text(v, 8, 0));
	N("recv", text(v, 8, 0));
	N("recv oob", text(v, 8, MSG_OOB));
	N("errqueue", text(v, 8, MSG_ERRQUEUE));
	N("sendto nobody", sendto(u, "x", 1, 0, &none.sa, size()));
	N("sendto nobody", sendto(u, "x", 1, 0, &none.sa, size()));
	N("connect", connect(u, &none.sa, size()));
	N("send", send(u, "x", 1, 0));
	N("poll", ready(u, ALL));
	N("send", send(u, "x", 1, 0));
	N("send", send(u, "x", 1, 0));
	N("recv", text(u, 8, 0));
	N("recv", text(u, 8, 0));
	N("error", (send(u, "x", 1, 0), option(u, SOL_SOCKET, SO_ERROR)));
	N("connect", connect(u, &a.sa, size()));
	N("send", send(u, "one", 3, 0));
	N("sendto another", sendto(u, "two", 3, 0, &none.sa, size()));
	N("recv", text(v, 8, 0));
	N("from elsewhere", ({
		addr me = name_of(u);
		int w = socket(family, SOCK_DGRAM, 0);
		long k = sendto(w, "no", 2, 0, &me.sa, size());
		close(w);
		k;
	}));
	N("recv", text(u, 8, 0));
	N("from the peer", ({ addr me = name_of(u); sendto(v, "yes", 3, 0, &me.sa, size()); }));
	N("recv", text(u, 8, 0));
	addr un = {.sa = {AF_UNSPEC}};
	N("disconnect", connect(u, &un.sa, sizeof un.sa));
	N("send", send(u, "x", 1, 0));
	N("getpeername", getpeername(u, &from.sa, &n));
	N("listen", listen(u, 1));
	N("accept", accept(u, 0, 0));
	static char big[70000];
	N("large", sendto(u, big, 65507, 0, &a.sa, size()));
	N("larger", sendto(u, big, 65536, 0, &a.sa, size()));
	N("too large", sendto(u, big, 65530, 0, &a.sa, size()));
	N("recv large", recv(v, big, sizeof big, 0));
	N("more", sendto(u, "ab", 2, MSG_MORE, &a.sa, size()));
	N("recv", text(v, 8, 0));
	N("rest", sendto(u, "cd", 2, 0, &a.sa, size()));
	N("recv", text(v, 8, 0));
	N("cork", set(u, IPPROTO_UDP, UDP_CORK, 1));
	N("send", sendto(u, "ef", 2, 0, &a.sa, size()));
	N("send", sendto(u, "gh", 2, 0, &a.sa, size()));
	N("recv", text(v, 8, 0));
	N("uncork", set(u, IPPROTO_UDP, UDP_CORK, 0));
	N("recv", text(v, 8, 0));
	N("segment", set(u, IPPROTO_UDP, UDP_SEGMENT, 3));
	N("send", sendto(u, "abcdefgh", 8, 0, &a.sa, size()));
	N("recv", text(v, 8, 0));
	N("recv", text(v, 8, 0));
	N("recv", text(v, 8, 0));
	N("recv", text(v, 8, 0));
	N("shutdown", shutdown(v, SHUT_RD));
	N("poll", ready(v, ALL));
	N("recv", text(v, 8, 0));
	close(u), close(v);
	// A full buffer drops.
	u = socket(family, SOCK_DGRAM, 0), v = bound(SOCK_DGRAM);
	set(v, SOL_SOCKET, SO_RCVBUF, 4096);
	a = name_of(v);
	int sent = 0, got = 0;
	for (int i = 0; i < 100; i++)
		if (sendto(u, big, 1000, MSG_DONTWAIT, &a.sa, size()) == 1000) sent++;
	while (recv(v, big, 1000, MSG_DONTWAIT) == 1000) got++;
	N("sent to a full buffer", sent);
	N("received some", got > 0 && got < 20);
	close(u), close(v);
	// Errors in detail.
	u = socket(family, SOCK_DGRAM, 0);
	N("recverr", family == AF_INET ? set(u, IPPROTO_IP, IP_RECVERR, 1) : set(u, IPPROTO_IPV6, IPV6_RECVERR, 1));
	N("sendto nobody", sendto(u, "abc", 3, 0, &none.sa, size()));
	N("poll", ready(u, ALL));
	union {
		char b[512];
		struct cmsghdr h;
	} cm;
	struct iovec v1 = {b, sizeof b};
	struct msghdr m = {&from, sizeof from, &v1, 1, cm.b, sizeof cm.b, 0};
	N("recv", text(u, 4, 0));
	N("poll", ready(u, ALL));
	N("errqueue", recvmsg(u, &m, MSG_ERRQUEUE | MSG_DONTWAIT));
	printf("flags %x name %d control %zu\n", m.msg_flags, m.msg_namelen, (size_t)m.msg_controllen);
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (h) {
		struct sock_extended_err *e = (void *)CMSG_DATA(h);
		printf("level %d type %d length %zu: errno %d origin %d type %d code %d info %d, offender %d\n", h->cmsg_level, h->cmsg_type,
			(size_t)h->cmsg_len, e->ee_errno, e->ee_origin, e->ee_type, e->ee_code, e->ee_info, SO_EE_OFFENDER(e)->sa_family);
	}
	N("errqueue", recvmsg(u, &m, MSG_ERRQUEUE | MSG_DONTWAIT));
	N("poll", ready(u, ALL));
	close(u);
}

static void control(void) {
	static char g[64];
	char b[64];
	snprintf(g, sizeof g, "control %d", family);
	group = g;
	int u = socket(family, SOCK_DGRAM, 0), v = bound(SOCK_DGRAM);
	addr a = name_of(v), from;
	if (family == AF_INET) {
		N("pktinfo", set(v, IPPROTO_IP, IP_PKTINFO, 1));
		N("ttl", set(v, IPPROTO_IP, IP_RECVTTL, 1));
		N("tos", set(v, IPPROTO_IP, IP_RECVTOS, 1));
		N("set ttl", set(u, IPPROTO_IP, IP_TTL, 33));
		N("set tos", set(u, IPPROTO_IP, IP_TOS, 0x10));
		N("priority", option(u, SOL_SOCKET, SO_PRIORITY));
	} else {
		N("pktinfo", set(v, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1));
		N("hops", set(v, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1));
		N("class", set(v, IPPROTO_IPV6, IPV6_RECVTCLASS, 1));
		N("set hops", set(u, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 33));
		N("set class", set(u, IPPROTO_IPV6, IPV6_TCLASS, 0x10));
	}
	for (int stamp = 0; stamp < 3; stamp++) {
		if (stamp == 1) N("timestamp", set(v, SOL_SOCKET, SO_TIMESTAMP, 1));
		if (stamp == 2) N("timestampns", set(v, SOL_SOCKET, SO_TIMESTAMPNS, 1));
		N("sendto", sendto(u, "x", 1, 0, &a.sa, size()));
		union {
			char b[512];
			struct cmsghdr h;
		} cm;
		struct iovec v1 = {b, sizeof b};
		struct msghdr m = {&from, sizeof from, &v1, 1, cm.b, sizeof cm.b, 0};
		N("recvmsg", recvmsg(v, &m, MSG_DONTWAIT));
		for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
			printf("level %d type %d length %zu:", h->cmsg_level, h->cmsg_type, (size_t)h->cmsg_len);
			if (h->cmsg_level != SOL_SOCKET)
				for (unsigned i = 0; i < h->cmsg_len - CMSG_LEN(0); i++) printf(" %02x", CMSG_DATA(h)[i]);
			printf("\n");
		}
		sendto(u, "x", 1, 0, &a.sa, size());
		m.msg_controllen = 20;
		N("recvmsg with little room", recvmsg(v, &m, MSG_DONTWAIT));
		printf("flags %x control %zu\n", m.msg_flags, (size_t)m.msg_controllen);
	}
	// Sending with a source, a time to live.
	union {
		char b[128];
		struct cmsghdr h;
	} cm;
	memset(&cm, 0, sizeof cm);
	struct iovec v1 = {"abc", 3};
	struct msghdr m = {&a, size(), &v1, 1, cm.b, 0, 0};
	struct cmsghdr *h = &cm.h;
	h->cmsg_level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
	h->cmsg_type = family == AF_INET ? IP_TTL : IPV6_HOPLIMIT;
	h->cmsg_len = CMSG_LEN(4);
	for (int ttl = -2; ttl < 300; ttl += 67) {
		*(int *)CMSG_DATA(h) = ttl;
		m.msg_controllen = CMSG_SPACE(4);
		N("send with a ttl", sendmsg(u, &m, 0));
		while (recv(v, b, 9, MSG_DONTWAIT) > 0) {}
	}
	h->cmsg_len = CMSG_LEN(3);
	N("short", sendmsg(u, &m, 0));
	h->cmsg_len = 4000;
	N("too long", sendmsg(u, &m, 0));
	h->cmsg_len = CMSG_LEN(4), h->cmsg_type = 99;
	N("unknown", sendmsg(u, &m, 0));
	h->cmsg_level = SOL_SOCKET;
	N("unknown", sendmsg(u, &m, 0));
	h->cmsg_level = 99;
	N("level", sendmsg(u, &m, 0));
	close(u), close(v);
}

static void options(void) {
	static char g[64];
	static const int values[] = {0, 1, -1, 2, 64, 255, 256, 40000};
	for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
		snprintf(g, sizeof g, "options %d %d", family, type);
		group = g;
		static const struct {
			int level, name;
		} o[] = {
			{IPPROTO_IP, IP_TOS}, {IPPROTO_IP, IP_TTL}, {IPPROTO_IP, IP_RECVTTL}, {IPPROTO_IP, IP_PKTINFO}, {IPPROTO_IP, IP_MTU_DISCOVER},
			{IPPROTO_IP, IP_RECVERR}, {IPPROTO_IP, IP_FREEBIND}, {IPPROTO_IP, IP_MINTTL}, {IPPROTO_IP, IP_MULTICAST_TTL},
			{IPPROTO_IP, IP_MULTICAST_LOOP}, {IPPROTO_IP, IP_MULTICAST_ALL}, {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT}, {IPPROTO_IP, IP_HDRINCL},
			{IPPROTO_IP, IP_MTU}, {IPPROTO_IP, 120}, {IPPROTO_IPV6, IPV6_V6ONLY}, {IPPROTO_IPV6, IPV6_UNICAST_HOPS},
			{IPPROTO_IPV6, IPV6_MULTICAST_HOPS}, {IPPROTO_IPV6, IPV6_MULTICAST_LOOP}, {IPPROTO_IPV6, IPV6_RECVPKTINFO},
			{IPPROTO_IPV6, IPV6_RECVHOPLIMIT}, {IPPROTO_IPV6, IPV6_TCLASS}, {IPPROTO_IPV6, IPV6_RECVTCLASS}, {IPPROTO_IPV6, IPV6_MTU_DISCOVER},
			{IPPROTO_IPV6, IPV6_RECVERR}, {IPPROTO_IPV6, IPV6_DONTFRAG}, {IPPROTO_IPV6, 120}, {IPPROTO_TCP, TCP_NODELAY}, {IPPROTO_TCP, TCP_CORK},
			{IPPROTO_TCP, TCP_KEEPIDLE}, {IPPROTO_TCP, TCP_KEEPINTVL}, {IPPROTO_TCP, TCP_KEEPCNT}, {IPPROTO_TCP, TCP_SYNCNT},
			{IPPROTO_TCP, TCP_LINGER2}, {IPPROTO_TCP, TCP_DEFER_ACCEPT}, {IPPROTO_TCP, TCP_WINDOW_CLAMP}, {IPPROTO_TCP, TCP_MAXSEG},
			{IPPROTO_TCP, TCP_QUICKACK}, {IPPROTO_TCP, TCP_USER_TIMEOUT}, {IPPROTO_TCP, TCP_FASTOPEN}, {IPPROTO_TCP, TCP_FASTOPEN_CONNECT},
			{IPPROTO_TCP, TCP_NOTSENT_LOWAT}, {IPPROTO_TCP, TCP_SAVE_SYN}, {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS}, {IPPROTO_TCP, 120},
			{IPPROTO_UDP, UDP_CORK}, {IPPROTO_UDP, UDP_SEGMENT}, {IPPROTO_UDP, UDP_GRO}, {IPPROTO_UDP, 55}, {SOL_SOCKET, SO_REUSEADDR},
			{SOL_SOCKET, SO_REUSEPORT}, {SOL_SOCKET, SO_BROADCAST}, {SOL_SOCKET, SO_KEEPALIVE}, {SOL_SOCKET, SO_OOBINLINE},
			{SOL_SOCKET, SO_RCVBUF}, {SOL_SOCKET, SO_SNDBUF}, {SOL_SOCKET, SO_PRIORITY}, {SOL_SOCKET, SO_MARK},
			{SOL_SOCKET, SO_TIMESTAMP}, {SOL_SOCKET, SO_DONTROUTE}, {SOL_SOCKET, SO_NO_CHECK}, {SOL_SOCKET, SO_INCOMING_CPU},
			{SOL_SOCKET, SO_TYPE}, {SOL_SOCKET, SO_PROTOCOL}, {SOL_SOCKET, SO_DOMAIN}, {SOL_SOCKET, SO_ERROR}, {SOL_SOCKET, SO_ACCEPTCONN},
			{SOL_SOCKET, SO_BINDTOIFINDEX}, {SOL_SOCKET, 250}, {77, 1},
		};
		for (unsigned i = 0; i < sizeof o / sizeof *o; i++) {
			int s = socket(family, type, 0);
			printf("level %d name %d\n", o[i].level, o[i].name);
			N("get", option(s, o[i].level, o[i].name));
			for (unsigned k = 0; k < sizeof values / sizeof *values; k++) {
				N("set", set(s, o[i].level, o[i].name, values[k]));
				N("get", option(s, o[i].level, o[i].name));
			}
			char c = 1;
			N("set a byte", setsockopt(s, o[i].level, o[i].name, &c, 1));
			socklen_t n = 1;
			N("get a byte", getsockopt(s, o[i].level, o[i].name, &c, &n));
			printf("length %d\n", n);
			close(s);
		}
		int s = socket(family, type, 0);
		char t[64];
		socklen_t n = sizeof t;
		N("congestion", setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
		N("congestion", getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, t, &n) ?: printf("%s %d ", t, n));
		N("congestion", setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "nosuch", 6));
		N("ulp", setsockopt(s, IPPROTO_TCP, TCP_ULP, "nosuch", 7));
		N("device", setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
		n = sizeof t;
		N("device", getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, t, &n) ?: printf("%s %d ", t, n));
		N("device", setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "nosuch0", 8));
		N("device", setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "", 0));
		struct linger li = {1, 5};
		N("linger", setsockopt(s, SOL_SOCKET, SO_LINGER, &li, sizeof li));
		N("linger", setsockopt(s, SOL_SOCKET, SO_LINGER, &li, 4));
		struct ifreq r;
		memset(&r, 0, sizeof r);
		strcpy(r.ifr_name, "lo");
		N("index", ioctl(s, SIOCGIFINDEX, &r) ?: r.ifr_ifindex);
		N("flags", ioctl(s, SIOCGIFFLAGS, &r) ?: r.ifr_flags & ~IFF_MULTICAST);
		N("mtu", ioctl(s, SIOCGIFMTU, &r) ?: r.ifr_mtu);
		N("address", ioctl(s, SIOCGIFADDR, &r) ?: (int)ntohl(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr));
		N("mask", ioctl(s, SIOCGIFNETMASK, &r) ?: (int)ntohl(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr));
		N("hardware", ioctl(s, SIOCGIFHWADDR, &r) ?: r.ifr_hwaddr.sa_family);
		r.ifr_ifindex = 1;
		N("name", ioctl(s, SIOCGIFNAME, &r) ?: printf("%s ", r.ifr_name));
		r.ifr_ifindex = 777;
		N("name", ioctl(s, SIOCGIFNAME, &r));
		strcpy(r.ifr_name, "nosuch");
		N("index", ioctl(s, SIOCGIFINDEX, &r));
		N("unknown", ioctl(s, 0x89ef, &r));
		N("unknown", ioctl(s, 0x5499, &r));
		close(s);
	}
	static const int kinds[][2] = {{SOCK_STREAM, 17}, {SOCK_DGRAM, 6}, {SOCK_STREAM, 132}, {SOCK_STREAM, 300}, {SOCK_STREAM, -1},
		{SOCK_RAW, 0}, {SOCK_SEQPACKET, 0}, {SOCK_RDM, 0}, {9, 0}, {11, 0}, {-1, 0}, {SOCK_STREAM | 0x100, 0}, {SOCK_DGRAM, 17}, {SOCK_STREAM, 6}};
	snprintf(g, sizeof g, "kinds %d", family);
	group = g;
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		int s = socket(family, kinds[i][0], kinds[i][1]);
		printf("%d %d ", kinds[i][0], kinds[i][1]);
		N("socket", s < 0 ? -1 : 0);
		if (s >= 0) close(s);
	}
	int p[2];
	N("socketpair", socketpair(family, SOCK_STREAM, 0, p));
}

// dual: one socket for both families.
static void dual(void) {
	group = "dual";
	family = AF_INET6;
	int s = socket(AF_INET6, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
	addr a = {.in6 = {.sin6_family = AF_INET6}}, x;
	N("bind", bind(s, &a.sa, 28));
	N("listen", listen(s, 5));
	x.in = (struct sockaddr_in){AF_INET, name_of(s).in.sin_port, {htonl(INADDR_LOOPBACK)}};
	N("connect", connect(c, &x.sa, 16));
	socklen_t n = sizeof a;
	char t[64];
	int d = accept(s, &a.sa, &n);
	printf("%d %s\n", n, inet_ntop(AF_INET6, &a.in6.sin6_addr, t, sizeof t));
	a = name_of(d);
	printf("%s\n", inet_ntop(AF_INET6, &a.in6.sin6_addr, t, sizeof t));
	N("send", send(c, "four", 4, 0));
	N("recv", text(d, 8, 0));
	close(c), close(d);
	// IPv6 socket to a mapped address.
	c = socket(AF_INET6, SOCK_STREAM, 0);
	a = (addr){.in6 = {.sin6_family = AF_INET6, .sin6_port = name_of(s).in.sin_port}};
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &a.in6.sin6_addr);
	N("connect mapped", connect(c, &a.sa, 28));
	a = name_of(c);
	printf("%s\n", inet_ntop(AF_INET6, &a.in6.sin6_addr, t, sizeof t));
	close(c);
	c = socket(AF_INET6, SOCK_STREAM, 0);
	set(c, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	a = (addr){.in6 = {.sin6_family = AF_INET6, .sin6_port = name_of(s).in.sin_port}};
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &a.in6.sin6_addr);
	N("connect mapped, v6only", connect(c, &a.sa, 28));
	N("bind mapped, v6only", bind(c, &a.sa, 28));
	close(c);
	// Wildcard destinations.
	c = socket(AF_INET, SOCK_STREAM, 0);
	x.in.sin_addr.s_addr = 0;
	N("connect to 0.0.0.0", connect(c, &x.sa, 16));
	N("127.0.0.1", ntohl(name_of(c).in.sin_addr.s_addr));
	close(c);
	c = socket(AF_INET, SOCK_STREAM, 0);
	x.in.sin_addr.s_addr = htonl(0x7f010203);
	N("connect to 127.1.2.3", connect(c, &x.sa, 16));
	N("from", ntohl(name_of(c).in.sin_addr.s_addr));
	close(c);
	c = socket(AF_INET, SOCK_STREAM, 0);
	x.in.sin_addr.s_addr = htonl(0x7fffffff);
	N("connect to a broadcast", connect(c, &x.sa, 16));
	x.in.sin_addr.s_addr = htonl(0xe0000001);
	close(c), close(s);
	s = socket(AF_INET6, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
	a = (addr){.in6 = {.sin6_family = AF_INET6}};
	N("bind", bind(s, &a.sa, 28));
	x.in = (struct sockaddr_in){AF_INET, name_of(s).in.sin_port, {htonl(INADDR_LOOPBACK)}};
	N("sendto", sendto(c, "dgram", 5, 0, &x.sa, 16));
	n = sizeof a;
	N("recvfrom", recvfrom(s, t, sizeof t, 0, &a.sa, &n));
	printf("%d %s\n", n, inet_ntop(AF_INET6, &a.in6.sin6_addr, t, sizeof t));
	N("answer", sendto(s, "back", 4, 0, &a.sa, 28));
	N("recv", text(c, 8, 0));
	x.in.sin_addr.s_addr = htonl(0x7fffffff);
	N("broadcast", sendto(c, "x", 1, 0, &x.sa, 16));
	N("allowed", set(c, SOL_SOCKET, SO_BROADCAST, 1));
	N("broadcast", sendto(c, "x", 1, 0, &x.sa, 16));
	close(c), close(s);
}

static void multicast(void) {
	group = "multicast";
	int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
	addr a = {.in = {.sin_family = AF_INET}};
	bind(s, &a.sa, 16);
	struct ip_mreq r = {{htonl(0xe0000105)}, {htonl(INADDR_LOOPBACK)}};
	N("leave before", setsockopt(s, IPPROTO_IP, IP_DROP_MEMBERSHIP, &r, sizeof r));
	N("join", setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof r));
	N("join again", setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof r));
	N("join short", setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, 4));
	struct in_addr i = {htonl(INADDR_LOOPBACK)};
	N("interface", setsockopt(c, IPPROTO_IP, IP_MULTICAST_IF, &i, sizeof i));
	i.s_addr = htonl(0x01020304);
	N("interface not ours", setsockopt(c, IPPROTO_IP, IP_MULTICAST_IF, &i, sizeof i));
	addr to = {.in = {AF_INET, name_of(s).in.sin_port, r.imr_multiaddr}};
	N("sendto", sendto(c, "group", 5, 0, &to.sa, 16));
	N("recv", text(s, 8, 0));
	N("leave", setsockopt(s, IPPROTO_IP, IP_DROP_MEMBERSHIP, &r, sizeof r));
	N("sendto", sendto(c, "group", 5, 0, &to.sa, 16));
	N("recv", text(s, 8, 0));
	r.imr_multiaddr.s_addr = htonl(0x0a000001);
	N("join what is no group", setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof r));
	close(s), close(c);
	int t = socket(AF_INET, SOCK_STREAM, 0);
	N("join with tcp", setsockopt(t, IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof r));
	close(t);
}

static void edges(void) {
	static char g[64];
	snprintf(g, sizeof g, "epoll %d", family);
	group = g;
	int e = epoll_create1(0);
	struct epoll_event ev = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET}, out;
	int li = listener(5), s = socket(family, SOCK_STREAM, 0);
	fcntl(s, F_SETFL, O_NONBLOCK);
	epoll_ctl(e, EPOLL_CTL_ADD, s, &ev);
#define E(what) N(what, epoll_wait(e, &out, 1, 0) > 0 ? (long)out.events : 0)
	E("fresh");
	E("again");
	addr a = name_of(li);
	N("connect", connect(s, &a.sa, size()));
	E("connected");
	E("again");
	int d = accept(li, 0, 0);
	E("accepted");
	send(d, "abc", 3, 0);
	E("data");
	E("again");
	send(d, "def", 3, 0);
	E("more data");
	N("recv", text(s, 2, 0));
	E("after a read");
	send(d, "U", 1, MSG_OOB);
	E("urgent");
	shutdown(d, SHUT_WR);
	E("half closed");
	N("recv", text(s, 16, 0));
	N("recv", text(s, 16, 0));
	N("recv", text(s, 16, 0));
	E("after reads");
	close(d);
	E("closed");
	send(s, "x", 1, MSG_NOSIGNAL);
	E("reset");
	close(s);
	s = socket(family, SOCK_STREAM, 0);
	fcntl(s, F_SETFL, O_NONBLOCK);
	epoll_ctl(e, EPOLL_CTL_ADD, s, &ev);
	E("fresh");
	close(li);
	N("connect", connect(s, &a.sa, size()));
	E("refused");
	close(s);
	// A full stream, and when it is writable again.
	li = listener(5), s = to(li, SOCK_STREAM), d = accept(li, 0, 0);
	fcntl(s, F_SETFL, O_NONBLOCK);
	epoll_ctl(e, EPOLL_CTL_ADD, s, &ev);
	E("connected");
	static char big[1 << 16];
	long all = 0, n;
	while ((n = send(s, big, sizeof big, 0)) > 0) all += n;
	N("full", n);
	N("poll", ready(s, ALL));
	E("full");
	long got = 0;
	while (got < all && (n = recv(d, big, sizeof big, 0)) > 0) got += n;
	N("everything came", got == all);
	E("drained");
	N("poll", ready(s, ALL));
	close(s), close(d), close(li), close(e);
}

static void sizes(void) {
	static char g[64];
	snprintf(g, sizeof g, "transfer %d", family);
	group = g;
	int li = listener(5), s = to(li, SOCK_STREAM), d = accept(li, 0, 0);
	pid_t pid = fork();
	if (pid == 0) {
		unsigned sum = 0, total = 0;
		unsigned char b[10007];
		ssize_t n;
		close(s);
		while ((n = read(d, b, sizeof b)) > 0)
			for (ssize_t i = 0; i < n; i++) sum = sum * 31 + b[i], total++;
		dprintf(d, "%u %u %zd", sum, total, n);
		_exit(0);
	}
	close(d);
	unsigned char b[70001];
	unsigned sum = 0;
	for (int i = 0; i < 60; i++) {
		int n = i * 1171 % sizeof b;
		for (int k = 0; k < n; k++) b[k] = i * 7 + k * 13, sum = sum * 31 + b[k];
		if (send(s, b, n, 0) != n) N("short send", n);
	}
	int f = open("/proc/self/exe", O_RDONLY);
	off_t off = 100;
	long sent = sendfile(s, f, &off, 5000);
	N("sendfile", sent);
	pread(f, b, 5000, 100);
	for (int k = 0; k < 5000; k++) sum = sum * 31 + b[k];
	int p[2];
	if (pipe(p) == 0 && write(p[1], "through a pipe", 14) == 14) {
		N("splice", splice(p[0], 0, s, 0, 14, 0));
		for (const char *c = "through a pipe"; *c; c++) sum = sum * 31 + *c;
	}
	shutdown(s, SHUT_WR);
	char t[64] = "", want[64];
	recv(s, t, sizeof t - 1, MSG_WAITALL);
	unsigned total = 0;
	for (int i = 0; i < 60; i++) total += i * 1171 % sizeof b;
	snprintf(want, sizeof want, "%u %u 0", sum, total + 5014);
	N("same bytes", strcmp(t, want) == 0);
	waitpid(pid, 0, 0);
	close(s), close(li), close(f);
	// Timeouts and low-water marks.
	li = listener(5), s = to(li, SOCK_STREAM), d = accept(li, 0, 0);
	struct timeval tv = {0, 20000};
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	N("recv with a timeout", recv(s, t, 1, 0));
	setsockopt(li, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	N("accept with a timeout", accept(li, 0, 0));
	set(s, SOL_SOCKET, SO_RCVLOWAT, 4);
	send(d, "ab", 2, 0);
	N("poll below the mark", ready(s, POLLIN));
	send(d, "cd", 2, 0);
	N("poll at the mark", ready(s, POLLIN));
	N("recv waitall", recv(s, t, 4, MSG_WAITALL));
	close(s), close(d), close(li);
	// Backlog.
	snprintf(g, sizeof g, "backlog %d", family);
	li = listener(1);
	int c[6];
	for (int i = 0; i < 6; i++) c[i] = to(li, SOCK_STREAM | SOCK_NONBLOCK);
	int connected = 0;
	for (int i = 0; i < 6; i++) connected += state(c[i]) == TCP_ESTABLISHED;
	N("connected", connected);
	N("state of the last", state(c[5]));
	N("accept", accept(li, 0, 0) >= 0);
	N("accept", accept(li, 0, 0) >= 0);
	for (int i = 0; i < 6; i++) close(c[i]);
	close(li);
	snprintf(g, sizeof g, "defer %d", family);
	li = bound(SOCK_STREAM);
	set(li, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
	N("deferred for", option(li, IPPROTO_TCP, TCP_DEFER_ACCEPT));
	listen(li, 5);
	fcntl(li, F_SETFL, O_NONBLOCK);
	s = to(li, SOCK_STREAM);
	N("accept", accept(li, 0, 0));
	N("poll", ready(li, ALL));
	send(s, "x", 1, 0);
	N("poll", ready(li, ALL));
	N("accept", accept(li, 0, 0) >= 0);
	close(s), close(li);
	snprintf(g, sizeof g, "fastopen %d", family);
	li = listener(5);
	s = socket(family, SOCK_STREAM, 0);
	addr a = name_of(li);
	N("sendto", sendto(s, "fast", 4, MSG_FASTOPEN, &a.sa, size()));
	d = accept(li, 0, 0);
	N("recv", recv(d, t, 4, 0));
	N("sendto again", sendto(s, "fast", 4, MSG_FASTOPEN, &a.sa, size()));
	close(s), close(d), close(li);
	// Inherited by who is accepted.
	snprintf(g, sizeof g, "inherited %d", family);
	li = bound(SOCK_STREAM);
	set(li, IPPROTO_TCP, TCP_NODELAY, 1);
	set(li, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(li, IPPROTO_TCP, TCP_KEEPIDLE, 77);
	set(li, SOL_SOCKET, SO_RCVBUF, 20000);
	listen(li, 5);
	s = to(li, SOCK_STREAM), d = accept(li, 0, 0);
	N("nodelay", option(d, IPPROTO_TCP, TCP_NODELAY));
	N("keepalive", option(d, SOL_SOCKET, SO_KEEPALIVE));
	N("keepidle", option(d, IPPROTO_TCP, TCP_KEEPIDLE));
	N("rcvbuf", option(d, SOL_SOCKET, SO_RCVBUF));
	N("flags", fcntl(d, F_GETFL));
	N("acceptconn", option(d, SOL_SOCKET, SO_ACCEPTCONN));
	N("mtu", option(s, IPPROTO_IP, IP_MTU));
	close(s), close(d), close(li);
}

static volatile int urgents;

static void on_urgent(int s) { urgents++; }

// urgent: SIGURG, and pings.
static void signals(void) {
	group = "urgent";
	family = AF_INET;
	signal(SIGURG, on_urgent);
	int li = listener(5), s = to(li, SOCK_STREAM), d = accept(li, 0, 0);
	send(s, "a", 1, MSG_OOB);
	N("signals without an owner", urgents);
	N("owner", fcntl(d, F_SETOWN, getpid()));
	send(s, "b", 1, MSG_OOB);
	N("signals", urgents);
	send(s, "c", 1, 0);
	N("signals", urgents);
	close(s), close(d), close(li);
	group = "raw";
	s = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	if (s < 0) {
		N("socket", s);
		return;
	}
	unsigned char ping[12] = {8, 0, 0, 0, 0x12, 0x34, 0, 1, 'p', 'i', 'n', 'g'}, b[64];
	unsigned sum = 0;
	for (int i = 0; i < 12; i += 2) sum += ping[i] << 8 | ping[i + 1];
	sum = ~(sum + (sum >> 16));
	ping[2] = sum >> 8, ping[3] = sum;
	addr a = loop(0);
	N("send", sendto(s, ping, 12, 0, &a.sa, 16));
	for (int i = 0; i < 2; i++) {
		ssize_t n = recv(s, b, sizeof b, 0);
		printf("%zd bytes: version %x protocol %d type %d data %.4s\n", n, b[0], b[9], b[20], b + 28);
	}
	N("another", recv(s, b, sizeof b, MSG_DONTWAIT));
	close(s);
}

static void vsock(void) {
	group = "other families";
	static const int f[] = {AF_UNSPEC, AF_AX25, AF_X25, 45, 46, 99, -1};
	for (unsigned i = 0; i < sizeof f / sizeof *f; i++) {
		printf("%d ", f[i]);
		N("socket", socket(f[i], SOCK_STREAM, 0));
	}
}

int main(int argc, char **argv) {
	struct sigaction sa = {.sa_handler = on_pipe};
	sigaction(SIGPIPE, &sa, 0);
	setvbuf(stdout, 0, _IOFBF, 1 << 16);
	static void (*const parts[])(void) = {matrix, ports, datagrams, control, options, edges, sizes};
	static const char *names[] = {"matrix", "ports", "datagrams", "control", "options", "edges", "sizes"};
	for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
		if (argc > 1 && strcmp(argv[1], names[i])) continue;
		for (int k = 0; k < 2; k++) {
			family = k ? AF_INET6 : AF_INET;
			parts[i]();
			fflush(stdout);
		}
	}
	if (argc == 1) dual(), multicast(), signals(), vsock();
	return 0;
}
