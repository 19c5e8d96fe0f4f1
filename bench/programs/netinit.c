// The first process of the Linux guest of the measurements over the network: it
// loads the modules of the card, gives it its address and starts the servers.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void load(const char *name) {
	char path[100];
	snprintf(path, sizeof path, "/modules/%s.ko", name);
	int fd = open(path, O_RDONLY);
	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) != 0) perror(name);
	close(fd);
}

static void address(const char *name, const char *ip) {
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq r = {0};
	struct sockaddr_in *a = (void *)&r.ifr_addr;
	strcpy(r.ifr_name, name);
	a->sin_family = AF_INET;
	if (ip) {
		inet_aton(ip, &a->sin_addr);
		if (ioctl(s, SIOCSIFADDR, &r) != 0) perror("SIOCSIFADDR");
		inet_aton("255.255.255.0", &a->sin_addr);
		if (ioctl(s, SIOCSIFNETMASK, &r) != 0) perror("SIOCSIFNETMASK");
	}
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(s, SIOCSIFFLAGS, &r) != 0) perror("SIOCSIFFLAGS");
	close(s);
}

static void start(const char *line) {
	if (fork() != 0) return;
	char *copy = strdup(line), *argv[20];
	int n = 0;
	for (char *w = strtok(copy, " "); w; w = strtok(0, " ")) argv[n++] = w;
	argv[n] = 0;
	execv(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

int main(void) {
	mkdir("/proc", 0555);
	mkdir("/sys", 0555);
	mkdir("/tmp", 01777);
	mount("proc", "/proc", "proc", 0, 0);
	mount("sysfs", "/sys", "sysfs", 0, 0);
	mount("tmpfs", "/tmp", "tmpfs", 0, 0);
	mount("devtmpfs", "/dev", "devtmpfs", 0, 0);
	const char *modules[] = {"virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "failover", "net_failover", "virtio_net"};
	for (unsigned i = 0; i < sizeof modules / sizeof *modules; i++) load(modules[i]);
	address("lo", 0);
	address("eth0", "10.0.2.15");
	FILE *f = fopen("/servers", "r");
	char line[500];
	while (f && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = 0;
		start(line);
	}
	for (;;) wait(0), sleep(1);
}
