package virtio

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"

	"husk/kernel/cpu"
	"husk/kernel/inet"
)

// Feature bits and configuration of the network device (5.1).
const (
	netCsum      = 1 << 0
	netGuestCsum = 1 << 1
	netMTU       = 1 << 3
	netMAC       = 1 << 5
	netGuestTSO4 = 1 << 7
	netGuestTSO6 = 1 << 8
	netHostTSO4  = 1 << 11
	netHostTSO6  = 1 << 12
	netMergeable = 1 << 15
	netStatus    = 1 << 16
	netControl   = 1 << 17
	netQueues    = 1 << 22
	netHostUSO   = 1 << 56

	netConfigMAC    = 0
	netConfigStatus = 6
	netConfigPairs  = 8
	netConfigMTU    = 10
	netLinkUp       = 1

	// Commands of the control queue (5.1.6.5).
	netClassQueues = 4
	netSetPairs    = 0
	netOK          = 0

	// The header before each frame (5.1.6).
	netHeader     = 12
	netNeedsCsum  = 1
	netDataValid  = 2
	netGSONone    = 0
	netGSOTCP4    = 1
	netGSOTCP6    = 4
	netGSOUDP     = 5
	netGSOECN     = 0x80
	netEthernet   = 14
	netDefaultMTU = 1500

	netRing    = 256
	netBuffers = 128 // posted for reception, a page each; half of it with several queues
	netTxPages = 256 // that frames in flight may have
	netFrameTx = netHeader + 64<<10
	netPieces  = (netFrameTx + cpu.PageSize - 1) / cpu.PageSize
	netBatch   = 64 // frames given to the receiver at once
)

// Net is a network card with a pair of queues for each processor, as far as
// the device has them. It implements inet.Link.
//
// Frames are copied once in either direction, for the stack's memory is the
// Go heap, of which a device cannot be given a physical address.
//
// The first pair is served by the goroutine of the interrupt, each other one
// by a goroutine of its own, which the interrupt wakes.
type Net struct {
	t       Transport
	address [6]byte
	mtu     int
	offload inet.Offload
	status  bool // the device tells of its carrier
	pairs   []netPair
	control *Queue

	// Broken, unless nil, is called once when the device breaks the rules of
	// its rings, after which nothing goes through it any more.
	Broken func()
	broke  atomic.Bool
}

// netPair is one pair of queues.
type netPair struct {
	card *Net
	rx   netRx
	tx   netTx
	wake chan struct{} // nil for the first pair
}

// OpenNet brings a network card up. It receives nothing before Start.
func OpenNet(t Transport) (*Net, error) { return openNet(t, cpu.CPUs()) }

// openNet is OpenNet with at most so many pairs of queues.
func openNet(t Transport, pairs int) (*Net, error) {
	want := uint64(netCsum | netGuestCsum | netMTU | netMAC | netHostTSO4 | netHostTSO6 | netMergeable | netStatus | netHostUSO)
	if pairs > 1 {
		want |= netControl | netQueues
	}
	t.Reset()
	// 5.1.3.1: what needs what. A train fits in merged buffers only.
	if offered := t.Features(); offered&netMergeable != 0 && offered&netGuestCsum != 0 {
		want |= netGuestTSO4 | netGuestTSO6
	}
	if t.Features()&netCsum == 0 {
		want &^= netHostTSO4 | netHostTSO6 | netHostUSO
	}
	features, err := negotiate(t, want)
	if err != nil {
		return nil, err
	}
	n := &Net{t: t, mtu: netDefaultMTU, status: features&netStatus != 0}
	if err := n.setup(features, pairs); err != nil {
		t.Fail()
		return nil, err
	}
	if err := t.HandleIRQ(n.service); err != nil {
		t.Fail()
		return nil, err
	}
	t.Start()
	if len(n.pairs) > 1 && !n.use(len(n.pairs)) {
		n.pairs = n.pairs[:1]
	}
	return n, nil
}

