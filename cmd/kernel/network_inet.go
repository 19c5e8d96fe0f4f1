//go:build inet

package main

import (
	"husk/kernel/inet"
	"husk/kernel/inet/netstack"
)

// useStack gives the sockets a way out of the machine. Nothing of it runs
// before the first network card is added.
func useStack() { inet.NewStack = netstack.New }
