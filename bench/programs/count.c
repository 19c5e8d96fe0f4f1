// A plugin of QEMU that counts guest instructions, whatever the guest's clock
// does: it keeps the count in the first eight bytes of a file, given as
// count=PATH, for others to read while the machine runs.
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// What is used of qemu-plugin.h (docs/devel/tcg-plugins.rst), which few have.
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

enum { ADD_U64 };

static uint64_t *count;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
	(void)id;
	qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, count, qemu_plugin_tb_n_insns(tb));
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
	(void)info;
	if (argc != 1 || strncmp(argv[0], "count=", 6) != 0)
		return 1;
	int fd = open(argv[0] + 6, O_RDWR);
	if (fd < 0)
		return 1;
	count = mmap(0, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (count == MAP_FAILED)
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
