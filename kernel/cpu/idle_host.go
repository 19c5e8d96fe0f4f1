//go:build !baremetal

package cpu

// AnyIdle reports whether a CPU has nothing to run.
func AnyIdle() bool { return false }
