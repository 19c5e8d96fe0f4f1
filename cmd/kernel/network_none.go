//go:build !inet

package main

import "husk/kernel/virtio"

func (m *machine) openCard(virtio.Transport) error {
	return fail("open the network card", "this kernel has no TCP/IP stack")
}

func (m *machine) configureNetwork() error { return nil }

// useStack is nothing in the kernel without a TCP/IP stack.
func useStack() {}
