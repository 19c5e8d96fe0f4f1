// Package network is what machines need of the host's network: tap devices
// and the bridges they are ports of, the helper that gives a machine the
// host's own network without privileges (passt), sockets that carry frames,
// and who it is that has a port already.
//
// Nothing here is left behind: a tap that was made for a machine is gone with
// its descriptors, passt with its socket.
package network

import (
	"net"
	"net/netip"
	"os"
)

// Tap is a tap device that a machine is behind. The monitor inherits the
// files, one a queue pair; the caller closes its own copies.
type Tap struct {
	Name  string
	MTU   int
	Files []*os.File
}

// Close closes the files. A device that was made for the machine is gone with
// the last of them.
func (t *Tap) Close() {
	for _, f := range t.Files {
		f.Close()
	}
}

// Addresses are those of an interface of this host, with their prefixes;
// link-local ones are not among them.
func Addresses(name string) ([]netip.Prefix, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	list, err := i.Addrs()
	if err != nil {
		return nil, err
	}
	var all []netip.Prefix
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
			all = append(all, p)
		}
	}
	return all, nil
}
