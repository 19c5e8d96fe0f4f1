// Netlink: the sockets themselves, what rtnetlink tells about lo and says to
// wrong requests, sock_diag, generic netlink, and with the argument "change"
// what changes of lo do. Prints what happened; run on Linux it says what
// should have.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/audit.h>
#include <linux/genetlink.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long n) {
	int e = errno;
	printf("%s: %ld", what, n);
	if (n == -1) printf(" %s", strerrorname_np(e));
	printf("\n");
	errno = 0;
}
#define S(e) say(#e, (long)(e))

static struct sockaddr_nl at(unsigned pid, unsigned groups) {
	return (struct sockaddr_nl){.nl_family = AF_NETLINK, .nl_pid = pid, .nl_groups = groups};
}
static int bind_to(int s, unsigned pid, unsigned groups) {
	struct sockaddr_nl a = at(pid, groups);
	return bind(s, (void *)&a, sizeof a);
}
static int connect_to(int s, unsigned pid, unsigned groups) {
	struct sockaddr_nl a = at(pid, groups);
	return connect(s, (void *)&a, sizeof a);
}
static struct sockaddr_nl name(int s, int peer) {
	struct sockaddr_nl a = {0};
	socklen_t n = sizeof a;
	if (peer)
		S(getpeername(s, (void *)&a, &n));
	else
		S(getsockname(s, (void *)&a, &n));
	return a;
}
static int set(int s, int opt, int v) { return setsockopt(s, SOL_NETLINK, opt, &v, sizeof v); }
static int get(int s, int opt) {
	int v = -2;
	socklen_t n = sizeof v;
	return getsockopt(s, SOL_NETLINK, opt, &v, &n) ? -1 : v;
}

// A request that is being made.
static struct {
	struct nlmsghdr h;
	char rest[2048];
} q;

static void *begin(int type, int flags, int size) {
	memset(&q, 0, sizeof q);
	q.h.nlmsg_type = type;
	q.h.nlmsg_flags = flags;
	q.h.nlmsg_seq = 77;
	q.h.nlmsg_len = NLMSG_LENGTH(size);
	return NLMSG_DATA(&q.h);
}
static void attr(int type, const void *v, int n) {
	struct rtattr *a = (void *)((char *)&q + NLMSG_ALIGN(q.h.nlmsg_len));
	a->rta_type = type;
	a->rta_len = RTA_LENGTH(n);
	if (n) memcpy(RTA_DATA(a), v, n);
	q.h.nlmsg_len = NLMSG_ALIGN(q.h.nlmsg_len) + RTA_ALIGN(a->rta_len);
}
static void attr32(int type, unsigned v) { attr(type, &v, 4); }
static void attrip(int type, const char *ip) {
	char b[16];
	int six = strchr(ip, ':') != 0;
	inet_pton(six ? AF_INET6 : AF_INET, ip, b);
	attr(type, b, six ? 16 : 4);
}
static int put(int s) { return send(s, &q, q.h.nlmsg_len, 0) == q.h.nlmsg_len ? 0 : -1; }

static char answer[65536];

// result sends the request and prints what it comes to: the error of an
// acknowledgement, or the type of the answer.
static struct nlmsghdr *result(int s, const char *what) {
	if (put(s)) return say(what, -1), NULL;
	int n = recv(s, answer, sizeof answer, MSG_DONTWAIT);
	if (n < 0) return say(what, -1), NULL;
	struct nlmsghdr *h = (void *)answer;
	printf("%s: type %d seq %d", what, h->nlmsg_type, h->nlmsg_seq);
	if (h->nlmsg_type == NLMSG_ERROR) {
		struct nlmsgerr *e = NLMSG_DATA(h);
		printf(" error %s flags %#x of %d", e->error ? strerrorname_np(-e->error) : "0", h->nlmsg_flags & NLM_F_CAPPED, e->msg.nlmsg_type);
	}
	if (h->nlmsg_type == NLMSG_DONE) {
		int e = *(int *)NLMSG_DATA(h);
		if (e) printf(" error %s", strerrorname_np(-e));
	}
	printf("\n");
	return h;
}
static struct rtattr *find(struct nlmsghdr *h, int size, int type) {
	struct rtattr *a = (void *)((char *)NLMSG_DATA(h) + NLMSG_ALIGN(size));
	int n = h->nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(size));
	for (; RTA_OK(a, n); a = RTA_NEXT(a, n))
		if ((a->rta_type & NLA_TYPE_MASK) == type) return a;
	return NULL;
}
static long number(struct nlmsghdr *h, int size, int type) {
	struct rtattr *a = find(h, size, type);
	if (!a) return -1;
	return RTA_PAYLOAD(a) == 1 ? *(unsigned char *)RTA_DATA(a) : *(int *)RTA_DATA(a);
}
static const char *address(struct nlmsghdr *h, int size, int type) {
	static char b[64];
	struct rtattr *a = find(h, size, type);
	if (!a) return "-";
	inet_ntop(RTA_PAYLOAD(a) == 16 ? AF_INET6 : AF_INET, RTA_DATA(a), b, sizeof b);
	return b;
}

