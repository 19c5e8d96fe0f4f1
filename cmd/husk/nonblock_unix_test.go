//go:build unix

package main

import "syscall"

func nonblock(fd int) { _ = syscall.SetNonblock(fd, true) }
