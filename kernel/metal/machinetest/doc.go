// Package machinetest holds the tests of metal and cpu that need the machine.
// "go test -c" with the kernel's flags and cmd/mkkernel make a bootable test
// kernel of it, which test/metal boots.
package machinetest
