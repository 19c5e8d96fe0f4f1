//go:build !linux

package vmm

// WidenBacklogs can do nothing here.
func (p *Process) WidenBacklogs() {}
