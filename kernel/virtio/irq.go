package virtio

import (
	"sync"

	"husk/kernel/cpu"
)

// lines are the interrupt lines in use. PCI devices may share one, so each
// line calls every device on it.
var lines struct {
	mu   sync.Mutex
	used []*line
}

type line struct {
	number int
	mu     sync.Mutex
	fns    []func() // replaced, never edited: service reads it without mu held
}

// handleLine registers fn on an interrupt line.
func handleLine(number int, fn func()) error {
	lines.mu.Lock()
	defer lines.mu.Unlock()
	for _, l := range lines.used {
		if l.number == number {
			l.mu.Lock()
			l.fns = append(l.fns[:len(l.fns):len(l.fns)], fn)
			l.mu.Unlock()
			return nil
		}
	}
	l := &line{number: number, fns: []func(){fn}}
	if err := cpu.HandleIRQ(number, l.service); err != nil {
		return err
	}
	lines.used = append(lines.used, l)
	return nil
}

func (l *line) service() {
	l.mu.Lock()
	fns := l.fns
	l.mu.Unlock()
	for _, fn := range fns {
		fn()
	}
}
