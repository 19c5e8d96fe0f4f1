//go:build !linux

package sysroot

// Xattrs are none: other systems' attributes mean nothing to Linux.
func Xattrs(string) (map[string][]byte, error) { return nil, nil }
