// Package inet is the internet: sockets of AF_INET, AF_INET6, AF_PACKET and
// AF_VSOCK, the machine's interfaces, addresses and routes, and one space of
// ports for all of it.
//
// What stays inside the machine never becomes a packet. TCP between two
// sockets of this machine is two byte queues that lie in their receivers, UDP
// a queue of datagrams, connecting a handshake of pointers. What leaves it
// goes through a Stack (stack.go), which turns it into frames for a Link
// (link.go): a program's socket is one of this package either way, and has a
// part of the Stack, an Endpoint, only once it needs one. A kernel without a
// Stack is whole; it has no way out.
//
// Locks: net guards who is bound, connected to and listening where, and the
// states of connections; a socket's mu guards its queue of received data;
// config guards the interfaces, addresses and routes. Order: net, a sock's mu,
// config, the Stack's locks, wait.Queue. A Stack calls Receiver and
// wait.Queue.Notify without locks of its own that its methods take.
package inet
