package unix

import (
	"golang.org/x/sys/unix"

	"husk/kernel/socket"
)

// Info is a socket as sock_diag(7) shows it.
type Info struct {
	Listening, Connected bool
	HasPeer              bool
	Peer                 uint64 // the number of the other end; 0 if nobody has accepted it
	Waiting              []uint64
	In, Out              int // connections to accept and how many may be, or bytes
	Shutdown             uint32
	// Inode and Device are of the name in the file system; 0: there is none.
	Inode, Device uint64
}

// Describe tells about a socket; false if it is of another family.
func Describe(o socket.Socket) (i Info, ok bool) {
	s, ok := o.(*sock)
	if !ok {
		return i, false
	}
	graph.Lock()
	defer graph.Unlock()
	state := s.state.Load()
	i.Listening, i.Connected, i.Shutdown = state == listening, state == connected, s.shutdown.Load()
	if p := s.peer.Load(); p != nil {
		i.HasPeer, i.Peer = true, p.Inode.Load()
	}
	if a := s.addr.Load(); a != nil && a.inode != nil {
		i.Inode, i.Device = a.inode.Ino, a.inode.Dev()
	}
	if i.Listening {
		for _, e := range s.pending {
			if p := e.peer.Load(); p != nil {
				i.Waiting = append(i.Waiting, p.Inode.Load())
			}
		}
		i.In, i.Out = len(s.pending), s.backlog
		return i, true
	}
	s.mu.Lock()
	for m := s.head; m != nil; m = m.next {
		i.In += len(m.data) - m.off
		if s.Type != unix.SOCK_STREAM {
			break
		}
	}
	s.mu.Unlock()
	i.Out = int(s.inFlight.Load())
	return i, true
}
