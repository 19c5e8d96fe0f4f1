package virtio

import (
	"encoding/binary"
	"sync"

	"husk/kernel/cpu"
	"husk/kernel/wait"
)

// Feature bits and control messages of the console device (5.3).
const (
	consoleMultiport = 1 << 1

	consoleConfigMaxPorts = 4

	ctlDeviceReady  = 0
	ctlDeviceAdd    = 1
	ctlDeviceRemove = 2
	ctlPortReady    = 3
	ctlConsolePort  = 4
	ctlResize       = 5
	ctlPortOpen     = 6
	ctlPortName     = 7

	ctlSize = 8 // id le32, event le16, value le16

	maxPorts     = 8  // ports this driver serves; husk has at most five
	ctlRing      = 32 // of the control queues
	ctlBuffers   = 28 // posted: QEMU drops a message it finds no buffer for
	ctlBufSize   = 64 // a message and the longest name that is kept
	settleRounds = 1 << 22
)

// Console is a console device with its ports (5.3.6).
type Console struct {
	t Transport

	mu    sync.Mutex
	ctlRx *Queue // nil without multiport
	ctlTx *Queue
	rxMem cpu.PhysAddr // ctlRing buffers of ctlBufSize bytes
	txMem cpu.PhysAddr // ctlRing buffers of ctlSize bytes
	txUse [ctlRing]bool

	ports   []*Port // by id; the slice is fixed after OpenConsole
	changed wait.Queue
}

// OpenConsole brings a console device up. Its ports announce themselves
// afterwards: Find waits for them.
func OpenConsole(t Transport) (*Console, error) {
	features, err := negotiate(t, consoleMultiport)
	if err != nil {
		return nil, err
	}
	c := &Console{t: t}
	if err := c.setup(features); err != nil {
		t.Fail()
		return nil, err
	}
	if err := t.HandleIRQ(c.service); err != nil {
		t.Fail()
		return nil, err
	}
	t.Start()
	if c.ctlRx == nil {
		c.ports[0].announce("", true)
		return c, nil
	}
	c.mu.Lock()
	for i := range ctlBuffers {
		c.ctlRx.Add(nil, []Segment{c.ctlBuffer(i)}, uint32(i))
	}
	c.ctlRx.Arm()
	c.ctlRx.Kick()
	c.send(0, ctlDeviceReady, 1)
	c.ctlTx.Kick()
	c.mu.Unlock()
	return c, nil
}

func (c *Console) setup(features uint64) error {
	ports := 1
	if features&consoleMultiport != 0 {
		ports = int(min(c.t.Config32(consoleConfigMaxPorts), maxPorts))
		if ports == 0 {
			return Error(c.t.Name() + ": the console has no ports")
		}
	}
	var pool queuePool
	pool.grow(2+2*ports, 2*ctlRing+ports*(rxRing+txRing))
	if features&consoleMultiport != 0 {
		var err error
		if c.ctlRx, err = pool.queue(c.t, 2, ctlRing, features); err != nil {
			return err
		}
		if c.ctlTx, err = pool.queue(c.t, 3, ctlRing, features); err != nil {
			return err
		}
		if c.ctlRx.Size() < ctlRing || c.ctlTx.Size() < ctlRing {
			return Error(c.t.Name() + ": the control queues are too small")
		}
		var ok1, ok2 bool
		c.rxMem, ok1 = dmaAlloc(ctlRing*ctlBufSize, 16)
		c.txMem, ok2 = dmaAlloc(ctlRing*ctlSize, 16)
		if !ok1 || !ok2 {
			return Error(c.t.Name() + ": no memory for control messages")
		}
	}
	all := make([]Port, ports)
	for id := range all {
		p := &all[id]
		p.console, p.id = c, uint32(id)
		first := 0 // 5.3.2: queues 2 and 3 are the control queues
		if id > 0 {
			first = 2 + 2*id
		}
		var err error
		if p.rx, err = pool.queue(c.t, first, rxRing, features); err != nil {
			return err
		}
		if p.tx, err = pool.queue(c.t, first+1, txRing, features); err != nil {
			return err
		}
		c.ports = append(c.ports, p)
	}
	return nil
}

