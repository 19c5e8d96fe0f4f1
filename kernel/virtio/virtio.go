// Package virtio drives the devices of a virtual machine as the OASIS
// specification "Virtual I/O Device (VIRTIO) Version 1.2" defines them;
// section numbers in comments are of that document. It holds the split
// virtqueue, the two transports (memory-mapped registers and PCI) and one file
// for each device: console, block, entropy and 9p.
//
// Bytes flow from the layer above (file systems, streams) through a device
// into descriptors that name physical pages, and back; the data itself is
// never copied here except between user memory and the console's buffers.
//
// The device is not trusted: everything read from a ring or from registers is
// checked, and a device that breaks the rules is marked broken, after which
// its requests fail with EIO.
//
// An interrupt calls the device's service function on an ordinary goroutine.
// It drains the used rings and wakes waiters; it never blocks on anything but
// the short ring locks, which are held for no longer than one ring takes to
// walk and never across a copy to user memory.
//
// Lock order (each device has its own set):
//
//	Port.rmu, Port.wmu   held across copies to and from user memory
//	  Console.mu         control queues, table of ports
//	    Port.mu          one port's rings
//	      wait.Queue.mu
//	Block.head.mu
//	requester.mu         one request queue
//	dma.mu               leaf
package virtio

import (
	"slices"
	"strings"

	"husk/kernel/cpu"
)

// Kind is a device's type (5, Device Types).
type Kind uint32

// The devices this kernel knows.
const (
	KindNet     Kind = 1
	KindBlock   Kind = 2
	KindConsole Kind = 3
	KindEntropy Kind = 4
	Kind9P      Kind = 9
)

func (k Kind) String() string {
	switch k {
	case KindNet:
		return "net"
	case KindBlock:
		return "block"
	case KindConsole:
		return "console"
	case KindEntropy:
		return "entropy"
	case Kind9P:
		return "9p"
	}
	return "unknown"
}

// Device-independent feature bits (6, Reserved Feature Bits).
const (
	featureIndirect = 1 << 28
	featureEventIdx = 1 << 29
	featureVersion1 = 1 << 32
)

// Bits of the device status field (2.1).
const (
	statusAcknowledge = 1
	statusDriver      = 2
	statusDriverOK    = 4
	statusFeaturesOK  = 8
	statusNeedsReset  = 64
	statusFailed      = 128
)

// Transport is how a driver reaches its device: registers, not rings. The
// set-up calls are made by one goroutine before Start; Notify and Acknowledge
// may be called by any.
type Transport interface {
	Kind() Kind
	// Reset puts the device in its initial state and announces a driver.
	Reset()
	// Features is what the device offers; Accept settles on a subset of it
	// and reports whether the device agrees.
	Features() uint64
	Accept(features uint64) bool
	// QueueMax is the largest size of queue i, 0 when there is no such queue.
	QueueMax(i int) int
	// SetQueue tells the device where queue i lies.
	SetQueue(i, size int, desc, driver, device cpu.PhysAddr)
	// Start lets the device run (DRIVER_OK); Fail gives it up.
	Start()
	Fail()
	// Notify tells the device of new buffers in queue i.
	Notify(i int)
	// Acknowledge clears the reason of an interrupt.
	Acknowledge()
	// Config8, 16, 32 and 64 read the device's configuration space.
	Config8(off int) uint8
	Config16(off int) uint16
	Config32(off int) uint32
	Config64(off int) uint64
	// HandleIRQ has fn called, on an ordinary goroutine, after interrupts.
	HandleIRQ(fn func()) error
	// Name says where the device is, for the log.
	Name() string
}

// Error is why a device could not be used: one sentence.
type Error string

func (e Error) Error() string { return "virtio: " + string(e) }

// negotiate runs the device's initialisation up to the choice of features
// (3.1.1): want are the device-specific features the driver can use.
func negotiate(t Transport, want uint64) (uint64, error) {
	t.Reset()
	offered := t.Features()
	if offered&featureVersion1 == 0 {
		t.Fail()
		return 0, Error(t.Name() + ": only a legacy interface is offered")
	}
	features := offered & (want | featureVersion1 | featureIndirect | featureEventIdx)
	if !t.Accept(features) {
		t.Fail()
		return 0, Error(t.Name() + ": the device refused our features")
	}
	return features, nil
}

// PollWord on the kernel command line has requests polled for until they are
// done. Where instructions are the clock (QEMU's -icount), an idle machine
// jumps to its next timer, and a request that was parked for would seem to
// take that long.
const PollWord = "husk.poll"

// Probe finds the machine's virtio devices: those that the kernel command
// line names, else those on PCI bus 0. Disks come first, since their first
// sectors are asked for when they are opened. The second result describes
// devices that were found and cannot be driven.
func Probe(commandLine string) ([]Transport, []error) {
	for word := range strings.FieldsSeq(commandLine) {
		if word == PollWord {
			pollNanos, counted = 3600e9, true
		}
	}
	found, problems := probeMMIO(commandLine)
	if len(found) == 0 && len(problems) == 0 {
		found, problems = probePCI()
	}
	slices.SortStableFunc(found, func(a, b Transport) int { return order(a) - order(b) })
	return found, problems
}

func order(t Transport) int {
	if t.Kind() == KindBlock {
		return 0
	}
	return 1
}
