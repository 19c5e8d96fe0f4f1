package main

import (
	"husk/kernel/control"
	"husk/kernel/cpu"
	"husk/kernel/stream"
	"husk/kernel/task"
	"husk/kernel/virtio"
	"husk/spec"
)

// openDevices finds the virtio devices, and with the console the program's
// streams and the control port.
func (m *machine) openDevices() error {
	found, problems := virtio.Probe(cpu.CommandLine())
	for _, p := range problems {
		m.log(p.Error())
	}
	for _, t := range found {
		if err := m.openDevice(t); err != nil {
			m.log(t.Name() + ": " + t.Kind().String() + ": " + err.Error())
		}
	}
	if m.streams == nil || m.streams.Control == nil {
		return fail("open the control port", "the machine has no virtio console device with a port "+spec.PortControl)
	}
	m.control = control.Start(m.streams.Control, control.Handlers{
		Signal:   task.SignalFromHost,
		Winsize:  m.setWinsize,
		StdinEnd: m.streams.SetEnd,
	})
	m.streams.StdinWanted = m.control.AskForStdin()
	return nil
}

func (m *machine) openDevice(t virtio.Transport) error {
	switch t.Kind() {
	case virtio.KindConsole:
		c, err := virtio.OpenConsole(t)
		if err != nil {
			return err
		}
		m.streams, err = stream.Open(c)
		return err
	case virtio.KindBlock:
		b, err := virtio.OpenBlock(t)
		if err != nil {
			return err
		}
		m.disks = append(m.disks, b)
	case virtio.Kind9P:
		s, err := virtio.OpenShare(t)
		if err != nil {
			return err
		}
		m.shares = append(m.shares, s)
	case virtio.KindNet:
		return m.openCard(t)
	}
	return nil
}
