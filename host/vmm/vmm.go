// Package vmm says what a virtual machine monitor is asked for and keeps the
// process that a monitor is. Each monitor has a folder below, which turns a
// Machine into a command line.
package vmm

import "os"

// Machine is one machine to start. Its files are inherited by the monitor;
// the caller closes its own copies.
type Machine struct {
	Type   string // "microvm" or "q35"
	Accel  string // "tcg", "kvm" or "hvf"
	Memory int64  // bytes
	CPUs   int
	Kernel *os.File
	Spec   *os.File // the run specification, handed over as boot module
	Disks  []Disk
	Shares []Share
	Ports  []Port
	Cards  []Card
	Serial *os.File // a socket
	// ICount makes one guest instruction one nanosecond of its clocks, for
	// measurements; with tcg only, and processors take turns.
	ICount bool
	GDB    int // TCP port of the debugger stub on localhost; 0 for none
}

// Disk is a block device. The guest counts them from 0 in this order.
type Disk struct {
	Path     string
	Parts    []string // if set, the disk is these files one behind the other
	File     *os.File // if set, the disk is this inherited file instead
	Readonly bool
}

// Card is a network card, and what is behind it: one of User, Tap, Connect.
type Card struct {
	MAC  string // "" for the monitor's choice
	MTU  int    // that the guest is told, 0 for none
	User *UserNetwork
	// Tap are the queue pairs of a tap device with virtio's header.
	Tap []*os.File
	// Connect gives a stream socket of frames, each behind its length in four
	// bytes; it is called for every start. Stream is what it gave.
	Connect func() (*os.File, error)
	Stream  *os.File
}

// UserNetwork is a network that the monitor plays itself: it needs no
// privilege and gives the guest a gateway, a name server and a way out.
type UserNetwork struct {
	Network string // with prefix, as 10.0.2.0/24
	Guest   string // address of the card
	Gateway string
	DNS     string
	// The same of IPv6; "" to have none.
	Network6, Gateway6, DNS6 string

	Forward []Forward
}

// Forward is a port of the host that leads to one of the guest.
type Forward struct {
	Protocol  string // "tcp" or "udp"
	Addr      string // of the host
	Host      int
	GuestPort int
}

// Share is a host directory that the guest mounts over 9p by its tag.
type Share struct {
	Tag, Path string
	Readonly  bool
}

// Port is a named byte stream; File is the monitor's end of a socket pair.
type Port struct {
	Name string
	File *os.File
}
