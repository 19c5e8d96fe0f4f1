package linux

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// modules are those of the network card, below the kernel's directory.
var modules = []string{
	"drivers/virtio/virtio_ring.ko", "drivers/virtio/virtio.ko", "drivers/virtio/virtio_pci_legacy_dev.ko",
	"drivers/virtio/virtio_pci_modern_dev.ko", "drivers/virtio/virtio_pci.ko", "net/core/failover.ko",
	"drivers/net/net_failover.ko", "drivers/net/virtio_net.ko",
}

// NetInitramfs is Initramfs for a guest with a network card: init finds the
// modules in /modules, and in /servers what to start, a line each. files are
// further files, by their names in the guest.
func NetInitramfs(dir, kernel, init string, servers []string, extra map[string]string, programs ...string) (string, error) {
	files, err := collect(init, programs...)
	if err != nil {
		return "", err
	}
	add := func(name string, data []byte) {
		for i, c := range name {
			if c == '/' {
				files = append(files, file{name: name[:i], mode: 0o40755})
			}
		}
		files = append(files, file{name, 0o100755, data})
	}
	release := strings.TrimPrefix(filepath.Base(kernel), "vmlinuz-")
	for _, m := range modules {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(kernel), "..", "lib", "modules", release, "kernel", m))
		if err != nil {
			return "", err
		}
		add("modules/"+filepath.Base(m), data)
	}
	add("servers", []byte(strings.Join(servers, "\n")+"\n"))
	for name, path := range extra {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		add(strings.TrimPrefix(name, "/"), data)
	}
	return writeInitramfs(filepath.Join(dir, "initramfs-net"), files)
}

// Start boots the kernel with a network card and returns when QEMU runs; the
// card and the network behind it are those that husk gives a program. forward
// is QEMU's list of ports, extra what else it is told.
func Start(ctx context.Context, kernel, initramfs, forward string, extra ...string) (*exec.Cmd, error) {
	args := append(arguments(kernel, initramfs),
		"-netdev", "user,id=net0,net=10.0.2.0/24,host=10.0.2.2,dns=10.0.2.3,dhcpstart=10.0.2.15,ipv6=off"+forward,
		"-device", "virtio-net-pci,disable-legacy=on,netdev=net0,romfile=")
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", append(args, extra...)...)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("qemu-system-x86_64: %w", err)
	}
	return cmd, nil
}