// dump sends the request and calls f with each message of the list.
static void dump(int s, const char *what, void (*f)(struct nlmsghdr *)) {
	if (put(s)) return say(what, -1);
	for (;;) {
		int n = recv(s, answer, sizeof answer, MSG_DONTWAIT);
		if (n < 0) return say(what, -1);
		for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type == NLMSG_ERROR) {
				printf("%s: error %s\n", what, strerrorname_np(-((struct nlmsgerr *)NLMSG_DATA(h))->error));
				return;
			}
			if (h->nlmsg_type == NLMSG_DONE) {
				int e = *(int *)NLMSG_DATA(h);
				printf("%s: done %s multi %d\n", what, e ? strerrorname_np(-e) : "0", h->nlmsg_flags & NLM_F_MULTI);
				return;
			}
			f(h);
		}
	}
}

static void sockets(void) {
	for (int p = 0; p < 3; p += 2) {
		S(close(socket(AF_NETLINK, SOCK_RAW, p)));
		S(close(socket(AF_NETLINK, SOCK_DGRAM, p)));
	}
	S(socket(AF_NETLINK, SOCK_STREAM, 0));
	S(socket(AF_NETLINK, SOCK_SEQPACKET, 0));
	S(socket(AF_NETLINK, SOCK_RAW, 32));
	S(socket(AF_NETLINK, SOCK_RAW, -1));
	S(socket(AF_NETLINK, SOCK_RAW, 31));
	int v[2];
	S(socketpair(AF_NETLINK, SOCK_RAW, 0, v));
	int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	struct sockaddr_nl a = name(s, 0);
	printf("fresh %d %u %u\n", a.nl_family, a.nl_pid, a.nl_groups);
	a = name(s, 1);
	printf("peer %d %u %u\n", a.nl_family, a.nl_pid, a.nl_groups);
	a = at(0, 0);
	S(bind(s, (void *)&a, 11));
	a.nl_family = AF_INET;
	S(bind(s, (void *)&a, sizeof a));
	S(connect(s, (void *)&a, sizeof a));
	S(connect(s, (void *)&a, 1));
	S(listen(s, 1));
	S(accept(s, 0, 0));
	S(shutdown(s, SHUT_RDWR));
	S(bind_to(s, 0, 1));
	a = name(s, 0);
	printf("bound %d %u\n", a.nl_pid == getpid(), a.nl_groups);
	S(bind_to(s, 0, 0));
	S(bind_to(s, getpid(), 4));
	S(bind_to(s, 4711, 0));
	a = name(s, 0);
	printf("bound again %d %u\n", a.nl_pid == getpid(), a.nl_groups);
	int t = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	S(bind_to(t, getpid(), 0));
	S(bind_to(t, 0, 0));
	a = name(t, 0);
	printf("second %d\n", (int)a.nl_pid < 0);
	close(t);
	t = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	S(bind_to(t, getpid() + 123456789, 0));
	a = name(t, 0);
	printf("chosen %u\n", a.nl_pid - getpid());
	int u = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	S(bind_to(u, getpid() + 123456789, 0));
	S(connect_to(u, 5, 2));
	a = name(u, 1);
	printf("connected %u %u\n", a.nl_pid, a.nl_groups);
	a.nl_family = AF_UNSPEC;
	S(connect(u, (void *)&a, sizeof a));
	a = name(u, 1);
	printf("disconnected %u %u\n", a.nl_pid, a.nl_groups);
	int o[] = {NETLINK_PKTINFO, NETLINK_BROADCAST_ERROR, NETLINK_NO_ENOBUFS, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK};
	for (int i = 0; i < 6; i++) {
		printf("option %d\n", o[i]);
		S(get(s, o[i]));
		S(set(s, o[i], 5));
		S(get(s, o[i]));
		S(set(s, o[i], 0));
		S(get(s, o[i]));
	}
	S(setsockopt(s, SOL_NETLINK, NETLINK_CAP_ACK, "", 1));
	char b[2];
	socklen_t n = 2;
	S(getsockopt(s, SOL_NETLINK, NETLINK_CAP_ACK, b, &n));
	S(set(s, 99, 1));
	S(get(s, 99));
	S(set(s, NETLINK_ADD_MEMBERSHIP, 0));
	S(set(s, NETLINK_ADD_MEMBERSHIP, 1000));
	S(set(s, NETLINK_ADD_MEMBERSHIP, 5));
	S(set(s, NETLINK_ADD_MEMBERSHIP, 33));
	a = name(s, 0);
	printf("groups %#x\n", a.nl_groups);
	unsigned list[8] = {0};
	n = sizeof list;
	S(getsockopt(s, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, list, &n));
	printf("memberships %#x %#x\n", list[0], list[1]);
	S(set(s, NETLINK_DROP_MEMBERSHIP, 5));
	a = name(s, 0);
	printf("groups %#x\n", a.nl_groups);
	S(setsockopt(s, 6, 1, &n, 4));
	S(ioctl(s, FIONREAD, &n));
	struct pollfd p = {s, POLLIN | POLLOUT};
	S(poll(&p, 1, 0));
	S(p.revents);
	S(recv(s, b, 1, MSG_DONTWAIT));
	S(recv(s, b, 1, MSG_OOB));
	S(send(s, b, 1, MSG_OOB));
	S(send(s, b, 1, 0));
	char *big = calloc(1, 1 << 20);
	S(send(s, big, 1 << 20, 0));
	free(big);
	S(fcntl(s, F_GETFL) & O_ACCMODE);
	close(s), close(t), close(u);
}

