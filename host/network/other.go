//go:build !linux

package network

import (
	"errors"
	"net/netip"
	"os"
)

// OpenTap needs Linux.
func OpenTap(string, string, int, int) (*Tap, error) {
	return nil, errors.New("tap devices and bridges are for machines on Linux")
}

// Assign needs Linux.
func (*Tap) Assign(netip.Prefix) error { return errors.ErrUnsupported }

// Owner needs Linux.
func Owner(string, netip.AddrPort) string { return "" }

// Dial needs Linux.
func Dial(string) (*os.File, error) {
	return nil, errors.New("sockets that carry frames are for machines on Linux")
}

// Passt is described where there is one.
type Passt struct {
	Program string
	Args    []string
}

// Find needs Linux.
func (*Passt) Find() error { return errors.New("passt is for machines on Linux") }

// Start needs Linux.
func (*Passt) Start() (*os.File, error) { return nil, errors.ErrUnsupported }

// Close needs Linux.
func (*Passt) Close() {}
