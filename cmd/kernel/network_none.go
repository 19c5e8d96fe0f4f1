//go:build !inet

package main

// useStack is nothing in the kernel without a TCP/IP stack.
func useStack() {}
