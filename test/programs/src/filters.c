// Filters of sockets, and packet sockets that look at lo: what may be
// attached, what passes, and how it is told. Prints what happened; run on
// Linux it says what should have.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static void say(const char *what, long n) {
	int e = errno;
	printf("%s: %ld", what, n);
	if (n == -1) printf(" %s", strerrorname_np(e));
	printf("\n");
	errno = 0;
}
#define S(e) say(#e, (long)(e))
#define COUNT(p) (sizeof(p) / sizeof(*p))

static int attach(int s, struct sock_filter *p, int n) {
	struct sock_fprog f = {n, p};
	return setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof f);
}
static int set(int s, int level, int name, int v) { return setsockopt(s, level, name, &v, sizeof v); }
static int get(int s, int level, int name) {
	int v = -2;
	socklen_t n = sizeof v;
	return getsockopt(s, level, name, &v, &n) ? -1 : v;
}

static struct sock_filter all[] = {{BPF_RET | BPF_K, 0, 0, 0xffffffff}};
static struct sock_filter none[] = {{BPF_RET | BPF_K, 0, 0, 0}};
static struct sock_filter ten[] = {{BPF_RET | BPF_K, 0, 0, 10}};
// UDP whose first byte of data is 'x', behind the 8 bytes of the header.
static struct sock_filter x[] = {
	{BPF_LD | BPF_B | BPF_ABS, 0, 0, 8},
	{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'x'},
	{BPF_RET | BPF_K, 0, 0, 0xffffffff},
	{BPF_RET | BPF_K, 0, 0, 0},
};

static void refused(int s) {
	struct { const char *name; struct sock_filter p[3]; int n; } bad[] = {
		{"nothing", {{0}}, 0},
		{"no return", {{BPF_LD | BPF_IMM, 0, 0, 1}}, 1},
		{"jump out", {{BPF_JMP | BPF_JA, 0, 0, 5}, {BPF_RET, 0, 0, 0}}, 2},
		{"no such code", {{0xff, 0, 0, 0}, {BPF_RET, 0, 0, 0}}, 2},
		{"division by zero", {{BPF_ALU | BPF_DIV | BPF_K, 0, 0, 0}, {BPF_RET, 0, 0, 0}}, 2},
		{"remainder of zero", {{BPF_ALU | BPF_MOD | BPF_K, 0, 0, 0}, {BPF_RET, 0, 0, 0}}, 2},
		{"remainder", {{BPF_ALU | BPF_MOD | BPF_K, 0, 0, 3}, {BPF_RET, 0, 0, 0}}, 2},
		{"long shift", {{BPF_ALU | BPF_LSH | BPF_K, 0, 0, 32}, {BPF_RET, 0, 0, 0}}, 2},
		{"word not stored", {{BPF_LD | BPF_MEM, 0, 0, 3}, {BPF_RET, 0, 0, 0}}, 2},
		{"no such word", {{BPF_ST, 0, 0, 16}, {BPF_RET, 0, 0, 0}}, 2},
		{"load behind a register", {{BPF_LD | BPF_H | BPF_IND, 0, 0, 3}, {BPF_RET, 0, 0, 0}}, 2},
		{"header length", {{BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0}, {BPF_RET, 0, 0, 0}}, 2},
		{"protocol", {{BPF_LD | BPF_H | BPF_ABS, 0, 0, SKF_AD_OFF + SKF_AD_PROTOCOL}, {BPF_RET, 0, 0, 0}}, 2},
		{"nothing to ask", {{BPF_LD | BPF_H | BPF_ABS, 0, 0, SKF_AD_OFF + SKF_AD_MAX + 4}, {BPF_RET, 0, 0, 0}}, 2},
	};
	for (int i = 0; i < COUNT(bad); i++) say(bad[i].name, attach(s, bad[i].p, bad[i].n));
	struct sock_fprog f = {1, NULL};
	S(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof f));
	S(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &f, 4));
	S(set(s, SOL_SOCKET, SO_ATTACH_BPF, -1));
	S(set(s, SOL_SOCKET, SO_ATTACH_BPF, 1));
}