// Messages between programs.
static void users(void) {
	int s = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_USERSOCK), t = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_USERSOCK);
	// Others may run this program at the same time.
	unsigned mine = getpid() << 3, group = getpid() % 24 + 4;
	S(bind_to(s, mine + 1, 0));
	S(bind_to(t, mine + 2, 0));
	S(send(s, "x", 1, 0));
	struct sockaddr_nl a = at(mine + 2, 0);
	S(sendto(s, "hello", 5, 0, (void *)&a, sizeof a));
	S(sendto(s, "hello", 5, 0, (void *)&a, 11));
	struct pollfd p = {t, POLLIN};
	S(poll(&p, 1, 1000));
	char b[100], control[200];
	S(recv(t, b, 2, MSG_PEEK));
	S(recv(t, b, 2, MSG_PEEK | MSG_TRUNC));
	struct iovec iov = {b, 3};
	struct sockaddr_nl from = {0};
	struct msghdr m = {&from, sizeof from, &iov, 1, control, sizeof control};
	S(recvmsg(t, &m, 0));
	printf("flags %#x from %u groups %u namelen %u control %zu\n", m.msg_flags, from.nl_pid - mine, from.nl_groups, m.msg_namelen, m.msg_controllen);
	a = at(mine + 3, 0);
	S(sendto(s, "hello", 5, 0, (void *)&a, sizeof a));
	S(set(t, NETLINK_ADD_MEMBERSHIP, group));
	S(set(t, NETLINK_PKTINFO, 1));
	a = at(0, 1u << (group - 1));
	S(sendto(s, "group", 5, 0, (void *)&a, sizeof a));
	iov.iov_len = sizeof b;
	m.msg_controllen = sizeof control;
	S(recvmsg(t, &m, MSG_DONTWAIT));
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	printf("flags %#x from %u groups %d control %zu", m.msg_flags, from.nl_pid - mine, from.nl_groups == 1u << (group - 1), m.msg_controllen);
	if (c) printf(" level %d type %d group %d", c->cmsg_level, c->cmsg_type, *(int *)CMSG_DATA(c) == group);
	printf("\n");
	S(set(t, NETLINK_PKTINFO, 0));
	int one = 1;
	S(setsockopt(t, SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
	a = at(mine + 2, 0);
	S(sendto(s, "creds", 5, 0, (void *)&a, sizeof a));
	m.msg_controllen = sizeof control;
	S(recvmsg(t, &m, MSG_DONTWAIT));
	c = CMSG_FIRSTHDR(&m);
	if (c) {
		struct ucred *u = (void *)CMSG_DATA(c);
		printf("creds %d %d %d %d\n", c->cmsg_type == SCM_CREDENTIALS, u->pid == getpid(), u->uid, u->gid);
	}
	int size = 4096, n = 0;
	S(setsockopt(t, SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
	while (sendto(s, control, 200, MSG_DONTWAIT, (void *)&a, sizeof a) == 200) n++;
	S(-(errno == EAGAIN));
	printf("some fit %d\n", n > 0 && n < 100);
	pid_t child = fork();
	if (!child) {
		_exit(sendto(s, control, 200, 0, (void *)&a, sizeof a) != 200);
	}
	for (int i = 0; i < n; i++) recv(t, b, sizeof b, 0);
	int status;
	waitpid(child, &status, 0);
	S(status);
	S(recv(t, b, 1, MSG_TRUNC));
	close(s), close(t);
}

static void link_of_lo(struct nlmsghdr *h) {
	struct ifinfomsg *i = NLMSG_DATA(h);
	struct rtattr *a = find(h, sizeof *i, IFLA_IFNAME);
	if (!a || strcmp(RTA_DATA(a), "lo")) return;
	printf("link type %d seq %d multi %d pid %d\n", h->nlmsg_type, h->nlmsg_seq, h->nlmsg_flags & NLM_F_MULTI, h->nlmsg_pid == getpid());
	printf("  family %d type %d index %d flags %#x change %u\n", i->ifi_family, i->ifi_type, i->ifi_index, i->ifi_flags, i->ifi_change);
	int types[] = {IFLA_TXQLEN, IFLA_OPERSTATE, IFLA_LINKMODE, IFLA_MTU, IFLA_GROUP, IFLA_PROMISCUITY, IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES, IFLA_CARRIER, IFLA_PROTO_DOWN};
	for (int k = 0; k < sizeof types / sizeof *types; k++) printf("  attribute %d: %ld\n", types[k], number(h, sizeof *i, types[k]));
	a = find(h, sizeof *i, IFLA_ADDRESS);
	printf("  address %d, counters %d %d\n", a ? (int)RTA_PAYLOAD(a) : -1, find(h, sizeof *i, IFLA_STATS) != 0, find(h, sizeof *i, IFLA_STATS64) != 0);
}
static void address_of_lo(struct nlmsghdr *h) {
	struct ifaddrmsg *i = NLMSG_DATA(h);
	if (i->ifa_index != 1 || i->ifa_family != AF_INET) return;
	printf("address type %d bits %d flags %#x scope %d filtered %d\n", h->nlmsg_type, i->ifa_prefixlen, i->ifa_flags, i->ifa_scope, h->nlmsg_flags & NLM_F_DUMP_FILTERED);
	printf("  %s", address(h, sizeof *i, IFA_ADDRESS));
	printf(" %s", address(h, sizeof *i, IFA_LOCAL));
	printf(" broadcast %s", address(h, sizeof *i, IFA_BROADCAST));
	printf(" label %s flags %#lx\n", (char *)RTA_DATA(find(h, sizeof *i, IFA_LABEL)), number(h, sizeof *i, IFA_FLAGS));
	struct ifa_cacheinfo *c = RTA_DATA(find(h, sizeof *i, IFA_CACHEINFO));
	printf("  preferred %u valid %u\n", c->ifa_prefered, c->ifa_valid);
}
static void route_of_lo(struct nlmsghdr *h) {
	struct rtmsg *r = NLMSG_DATA(h);
	if (number(h, sizeof *r, RTA_OIF) != 1 || r->rtm_family != AF_INET || r->rtm_type == RTN_BROADCAST) return;
	printf("route type %d table %ld dst %s/%d", h->nlmsg_type, number(h, sizeof *r, RTA_TABLE), address(h, sizeof *r, RTA_DST), r->rtm_dst_len);
	printf(" protocol %d scope %d type %d source %s", r->rtm_protocol, r->rtm_scope, r->rtm_type, address(h, sizeof *r, RTA_PREFSRC));
	printf(" via %s metric %ld\n", address(h, sizeof *r, RTA_GATEWAY), number(h, sizeof *r, RTA_PRIORITY));
}
static void nothing(struct nlmsghdr *h) {}

static void questions(void) {
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	S(bind_to(s, 0, 0));
	struct rtgenmsg *g;
	struct ifinfomsg *l;
	struct ifaddrmsg *a;
	struct rtmsg *r;
	struct ndmsg *n;
	for (int strict = 0; strict < 2; strict++) {
		printf("strict %d\n", strict);
		S(set(s, NETLINK_GET_STRICT_CHK, strict));
		begin(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, sizeof *g);
		dump(s, "links by family", link_of_lo);
		begin(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, sizeof *l);
		dump(s, "links", link_of_lo);
		l = begin(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, sizeof *l);
		l->ifi_index = 1;
		dump(s, "links by index", nothing);
		begin(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, sizeof *g);
		dump(s, "addresses by family", address_of_lo);
		a = begin(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, sizeof *a);
		a->ifa_family = AF_INET, a->ifa_index = 1;
		dump(s, "addresses by index", address_of_lo);
		a = begin(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, sizeof *a);
		a->ifa_index = 4711;
		dump(s, "addresses of nothing", nothing);
		a = begin(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, sizeof *a);
		a->ifa_prefixlen = 3;
		dump(s, "addresses with a wrong header", nothing);
		begin(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, sizeof *a);
		attr32(IFA_LABEL, 0);
		dump(s, "addresses with an attribute", nothing);
		r = begin(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, sizeof *r);
		r->rtm_family = AF_INET;
		attr32(RTA_TABLE, RT_TABLE_LOCAL);
		dump(s, "local routes", route_of_lo);
		r = begin(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, sizeof *r);
		r->rtm_family = AF_INET;
		attr32(RTA_TABLE, 4711);
		dump(s, "routes of no table", nothing);
		begin(RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP, sizeof *r);
		dump(s, "rules", nothing);
		begin(RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, sizeof *n);
		dump(s, "neighbours", nothing);
		begin(RTM_GETQDISC, NLM_F_REQUEST | NLM_F_DUMP, sizeof(struct tcmsg));
		dump(s, "queues", nothing);
	}
	S(set(s, NETLINK_GET_STRICT_CHK, 0));
	for (int mode = 0; mode < 3; mode++) {
		printf("mode %d\n", mode);
		S(set(s, NETLINK_CAP_ACK, mode == 1));
		S(set(s, NETLINK_EXT_ACK, mode == 2));
		begin(NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK, 0);
		result(s, "noop");
		begin(NLMSG_NOOP, NLM_F_REQUEST, 0);
		result(s, "noop without ack");
		begin(RTM_GETLINK, NLM_F_ACK, sizeof *l);
		result(s, "no request");
		begin(RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, 0);
		result(s, "no body");
		begin(999, NLM_F_REQUEST, sizeof *l);
		result(s, "unknown type");
		begin(RTM_GETLINK, NLM_F_REQUEST, sizeof *l);
		result(s, "no link");
		begin(RTM_GETLINK, NLM_F_REQUEST, 4);
		result(s, "short link");
		l = begin(RTM_GETLINK, NLM_F_REQUEST, sizeof *l);
		l->ifi_index = 4711;
		result(s, "link that is not there");
		begin(RTM_GETLINK, NLM_F_REQUEST, sizeof *l);
		attr(IFLA_IFNAME, "nothing", 8);
		result(s, "name that is not there");
	}
	l = begin(RTM_GETLINK, NLM_F_REQUEST, sizeof *l);
	attr(IFLA_IFNAME, "lo", 3);
	struct nlmsghdr *h = result(s, "lo by name");
	if (h) link_of_lo(h);
	l = begin(RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, sizeof *l);
	l->ifi_index = 1;
	h = result(s, "lo by index");
	h = (void *)answer;
	S(recv(s, answer, sizeof answer, MSG_DONTWAIT));
	printf("then %d\n", h->nlmsg_type);
	a = begin(RTM_GETADDR, NLM_F_REQUEST, sizeof *a);
	a->ifa_family = AF_INET;
	result(s, "one address of IPv4");
	r = begin(RTM_GETROUTE, NLM_F_REQUEST, sizeof *r);
	r->rtm_family = AF_INET, r->rtm_dst_len = 32;
	attrip(RTA_DST, "127.0.0.1");
	if ((h = result(s, "route to 127.0.0.1"))) route_of_lo(h);
	r = begin(RTM_GETROUTE, NLM_F_REQUEST, sizeof *r);
	r->rtm_family = AF_INET, r->rtm_dst_len = 32;
	attrip(RTA_DST, "127.0.0.1");
	attr32(RTA_OIF, 4711);
	result(s, "route by nothing");
	r = begin(RTM_GETROUTE, NLM_F_REQUEST, sizeof *r);
	r->rtm_family = 99;
	result(s, "route of no family");
	n = begin(RTM_GETNEIGH, NLM_F_REQUEST, sizeof *n);
	n->ndm_family = AF_INET, n->ndm_ifindex = 1;
	attrip(NDA_DST, "127.0.0.99");
	result(s, "neighbour that is not there");
	begin(RTM_GETLINK, NLM_F_REQUEST, sizeof *l);
	q.h.nlmsg_len = 8;
	S(send(s, &q, 64, 0));
	S(recv(s, answer, sizeof answer, MSG_DONTWAIT));
	begin(RTM_GETLINK, NLM_F_REQUEST, sizeof *l);
	q.h.nlmsg_len = 100;
	S(send(s, &q, 32, 0));
	S(recv(s, answer, sizeof answer, MSG_DONTWAIT));
	begin(NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK, 0);
	memcpy((char *)&q + 16, &q, 16);
	S(send(s, &q, 32, 0));
	S(recv(s, answer, sizeof answer, MSG_DONTWAIT));
	S(recv(s, answer, sizeof answer, MSG_DONTWAIT));
	S(recv(s, answer, sizeof answer, MSG_DONTWAIT));
	begin(NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK, 0);
	put(s);
	S(recv(s, answer, 4, MSG_PEEK | MSG_TRUNC));
	S(recv(s, answer, 4, 0));
	S(recv(s, answer, 4, MSG_DONTWAIT));
	// More answers than there is room for.
	int size = 1, lost = 0;
	S(setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
	begin(NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK, 0);
	for (int i = 0; i < 50; i++) put(s);
	struct pollfd p = {s, POLLIN};
	S(poll(&p, 1, 0));
	S(p.revents);
	S(recv(s, answer, sizeof answer, MSG_DONTWAIT));
	while (recv(s, answer, sizeof answer, MSG_DONTWAIT) > 0) lost++;
	printf("fewer %d\n", lost > 0 && lost < 50);
	put(s);
	S(recv(s, answer, sizeof answer, MSG_DONTWAIT) > 0);
	close(s);
}

static void names(void) {
	struct ifaddrs *list, *i;
	S(getifaddrs(&list));
	for (i = list; i; i = i->ifa_next) {
		if (strcmp(i->ifa_name, "lo") || !i->ifa_addr || i->ifa_addr->sa_family == AF_INET6) continue;
		printf("%s family %d flags %#x", i->ifa_name, i->ifa_addr->sa_family, i->ifa_flags);
		if (i->ifa_addr->sa_family == AF_INET) {
			printf(" %s", inet_ntoa(((struct sockaddr_in *)i->ifa_addr)->sin_addr));
			printf(" mask %s", inet_ntoa(((struct sockaddr_in *)i->ifa_netmask)->sin_addr));
		}
		printf("\n");
	}
	freeifaddrs(list);
	struct if_nameindex *n = if_nameindex();
	printf("index %d %s\n", n[0].if_index, n[0].if_name);
	if_freenameindex(n);
	char b[IF_NAMESIZE];
	S(if_nametoindex("lo"));
	S((int)if_nametoindex("nothing") - 1);
	S(strcmp(if_indextoname(1, b), "lo"));
	int kinds[] = {AF_UNIX, AF_NETLINK, AF_INET, AF_INET6};
	for (int k = 0; k < 4; k++) {
		int s = socket(kinds[k], SOCK_DGRAM, 0);
		struct ifreq r = {.ifr_name = "lo"};
		printf("family %d\n", kinds[k]);
		S(ioctl(s, SIOCGIFINDEX, &r));
		S(ioctl(s, SIOCGIFFLAGS, &r));
		printf("%#x\n", r.ifr_flags);
		S(ioctl(s, SIOCGIFADDR, &r));
		S(ioctl(s, SIOCGIFMTU, &r));
		strcpy(r.ifr_name, "nothing");
		S(ioctl(s, SIOCGIFMTU, &r));
		close(s);
	}
}

static unsigned long inode_of(int fd) {
	struct stat st;
	fstat(fd, &st);
	return st.st_ino;
}
static unsigned port, found;
static unsigned long inode;
static void inet_socket(struct nlmsghdr *h) {
	struct inet_diag_msg *m = NLMSG_DATA(h);
	if (ntohs(m->id.idiag_sport) != port) return;
	found++;
	printf("family %d state %d queues %u %u inode %d timer %d peer %u\n", m->idiag_family, m->idiag_state, m->idiag_rqueue,
		m->idiag_state == 10 ? m->idiag_wqueue : 0, m->idiag_inode == inode, m->idiag_timer, m->id.idiag_dport != 0);
	struct rtattr *a = find(h, sizeof *m, INET_DIAG_INFO);
	printf("  shutdown %ld info %d memory %d\n", number(h, sizeof *m, INET_DIAG_SHUTDOWN), a != 0, find(h, sizeof *m, INET_DIAG_SKMEMINFO) != 0);
}
static void unix_socket(struct nlmsghdr *h) {
	struct unix_diag_msg *m = NLMSG_DATA(h);
	if (m->udiag_ino != inode) return;
	found++;
	struct rtattr *a = find(h, sizeof *m, UNIX_DIAG_RQLEN);
	struct unix_diag_rqlen *l = a ? RTA_DATA(a) : 0;
	printf("family %d type %d state %d queues %d %d", m->udiag_family, m->udiag_type, m->udiag_state, l ? l->udiag_rqueue : -1, l && m->udiag_state == 10 ? l->udiag_wqueue : -1);
	if ((a = find(h, sizeof *m, UNIX_DIAG_NAME))) printf(" name %d %.*s", (int)RTA_PAYLOAD(a), (int)RTA_PAYLOAD(a) - 1, (char *)RTA_DATA(a) + 1);
	printf(" peer %d waiting %d shutdown %ld\n", find(h, sizeof *m, UNIX_DIAG_PEER) != 0, find(h, sizeof *m, UNIX_DIAG_ICONS) ? (int)RTA_PAYLOAD(find(h, sizeof *m, UNIX_DIAG_ICONS)) : -1, number(h, sizeof *m, UNIX_DIAG_SHUTDOWN));
}

static void diagnoses(void) {
	int s = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG);
	struct inet_diag_req_v2 *r;
	struct unix_diag_req *u;
	begin(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1);
	result(s, "short");
	r = begin(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, sizeof *r);
	r->sdiag_family = 200;
	result(s, "no family");
	r = begin(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 20);
	r->sdiag_family = AF_INET;
	result(s, "short request");
	begin(99, NLM_F_REQUEST, sizeof *r);
	result(s, "other type");
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), d = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
	bind(l, (void *)&a, sizeof a);
	listen(l, 7);
	socklen_t n = sizeof a;
	getsockname(l, (void *)&a, &n);
	connect(c, (void *)&a, sizeof a);
	port = ntohs(a.sin_port), inode = inode_of(l);
	for (unsigned states = 1 << 10; states != 2; states = states == 1 << 10 ? -1u : 2) {
		r = begin(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, sizeof *r);
		r->sdiag_family = AF_INET, r->sdiag_protocol = IPPROTO_TCP, r->idiag_states = states, r->idiag_ext = 1 << (INET_DIAG_INFO - 1) | 1 << (INET_DIAG_SKMEMINFO - 1);
		if (states == 1 << 10) dump(s, "listeners", inet_socket);
	}
	int e = accept(l, 0, 0);
	send(c, "12345", 5, 0);
	char b[8];
	recv(e, b, 1, MSG_PEEK);
	inode = inode_of(e);
	r = begin(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, sizeof *r);
	r->sdiag_family = AF_INET, r->sdiag_protocol = IPPROTO_TCP, r->idiag_states = 1 << 1;
	r->id.idiag_sport = htons(port);
	dump(s, "connections", inet_socket);
	a.sin_port = 0;
	bind(d, (void *)&a, sizeof a);
	getsockname(d, (void *)&a, &n);
	port = ntohs(a.sin_port), inode = inode_of(d);
	r = begin(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, sizeof *r);
	r->sdiag_family = AF_INET, r->sdiag_protocol = IPPROTO_UDP, r->idiag_states = -1;
	dump(s, "datagrams", inet_socket);
	printf("found %u\n", found);
	close(l), close(c), close(d), close(e);
	struct sockaddr_un ua = {AF_UNIX};
	sprintf(ua.sun_path + 1, "husk-diag-%08d", getpid() % 100000000);
	l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(l, (void *)&ua, 2 + 1 + 18);
	listen(l, 7);
	connect(c, (void *)&ua, 2 + 1 + 18);
	found = 0;
	int all[] = {l, c};
	for (int k = 0; k < 2; k++) {
		inode = inode_of(all[k]);
		u = begin(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, sizeof *u);
		u->sdiag_family = AF_UNIX, u->udiag_states = -1, u->udiag_show = UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN;
		dump(s, "unix", unix_socket);
		u = begin(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, sizeof *u);
		u->sdiag_family = AF_UNIX, u->udiag_ino = inode, u->udiag_cookie[0] = u->udiag_cookie[1] = -1;
		struct nlmsghdr *h = result(s, "one");
		if (h && h->nlmsg_type != NLMSG_ERROR) unix_socket(h);
	}
	printf("found %u\n", found);
	u = begin(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, sizeof *u);
	u->sdiag_family = AF_UNIX, u->udiag_cookie[0] = u->udiag_cookie[1] = -1;
	result(s, "no inode");
	u = begin(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, sizeof *u);
	u->sdiag_family = AF_UNIX, u->udiag_ino = 0x7fffffff, u->udiag_cookie[0] = u->udiag_cookie[1] = -1;
	result(s, "inode of nothing");
	close(l), close(c), close(s);
}

static void generic(void) {
	int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
	struct genlmsghdr *g = begin(GENL_ID_CTRL, NLM_F_REQUEST, sizeof *g);
	g->cmd = CTRL_CMD_GETFAMILY, g->version = 1;
	attr(CTRL_ATTR_FAMILY_NAME, "nlctrl", 7);
	struct nlmsghdr *h = result(s, "control");
	if (h && h->nlmsg_type == GENL_ID_CTRL) printf("id %d version %ld\n", *(unsigned short *)RTA_DATA(find(h, 4, CTRL_ATTR_FAMILY_ID)), number(h, 4, CTRL_ATTR_VERSION));
	g = begin(GENL_ID_CTRL, NLM_F_REQUEST, sizeof *g);
	g->cmd = CTRL_CMD_GETFAMILY;
	attr(CTRL_ATTR_FAMILY_NAME, "no-such-thing", 14);
	result(s, "no family");
	g = begin(GENL_ID_CTRL, NLM_F_REQUEST, sizeof *g);
	g->cmd = CTRL_CMD_GETFAMILY;
	result(s, "nothing");
	g = begin(999, NLM_F_REQUEST, sizeof *g);
	result(s, "other family");
	close(s);
	s = socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT);
	S(bind_to(s, 0, 1));
	S(recv(s, answer, 1, MSG_DONTWAIT));
	close(s);
}

static sem_t told;
static int told_of;
static void notified(union sigval v) {
	told_of = v.sival_int;
	sem_post(&told);
}
static void notices(void) {
	char n[40];
	sprintf(n, "/husk-netlink-%d", getpid());
	mqd_t m = mq_open(n, O_CREAT | O_RDWR, 0600, &(struct mq_attr){.mq_maxmsg = 4, .mq_msgsize = 16});
	mq_unlink(n);
	sem_init(&told, 0, 0);
	for (int i = 0; i < 3; i++) {
		struct sigevent e = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notified, .sigev_value.sival_int = i};
		S(mq_notify(m, &e));
		S(mq_notify(m, &e));
		if (i == 1) {
			S(mq_notify(m, NULL));
			S(mq_notify(m, &e));
		}
		S(mq_send(m, "x", 1, 0));
		sem_wait(&told);
		printf("notified %d\n", told_of);
		char b[16];
		S(mq_receive(m, b, 16, 0));
	}
	mq_close(m);
}

