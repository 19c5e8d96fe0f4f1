// The server of the measurements over the network: UDP echo on port 7, a TCP
// sink on port 9, which says when it has all, and a TCP source on port 19,
// which sends as many mebibytes as it is asked for in one byte.
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int serve(int type, int port) {
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int s = socket(AF_INET, type, 0), on = 1;
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(s, (void *)&a, sizeof a) != 0 || (type == SOCK_STREAM && listen(s, 16) != 0)) {
		perror("netserve");
		exit(1);
	}
	return s;
}

static char b[1 << 16];

static void sink(int c) {
	while (read(c, b, sizeof b) > 0) {}
	if (write(c, "d", 1) != 1) perror("sink");
}

static void source(int c) {
	unsigned char n;
	if (read(c, &n, 1) != 1) return;
	for (int i = 0; i < n * 16; i++)
		if (write(c, b, sizeof b) != sizeof b) return;
}

int main(void) {
	struct pollfd p[] = {{serve(SOCK_DGRAM, 7), POLLIN, 0}, {serve(SOCK_STREAM, 9), POLLIN, 0}, {serve(SOCK_STREAM, 19), POLLIN, 0}};
	for (;;) {
		poll(p, 3, -1);
		if (p[0].revents) {
			struct sockaddr_in from;
			socklen_t len = sizeof from;
			ssize_t n = recvfrom(p[0].fd, b, sizeof b, 0, (void *)&from, &len);
			if (n >= 0) sendto(p[0].fd, b, n, 0, (void *)&from, len);
		}
		for (int i = 1; i < 3; i++) {
			if (!p[i].revents) continue;
			int c = accept(p[i].fd, 0, 0);
			if (c < 0) continue;
			(i == 1 ? sink : source)(c);
			close(c);
		}
	}
}
