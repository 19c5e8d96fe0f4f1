// Command kernel is the unikernel's main program: the order of boot. It reads
// the run specification, finds devices, mounts the root, starts the first
// process, and when that has ended reports to the host and stops the machine.
//
// The real work is elsewhere; nothing imports this package, and it is the only
// one that knows all the others.
package main

import (
	"husk/kernel/cpu"
	"husk/kernel/syscalls"
	"husk/kernel/task"
	"husk/spec"
)

func main() {
	m := &machine{ended: make(chan task.End, 1)}
	if err := m.boot(); err != nil {
		m.abort(err)
	}
	m.finish(<-m.ended)
}

// boot brings the machine up to the point where the first process runs.
func (m *machine) boot() error {
	if err := m.readSpec(); err != nil {
		return err
	}
	if err := m.openDevices(); err != nil {
		return err
	}
	task.SetSyscallHandlers(syscalls.Handle, syscalls.HandleWatched)
	task.ServeOutOfMemory()
	task.OnEnd(func(e task.End) { m.ended <- e })
	m.init = task.NewInit()
	if err := m.mountRoot(); err != nil {
		return err
	}
	if err := m.mountVirtual(); err != nil {
		return err
	}
	if err := m.configureNetwork(); err != nil {
		return err
	}
	if err := m.trace(); err != nil {
		return err
	}
	return m.startFirst()
}

// readSpec finds the run specification, the first boot module.
func (m *machine) readSpec() error {
	modules := cpu.Modules()
	if len(modules) == 0 {
		return fail("find the run specification", "the boot loader gave no module")
	}
	s, err := spec.ParseSpec(modules[0])
	if err != nil {
		return fail("read the run specification", err.Error())
	}
	m.spec = s
	m.verbose = s.Annotations[spec.AnnotationVerbose] != ""
	syscalls.OnUnknown, task.Note = m.unknownCall, m.log
	if s.Hostname != "" {
		task.SetHostname(s.Hostname)
	}
	return nil
}