static int s;
static void addr(const char *what, int type, int flags, const char *ip, int bits) {
	struct ifaddrmsg *a = begin(type, NLM_F_REQUEST | NLM_F_ACK | flags, sizeof *a);
	a->ifa_family = strchr(ip, ':') ? AF_INET6 : AF_INET, a->ifa_prefixlen = bits, a->ifa_index = 1;
	attrip(IFA_LOCAL, ip);
	result(s, what);
}
static void way(const char *what, int type, int flags, const char *ip, int bits, const char *gateway, int oif, int metric) {
	struct rtmsg *r = begin(type, NLM_F_REQUEST | NLM_F_ACK | flags, sizeof *r);
	r->rtm_family = strchr(ip, ':') ? AF_INET6 : AF_INET, r->rtm_dst_len = bits, r->rtm_table = RT_TABLE_MAIN;
	r->rtm_protocol = RTPROT_BOOT, r->rtm_type = RTN_UNICAST, r->rtm_scope = gateway || r->rtm_family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	if (type == RTM_DELROUTE) r->rtm_protocol = 0, r->rtm_type = 0, r->rtm_scope = RT_SCOPE_NOWHERE;
	if (bits) attrip(RTA_DST, ip);
	if (gateway) attrip(RTA_GATEWAY, gateway);
	if (oif) attr32(RTA_OIF, oif);
	if (metric) attr32(RTA_PRIORITY, metric);
	result(s, what);
}
static void turn(const char *what, int flags, int change, int mtu) {
	struct ifinfomsg *l = begin(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, sizeof *l);
	l->ifi_index = 1, l->ifi_flags = flags, l->ifi_change = change;
	if (mtu) attr32(IFLA_MTU, mtu);
	result(s, what);
}
static void main_route(struct nlmsghdr *h) {
	if (((struct rtmsg *)NLMSG_DATA(h))->rtm_table == RT_TABLE_MAIN) route_of_lo(h);
}
static void show_routes(void) {
	struct rtmsg *r = begin(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, sizeof *r);
	r->rtm_family = AF_INET;
	dump(s, "routes", main_route);
}
static void show_addresses(void) {
	begin(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, sizeof(struct rtgenmsg));
	dump(s, "addresses", address_of_lo);
}