func (c *Console) ctlBuffer(i int) Segment {
	return Segment{c.rxMem + cpu.PhysAddr(i*ctlBufSize), ctlBufSize}
}

// send queues a control message (5.3.6.2); the caller holds mu and kicks.
func (c *Console) send(id uint32, event, value uint16) {
	for range settleRounds {
		for i, used := range c.txUse {
			if used {
				continue
			}
			pa := c.txMem + cpu.PhysAddr(i*ctlSize)
			b := bytesAt(pa, ctlSize)
			binary.LittleEndian.PutUint32(b, id)
			binary.LittleEndian.PutUint16(b[4:], event)
			binary.LittleEndian.PutUint16(b[6:], value)
			c.txUse[i] = c.ctlTx.Add([]Segment{{pa, ctlSize}}, nil, uint32(i))
			return
		}
		c.ctlTx.Kick()
		for {
			i, _, ok := c.ctlTx.Pop()
			if !ok {
				break
			}
			c.txUse[i%ctlRing] = false
		}
		if c.ctlTx.Broken() {
			return
		}
	}
}

// control handles what came on the control queue; the caller holds mu.
func (c *Console) control() {
	if c.ctlRx == nil {
		return
	}
	changed := false
	for {
		i, n, ok := c.ctlRx.Pop()
		if !ok {
			if c.ctlRx.Arm() {
				continue
			}
			break
		}
		if i >= ctlRing {
			continue
		}
		s := c.ctlBuffer(int(i))
		if n >= ctlSize {
			// The device may change the buffer while it is read: copy first.
			var m [ctlBufSize]byte
			copy(m[:], bytesAt(s.Addr, int(n)))
			c.message(m[:n])
			changed = true
		}
		c.ctlRx.Add(nil, []Segment{s}, i)
	}
	c.ctlRx.Kick()
	c.ctlTx.Kick()
	if changed {
		c.changed.Notify(wait.In)
	}
}

// message handles one control message of at least ctlSize bytes.
func (c *Console) message(m []byte) {
	id := binary.LittleEndian.Uint32(m)
	event := binary.LittleEndian.Uint16(m[4:])
	value := binary.LittleEndian.Uint16(m[6:])
	if id >= uint32(len(c.ports)) {
		if event == ctlDeviceAdd {
			c.send(id, ctlPortReady, 0) // 5.3.6.2: cannot be used
		}
		return
	}
	p := c.ports[id]
	switch event {
	case ctlDeviceAdd:
		p.mu.Lock()
		p.added = true
		p.mu.Unlock()
		c.send(id, ctlPortReady, 1)
	case ctlDeviceRemove:
		p.setHost(false)
	case ctlPortName:
		name := m[ctlSize:]
		for i, b := range name {
			if b == 0 {
				name = name[:i]
				break
			}
		}
		p.announce(string(name), false)
	case ctlPortOpen:
		p.setHost(value != 0)
	}
}

// service is the interrupt function.
func (c *Console) service() {
	c.t.Acknowledge()
	c.mu.Lock()
	if c.ctlRx != nil && c.ctlRx.Ready() {
		c.control()
	}
	c.mu.Unlock()
	for _, p := range c.ports {
		p.service()
	}
}

// settled reports whether every port that was added has its name.
func (c *Console) settled() bool {
	added := false
	for _, p := range c.ports {
		p.mu.Lock()
		if p.added {
			added = true
			if !p.named {
				p.mu.Unlock()
				return false
			}
		}
		p.mu.Unlock()
	}
	return added
}

// Find returns the port with a name, nil when there is none. The device
// announces its ports one after the other when it starts, and Find waits
// until all have a name: during boot by polling, for at most a second.
func (c *Console) Find(name string) *Port {
	deadline := cpu.Nanotime() + 1e9
	for {
		// Before the names are looked at: they may all come in between.
		last := c.ctlRx == nil || c.settled() || cpu.Nanotime() > deadline
		for _, p := range c.ports {
			p.mu.Lock()
			found := p.named && p.name == name
			p.mu.Unlock()
			if found {
				return p
			}
		}
		if last {
			return nil
		}
		c.mu.Lock()
		c.control()
		c.mu.Unlock()
	}
}
