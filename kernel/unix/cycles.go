package unix

import (
	"sync"

	"husk/kernel/vfs"
)

// Sockets in messages of sockets. One that lies in a queue which only itself
// or others like it can read is lost, and nobody would ever close it: a
// collector looks for such cycles when a socket is closed while others are on
// their way, as unix_gc of Linux.
//
// A socket that nobody has open and no call uses has just the references of
// the messages it lies in. What of these cannot be read from outside them is
// garbage, and stays it.

// flight are the sockets in messages.
var flight struct {
	sync.Mutex
	socks map[*sock]flying
	// change counts messages with files that were sent, received or looked
	// at: what was seen between two equal values is one moment.
	change     uint64
	collecting bool
}

type flying struct {
	file  *vfs.File
	count int64 // of messages it is in
}

// sent notes that files are in a message from now on.
func sent(files []*vfs.File) { count(files, 1) }

// received notes that they are in it no more.
func received(files []*vfs.File) { count(files, -1) }

// peeked notes that somebody has got references to files in a message.
func peeked() { count(nil, 0) }

func count(files []*vfs.File, by int64) {
	flight.Lock()
	defer flight.Unlock()
	flight.change++
	for _, f := range files {
		s, ok := f.Ops.(*sock)
		if !ok {
			continue
		}
		if flight.socks == nil {
			flight.socks = make(map[*sock]flying)
		}
		if n := flight.socks[s].count + by; n != 0 {
			flight.socks[s] = flying{f, n}
		} else {
			delete(flight.socks, s)
		}
	}
}

// collect frees the sockets that only messages of each other hold. No lock is
// held.
func collect() {
	flight.Lock()
	if len(flight.socks) == 0 || flight.collecting {
		flight.Unlock()
		return
	}
	flight.collecting = true
	flight.Unlock()
	for range 3 {
		garbage, ok := findGarbage()
		if !ok {
			continue // somebody sent or received meanwhile
		}
		for _, s := range garbage {
			s.empty()
		}
		break
	}
	flight.Lock()
	flight.collecting = false
	flight.Unlock()
}

// findGarbage returns the sockets that are lost; false if what it saw was not
// one moment.
func findGarbage() ([]*sock, bool) {
	flight.Lock()
	before := flight.change
	candidates := make(map[*sock]int64) // to the messages from outside of them
	for s, f := range flight.socks {
		if f.file.References() == f.count {
			candidates[s] = f.count
		}
	}
	flight.Unlock()
	if len(candidates) == 0 {
		return nil, true
	}
	holds := make(map[*sock][]*sock) // what lies in the queues of candidates
	for s := range candidates {
		held := s.held()
		holds[s] = held
		for _, o := range held {
			if _, ok := candidates[o]; ok {
				candidates[o]--
			}
		}
	}
	var reach []*sock
	for s, outside := range candidates {
		if outside > 0 {
			reach = append(reach, s)
		}
	}
	for len(reach) > 0 {
		s := reach[len(reach)-1]
		reach = reach[:len(reach)-1]
		if _, ok := candidates[s]; !ok {
			continue
		}
		delete(candidates, s)
		reach = append(reach, holds[s]...)
	}
	flight.Lock()
	same := flight.change == before
	flight.Unlock()
	var garbage []*sock
	for s := range candidates {
		garbage = append(garbage, s)
	}
	return garbage, same
}

// held are the sockets in messages to s, and to connections that wait to be
// accepted by it.
func (s *sock) held() []*sock {
	graph.Lock()
	all := append([]*sock{s}, s.pending...)
	graph.Unlock()
	var list []*sock
	for _, r := range all {
		r.mu.Lock()
		for e := r.head; e != nil; e = e.next {
			for _, f := range e.rights {
				if o, ok := f.Ops.(*sock); ok {
					list = append(list, o)
				}
			}
		}
		r.mu.Unlock()
	}
	return list
}

// empty throws away what waits in a socket that nobody can read.
func (s *sock) empty() {
	graph.Lock()
	all := append([]*sock{s}, s.pending...)
	graph.Unlock()
	for _, r := range all {
		r.mu.Lock()
		e := r.head
		r.head, r.tail, r.urgent, r.count = nil, nil, nil, 0
		r.mu.Unlock()
		for e != nil {
			next := e.next
			e.discard()
			e = next
		}
	}
}