static void changes(void) {
	unshare(CLONE_NEWNET);
	s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	turn("up", IFF_UP, IFF_UP, 0);
	int w = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	S(bind_to(w, 0, RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE));
	addr("add", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "10.1.2.3", 24);
	addr("add again", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "10.1.2.3", 24);
	addr("replace", RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, "10.1.2.3", 24);
	addr("too long", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "10.1.2.4", 33);
	addr("six", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "fd00::1", 129);
	show_addresses();
	addr("second", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "10.1.2.4", 24);
	addr("other length", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "10.1.2.5", 25);
	show_addresses();
	addr("remove first", RTM_DELADDR, 0, "10.1.2.3", 24);
	show_addresses();
	addr("remove other", RTM_DELADDR, 0, "10.1.2.5", 25);
	addr("add", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "10.1.2.3", 24);
	struct sockaddr_in a = {AF_INET, 0};
	int t = socket(AF_INET, SOCK_DGRAM, 0);
	inet_pton(AF_INET, "10.1.2.3", &a.sin_addr);
	S(bind(t, (void *)&a, sizeof a));
	close(t), t = socket(AF_INET, SOCK_DGRAM, 0);
	inet_pton(AF_INET, "10.1.2.77", &a.sin_addr);
	S(bind(t, (void *)&a, sizeof a));
	close(t), t = socket(AF_INET, SOCK_DGRAM, 0);
	inet_pton(AF_INET, "10.1.3.3", &a.sin_addr);
	S(bind(t, (void *)&a, sizeof a));
	close(t);
	addr("remove", RTM_DELADDR, 0, "10.1.2.3", 24);
	addr("remove again", RTM_DELADDR, 0, "10.1.2.3", 24);
	struct ifaddrmsg *m = begin(RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, sizeof *m);
	m->ifa_family = AF_INET, m->ifa_prefixlen = 8, m->ifa_index = 1;
	result(s, "no address");
	m->ifa_index = 4711;
	attrip(IFA_LOCAL, "10.1.2.3");
	result(s, "no interface");
	way("route", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.8.0.0", 16, 0, 1, 0);
	way("route again", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.8.0.0", 16, 0, 1, 0);
	way("other metric", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.8.0.0", 16, 0, 1, 5);
	way("bits below", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.8.0.1", 16, 0, 1, 0);
	way("replace", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, "10.8.0.0", 16, 0, 1, 0);
	way("change nothing", RTM_NEWROUTE, NLM_F_REPLACE, "10.9.0.0", 16, 0, 1, 0);
	way("by no device", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.9.0.0", 16, 0, 4711, 0);
	way("by nothing", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.9.0.0", 16, 0, 0, 0);
	way("gateway", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.9.0.0", 16, "10.8.0.1", 0, 0);
	way("gateway out of reach", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.10.0.0", 16, "10.11.0.1", 0, 0);
	way("too long", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.10.0.0", 33, 0, 1, 0);
	show_routes();
	way("remove other metric", RTM_DELROUTE, 0, "10.8.0.0", 16, 0, 0, 5);
	way("remove gateway", RTM_DELROUTE, 0, "10.9.0.0", 16, "10.8.0.2", 0, 0);
	way("remove gateway", RTM_DELROUTE, 0, "10.9.0.0", 16, "10.8.0.1", 0, 0);
	way("remove nothing", RTM_DELROUTE, 0, "10.77.0.0", 16, 0, 0, 0);
	show_routes();
	// What was told: addresses and the main table.
	for (int n; (n = recv(w, answer, sizeof answer, MSG_DONTWAIT)) > 0;) {
		struct nlmsghdr *h = (void *)answer;
		struct rtmsg *r = NLMSG_DATA(h);
		if (h->nlmsg_type >= RTM_NEWROUTE && r->rtm_table != RT_TABLE_MAIN) continue;
		printf("told %d of %d/%d by %d\n", h->nlmsg_type, r->rtm_family, r->rtm_dst_len, h->nlmsg_pid == getpid() && h->nlmsg_seq == 77);
	}
	close(w);
	turn("mtu", 0, 0, 9000);
	struct ifinfomsg *l = begin(RTM_GETLINK, NLM_F_REQUEST, sizeof *l);
	l->ifi_index = 1;
	link_of_lo(result(s, "lo"));
	turn("down", 0, IFF_UP, 0);
	l = begin(RTM_GETLINK, NLM_F_REQUEST, sizeof *l);
	l->ifi_index = 1;
	struct nlmsghdr *h = result(s, "lo");
	printf("flags %#x\n", ((struct ifinfomsg *)NLMSG_DATA(h))->ifi_flags);
	show_routes();
	way("while down", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "10.8.0.0", 16, 0, 1, 0);
	turn("up", IFF_UP, IFF_UP, 65536);
	begin(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE, sizeof *l);
	attr(IFLA_IFNAME, "lo", 3);
	result(s, "make lo");
	begin(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, sizeof *l);
	attr(IFLA_IFNAME, "nothing", 8);
	result(s, "change nothing");
	begin(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, sizeof *l);
	result(s, "change no name");
	begin(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, sizeof *l);
	result(s, "set no name");
	l = begin(RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, sizeof *l);
	l->ifi_index = 1;
	result(s, "remove lo");
	l->ifi_index = 4711;
	result(s, "remove nothing");
	close(s);
	// Without privilege.
	if (setuid(65534)) return;
	s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	addr("forbidden", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "10.1.2.3", 24);
	turn("forbidden", 0, IFF_UP, 0);
	S(bind_to(s, 0, RTMGRP_LINK));
	S(connect_to(s, 5, 0));
	close(s);
	s = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
	S(bind_to(s, 0, 1));
	close(s);
}

int main(int argc, char **argv) {
	setvbuf(stdout, 0, _IOLBF, 0);
	if (argc > 1 && !strcmp(argv[1], "probe")) return unshare(CLONE_NEWNET) != 0;
	if (argc > 1) {
		changes();
		return 0;
	}
	sockets();
	users();
	questions();
	names();
	diagnoses();
	generic();
	notices();
}