static void datagrams(void) {
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof a;
	bind(s, (void *)&a, sizeof a);
	getsockname(s, (void *)&a, &n);
	connect(s, (void *)&a, sizeof a);
	S(set(s, SOL_SOCKET, SO_DETACH_FILTER, 0));
	refused(s);
	while (recv(s, &n, 1, MSG_DONTWAIT) >= 0) {}
	S(set(s, SOL_SOCKET, SO_DETACH_FILTER, 0));
	char b[64];
	S(attach(s, x, COUNT(x)));
	struct sock_filter back[8];
	n = COUNT(back);
	S(getsockopt(s, SOL_SOCKET, SO_GET_FILTER, back, &n));
	printf("%d instructions, the same %d\n", n, !memcmp(back, x, sizeof x));
	n = 2;
	S(getsockopt(s, SOL_SOCKET, SO_GET_FILTER, back, &n));
	n = 0;
	S(getsockopt(s, SOL_SOCKET, SO_GET_FILTER, back, &n));
	S(n);
	S(send(s, "yes", 3, 0));
	S(send(s, "xes", 3, 0));
	S(send(s, "", 0, 0));
	S(recv(s, b, sizeof b, MSG_DONTWAIT));
	S(recv(s, b, sizeof b, MSG_DONTWAIT));
	S(attach(s, ten, 1));
	S(send(s, "0123456789", 10, 0));
	S(recv(s, b, sizeof b, MSG_DONTWAIT));
	S(attach(s, none, 1));
	S(send(s, "xes", 3, 0));
	S(recv(s, b, sizeof b, MSG_DONTWAIT));
	S(set(s, SOL_SOCKET, SO_LOCK_FILTER, 1));
	S(get(s, SOL_SOCKET, SO_LOCK_FILTER));
	S(attach(s, all, 1));
	S(set(s, SOL_SOCKET, SO_DETACH_FILTER, 0));
	S(set(s, SOL_SOCKET, SO_LOCK_FILTER, 0));
	S(set(s, SOL_SOCKET, SO_LOCK_FILTER, 1));
	close(s);
	// Times of arrival.
	s = socket(AF_INET, SOCK_DGRAM, 0);
	a.sin_port = 0;
	bind(s, (void *)&a, sizeof a);
	n = sizeof a;
	getsockname(s, (void *)&a, &n);
	connect(s, (void *)&a, sizeof a);
	int stamps[] = {0, SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMPING};
	for (int i = 0; i < COUNT(stamps); i++) {
		if (i) S(set(s, SOL_SOCKET, stamps[i], i == 3 ? 0x18 : 1));
		send(s, "x", 1, 0);
		char control[200];
		struct iovec v = {b, sizeof b};
		struct msghdr m = {0, 0, &v, 1, control, sizeof control};
		S(recvmsg(s, &m, MSG_DONTWAIT));
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
			printf("level %d type %d length %d time %d\n", c->cmsg_level, c->cmsg_type, (int)c->cmsg_len, *(long *)CMSG_DATA(c) > 1000000000);
	}
	close(s);
	int v[2];
	socketpair(AF_UNIX, SOCK_DGRAM, 0, v);
	struct sock_filter first[] = {{BPF_LD | BPF_B | BPF_ABS, 0, 0, 0}, {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 'x'}, {BPF_RET | BPF_K, 0, 0, 0}, {BPF_RET | BPF_K, 0, 0, 2}};
	S(attach(v[1], first, COUNT(first)));
	S(send(v[0], "yes", 3, 0));
	S(send(v[0], "xes", 3, 0));
	S(recv(v[1], b, sizeof b, MSG_DONTWAIT));
	S(recv(v[1], b, sizeof b, MSG_DONTWAIT));
	close(v[0]), close(v[1]);
}

// Packets of UDP to one port of lo, to which others do not send.
static int port;
static void only(int s) {
	struct sock_filter p[] = {
		{BPF_LD | BPF_B | BPF_ABS, 0, 0, SKF_NET_OFF + 9},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 3, IPPROTO_UDP},
		{BPF_LD | BPF_H | BPF_ABS, 0, 0, SKF_NET_OFF + 22},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, port},
		{BPF_RET | BPF_K, 0, 0, 0xffffffff},
		{BPF_RET | BPF_K, 0, 0, 0},
	};
	S(attach(s, p, COUNT(p)));
	// What came before the filter.
	char b[2048];
	while (recv(s, b, sizeof b, MSG_DONTWAIT) >= 0) {}
}
static int look(int type, int protocol) {
	int s = socket(AF_PACKET, type, 0);
	only(s);
	struct sockaddr_ll l = {AF_PACKET, htons(protocol), 1};
	S(bind(s, (void *)&l, sizeof l));
	return s;
}

