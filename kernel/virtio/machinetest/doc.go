// Package machinetest holds the tests of the virtio drivers, the streams and
// the 9p file system that need a machine with such devices. "go test -c" with
// the kernel's flags and cmd/mkkernel make a bootable test kernel of it, which
// test/virtio boots under QEMU, playing the host.
package machinetest
