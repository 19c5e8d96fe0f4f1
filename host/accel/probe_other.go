//go:build !(linux && amd64)

package accel

import "errors"

// Probe says why guests of this architecture are not accelerated here.
func Probe() error { return errors.New("no accelerator for x86-64 guests on this host") }

func bootID() string { return "" }