func (n *Net) setup(features uint64, pairs int) error {
	count, most := 1, 1
	if features&netQueues != 0 && features&netControl != 0 {
		most = max(int(n.t.Config16(netConfigPairs)), 1)
		count = min(most, pairs)
	}
	var pool queuePool
	pool.grow(2*count+1, 2*count*netRing+netCommands)
	n.pairs = make([]netPair, count)
	for i := range n.pairs {
		p := &n.pairs[i]
		p.card, p.rx.index, p.tx.index = n, i, i
		var err error
		if p.rx.q, err = pool.queue(n.t, 2*i, netRing, features); err != nil {
			return err
		}
		if p.tx.q, err = pool.queue(n.t, 2*i+1, netRing, features); err != nil {
			return err
		}
		p.tx.free = make([]uint16, p.tx.q.Size())
		for k := range p.tx.free {
			p.tx.free[k] = uint16(k)
		}
	}
	if count > 1 {
		var err error
		if n.control, err = pool.queue(n.t, 2*most, netCommands, features); err != nil {
			return err
		}
	}
	if features&netMAC != 0 {
		for i := range n.address {
			n.address[i] = n.t.Config8(netConfigMAC + i)
		}
	} else {
		binary.LittleEndian.PutUint32(n.address[2:], uint32(cpu.Nanotime()))
	}
	if n.address[0]&1 != 0 || n.address == ([6]byte{}) {
		n.address[0] = 2 // neither a group's nor nobody's
	}
	merge := features&netMergeable != 0
	if features&netMTU != 0 {
		if mtu := int(n.t.Config16(netConfigMTU)); mtu >= 68 {
			n.mtu = mtu
		}
	}
	if !merge {
		n.mtu = min(n.mtu, cpu.PageSize-netHeader-netEthernet)
	}
	n.offload = inet.Offload{
		SendChecksum:    features&netCsum != 0,
		ReceiveChecksum: features&netGuestCsum != 0,
		TCP4:            features&netHostTSO4 != 0,
		TCP6:            features&netHostTSO6 != 0,
		UDP:             features&netHostUSO != 0,
		Merge:           features&(netGuestTSO4|netGuestTSO6) != 0,
		MaxFrame:        min(netPieces, n.pairs[0].tx.q.MaxSegments())*cpu.PageSize - netHeader,
	}
	n.offload.MaxFrame = min(n.offload.MaxFrame, 65535)
	return nil
}

// netCommands is the size of the control queue: one command of three pieces.
const netCommands = 4

// use tells the device how many pairs of queues are in use (5.1.6.5.6.1).
func (n *Net) use(pairs int) bool {
	pa, ok := dmaAlloc(8, 8)
	if !ok {
		return false
	}
	b := bytesAt(pa, 8)
	b[0], b[1] = netClassQueues, netSetPairs
	binary.LittleEndian.PutUint16(b[2:], uint16(pairs))
	b[4] = ^byte(netOK)
	if !n.control.Add([]Segment{{pa, 2}, {pa + 2, 2}}, []Segment{{pa + 4, 1}}, 0) {
		return false
	}
	n.control.Kick()
	for end := cpu.Nanotime() + netPatience; cpu.Nanotime() < end; {
		if _, _, ok := n.control.Pop(); ok {
			return b[4] == netOK
		}
		n.t.Config8(0) // where time is counted, a look lets the host catch up
	}
	return false
}

// netPatience is how long the device may take over a command.
const netPatience = 1e9

// Address, MTU, Queues and Offload say what the card is.
func (n *Net) Address() [6]byte { return n.address }

// MTU is described at Address.
func (n *Net) MTU() int { return n.mtu }

// Queues is described at Address.
func (n *Net) Queues() int { return len(n.pairs) }

// Offload is described at Address.
func (n *Net) Offload() inet.Offload { return n.offload }

// Up asks the device for its carrier.
func (n *Net) Up() bool { return !n.status || n.t.Config16(netConfigStatus)&netLinkUp != 0 }

// Start gives the device buffers and r what arrives in them.
func (n *Net) Start(r inet.Receiver) error {
	count := netBuffers
	if len(n.pairs) > 1 {
		count /= 2
	}
	for i := range n.pairs {
		p := &n.pairs[i]
		if !p.rx.fill(r, count) {
			if i == 0 {
				return Error(n.t.Name() + ": no memory for frames")
			}
			return nil // a queue that has no buffers drops what comes by it
		}
		if i > 0 {
			p.wake = make(chan struct{}, 1)
			go p.serve()
		}
	}
	n.carrier()
	if counted {
		go n.poll()
	}
	return nil
}

// serve is the goroutine of a pair but the first.
func (p *netPair) serve() {
	for range p.wake {
		p.service()
	}
}

// poll looks at the rings for ever: where instructions are the clock, a
// machine that waits for an interrupt jumps to its next timer instead.
func (n *Net) poll() {
	for !n.broke.Load() {
		n.service()
		n.t.Config8(0)
		runtime.Gosched()
	}
}

// service is the interrupt function.
func (n *Net) service() {
	n.t.Acknowledge()
	worked := false
	for i := range n.pairs[1:] {
		p := &n.pairs[1+i]
		if p.wake == nil || !p.rx.q.Ready() && !p.tx.q.Ready() {
			continue
		}
		worked = true
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	if n.pairs[0].service() {
		worked = true
	}
	// To read the status is dear in a virtual machine: an interrupt that had
	// no other reason is one for it.
	if !worked && n.status && !counted {
		n.carrier()
	}
}

func (n *Net) carrier() {
	rx := &n.pairs[0].rx
	rx.mu.Lock()
	defer rx.mu.Unlock()
	if up := n.Up(); up != rx.up && rx.receiver != nil {
		rx.up = up
		rx.receiver.Carrier(up)
	}
}

// service does what there is to do for a pair, and reports whether there was
// anything.
func (p *netPair) service() bool {
	worked := p.receive()
	if p.sent() {
		worked = true
	}
	return worked
}

// fail says once that the device is of no use any more.
func (n *Net) fail() {
	if !n.broke.Swap(true) && n.Broken != nil {
		go n.Broken()
	}
}