static void packets(void) {
	int u = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof a;
	bind(u, (void *)&a, sizeof a);
	getsockname(u, (void *)&a, &n);
	connect(u, (void *)&a, sizeof a);
	port = ntohs(a.sin_port);
	int types[] = {SOCK_RAW, SOCK_DGRAM}, protocols[] = {ETH_P_ALL, ETH_P_IP};
	for (int t = 0; t < 2; t++)
		for (int p = 0; p < 2; p++) {
			printf("type %d protocol %#x\n", types[t], protocols[p]);
			int s = look(types[t], protocols[p]);
			if (s < 0) return;
			S(set(s, SOL_PACKET, PACKET_AUXDATA, 1));
			S(send(u, "hello", 5, 0));
			for (;;) {
				char b[100], c[200];
				struct sockaddr_ll l;
				struct iovec v = {b, 44};
				struct msghdr m = {&l, sizeof l, &v, 1, c, sizeof c};
				int k = recvmsg(s, &m, MSG_DONTWAIT);
				if (k < 0) break;
				int at = types[t] == SOCK_RAW ? 14 : 0;
				printf("%d bytes, flags %#x, protocol %#x index %d hardware %d kind %d address %d, IP %#x to %s\n", k, m.msg_flags, ntohs(l.sll_protocol),
					l.sll_ifindex, l.sll_hatype, l.sll_pkttype, l.sll_halen, (unsigned char)b[at], inet_ntoa(*(struct in_addr *)(b + at + 16)));
				struct cmsghdr *h = CMSG_FIRSTHDR(&m);
				if (h && h->cmsg_type == PACKET_AUXDATA) {
					struct tpacket_auxdata *x = (void *)CMSG_DATA(h);
					printf("  length %d snap %d headers at %d %d, status %d\n", x->tp_len, x->tp_snaplen, x->tp_mac, x->tp_net, x->tp_status & TP_STATUS_USER);
				}
			}
			close(s);
		}
	for (int version = TPACKET_V1; version <= TPACKET_V3; version++) {
		printf("version %d\n", version);
		int s = look(SOCK_RAW, ETH_P_ALL), hdr = version;
		n = sizeof hdr;
		S(getsockopt(s, SOL_PACKET, PACKET_HDRLEN, &hdr, &n));
		S(hdr);
		S(set(s, SOL_PACKET, PACKET_VERSION, 9));
		S(set(s, SOL_PACKET, PACKET_VERSION, version));
		S(get(s, SOL_PACKET, PACKET_VERSION));
		struct tpacket_req3 r = {4096, 4, 2048, 8, 60000};
		int size = version == TPACKET_V3 ? sizeof r : sizeof(struct tpacket_req);
		r.tp_frame_nr = 7;
		S(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &r, size));
		r.tp_frame_nr = 8, r.tp_block_size = 1000;
		S(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &r, size));
		r.tp_block_size = 4096, r.tp_frame_size = 2047;
		S(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &r, size));
		r.tp_frame_size = 2048;
		S(mmap(0, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0) == MAP_FAILED);
		S(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &r, size));
		S(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &r, size));
		S(set(s, SOL_PACKET, PACKET_VERSION, version));
		char *ring = mmap(0, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0);
		S(ring != MAP_FAILED);
		if (ring == MAP_FAILED) continue;
		struct pollfd f = {s, POLLIN};
		S(poll(&f, 1, 0));
		S(send(u, "hello", 5, 0));
		if (version == TPACKET_V3) {
			// A block that is full goes to the program.
			for (int i = 0; i < 20; i++) send(u, ring, 1000, 0);
		}
		S(poll(&f, 1, 5000));
		S(f.revents);
		if (version == TPACKET_V3) {
			struct tpacket_block_desc *d = (void *)ring;
			printf("version %d status %d first at %d sequence %d\n", d->version, d->hdr.bh1.block_status & TP_STATUS_USER, d->hdr.bh1.offset_to_first_pkt, (int)d->hdr.bh1.seq_num);
			struct tpacket3_hdr *h = (void *)(ring + d->hdr.bh1.offset_to_first_pkt);
			printf("length %d snap %d mac %d net %d next %d status %d data %d\n", h->tp_len, h->tp_snaplen, h->tp_mac, h->tp_net, h->tp_next_offset, h->tp_status & TP_STATUS_USER, !memcmp((char *)h + h->tp_net + 28, "hello", 5));
			struct sockaddr_ll *l = (void *)((char *)h + TPACKET_ALIGN(sizeof *h));
			printf("kind %d protocol %#x\n", l->sll_pkttype, ntohs(l->sll_protocol));
		} else {
			for (int i = 0; i < 3; i++) {
				char *at = ring + 2048 * i;
				struct sockaddr_ll *l = (void *)(at + 32);
				if (version == TPACKET_V1) {
					struct tpacket_hdr *h = (void *)at;
					printf("status %d length %d snap %d mac %d net %d", (int)h->tp_status & TP_STATUS_USER, h->tp_len, h->tp_snaplen, h->tp_mac, h->tp_net);
				} else {
					struct tpacket2_hdr *h = (void *)at;
					printf("status %d length %d snap %d mac %d net %d", h->tp_status & TP_STATUS_USER, h->tp_len, h->tp_snaplen, h->tp_mac, h->tp_net);
				}
				printf(" kind %d protocol %#x\n", l->sll_pkttype, ntohs(l->sll_protocol));
			}
			// Too many: what the program has not taken stays.
			for (int i = 0; i < 20; i++) send(u, "more", 4, 0);
		}
		struct tpacket_stats_v3 st = {0};
		n = sizeof st;
		S(getsockopt(s, SOL_PACKET, PACKET_STATISTICS, &st, &n));
		printf("%d bytes: packets %d\n", n, st.tp_packets > 8);
		munmap(ring, 16384);
		close(s);
		char b[2000];
		while (recv(u, b, sizeof b, MSG_DONTWAIT) >= 0) {}
	}
}

int main(int argc, char **argv) {
	if (argc > 1 && !strcmp(argv[1], "probe")) return socket(AF_PACKET, SOCK_RAW, 0) < 0;
	if (argc > 1)
		packets();
	else
		datagrams();
}
