package dhcp

import (
	"encoding/binary"
	"reflect"
	"testing"
	"time"

	"husk/kernel/inet"
)

var us = [6]byte{2, 0, 0, 0, 0, 1}

// server answers frames as a DHCP server would.
type server struct {
	t       *testing.T
	answers chan []byte
	sent    chan *request4 // what the client asked
	silent  bool
	refuse  bool
	options []byte
}

// request4 is a client's message, as far as the tests look at it.
type request4 struct {
	kind          byte
	xid           uint32
	client, asked inet.IP
	toMAC         [6]byte
	hostname      string
}

func ask(t *testing.T, p []byte) *request4 {
	t.Helper()
	b := p[headers:]
	q := &request4{xid: binary.BigEndian.Uint32(b[atXID:]), toMAC: [6]byte(p[:6])}
	if sum(p[ethernetSize:ethernetSize+ip4Size], 0) != 0xffff {
		t.Error("checksum of the IP header")
	}
	udp := p[ethernetSize+ip4Size:]
	if sum(udp, uint32(protocolUDP)+uint32(len(udp))+uint32(sum(p[ethernetSize+12:ethernetSize+20], 0))) != 0xffff {
		t.Error("checksum of UDP")
	}
	if c := inet.IPFrom(b[atCIAddr : atCIAddr+4]); !c.Any() {
		q.client = c
	}
	for o := b[atOptions:]; o[0] != optEnd; o = o[2+int(o[1]):] {
		v := o[2 : 2+int(o[1])]
		switch o[0] {
		case optType:
			q.kind = v[0]
		case optRequestedIP:
			q.asked = inet.IPFrom(v)
		case optHostName:
			q.hostname = string(v)
		}
	}
	return q
}

// answer makes a frame of a server.
func answer(kind byte, xid uint32, ip inet.IP, options ...byte) []byte {
	m := message{kind: kind, xid: xid, mac: us, to: inet.IP4(255, 255, 255, 255), toMAC: us}
	p := m.frame()[:headers+atOptions]
	b := p[headers:]
	b[0] = 2
	copy(b[atYIAddr:], ip.Bytes())
	p = append(p, optType, 1, kind, optServer, 4, 10, 0, 0, 1)
	p = append(append(p, options...), optEnd)
	m.wrap(p)
	udp := p[ethernetSize+ip4Size:]
	binary.BigEndian.PutUint16(udp, serverPort)
	binary.BigEndian.PutUint16(udp[2:], clientPort)
	copy(p[6:], []byte{2, 0, 0, 0, 0, 9})
	return p
}

func (s *server) take(frame []byte) {
	q := ask(s.t, frame)
	s.sent <- q
	if s.silent {
		return
	}
	ip := inet.IP4(10, 0, 0, 77)
	switch {
	case q.kind == discover:
		s.answers <- answer(offer, q.xid+1, inet.IP4(10, 0, 0, 66)) // somebody else's
		s.answers <- answer(offer, q.xid, ip, s.options...)
	case s.refuse:
		s.answers <- answer(nak, q.xid, inet.IP4(0, 0, 0, 0))
	default:
		s.answers <- answer(ack, q.xid, ip, s.options...)
	}
}

// clock is the client's: it moves when nothing else happens.
type clock struct {
	asked chan time.Duration
	fire  chan time.Time
}

func (c *clock) after(d time.Duration) <-chan time.Time {
	c.asked <- d
	return c.fire
}

func run(t *testing.T, s *server) (changes chan *Lease, c *clock, stop func()) {
	t.Helper()
	s.t, s.answers, s.sent = t, make(chan []byte, 8), make(chan *request4, 64)
	changes = make(chan *Lease, 8)
	quit, ended := make(chan struct{}), make(chan struct{})
	c = &clock{asked: make(chan time.Duration, 64), fire: make(chan time.Time)}
	client := &Client{
		MAC: us, Hostname: "box", Send: s.take, Frames: s.answers, Quit: quit, After: c.after,
		Change: func(l *Lease) { changes <- l },
	}
	go func() { client.Run(); close(ended) }()
	return changes, c, func() { close(quit); <-ended }
}

var options = []byte{
	optMask, 4, 255, 255, 240, 0, optRouter, 4, 10, 0, 0, 1, optDNS, 8, 10, 0, 0, 1, 9, 9, 9, 9, optMTU, 2, 5, 0,
	optDomain, 7, 'e', 'x', '.', 't', 'e', 's', 't', optLeaseTime, 4, 0, 0, 0x0e, 0x10,
}

func TestClientGetsALeaseAndKeepsIt(t *testing.T) {
	s := &server{options: options}
	changes, c, stop := run(t, s)
	defer stop()
	l := <-changes
	want := Lease{
		IP: inet.IP4(10, 0, 0, 77), Bits: 20, Server: inet.IP4(10, 0, 0, 1), Routers: []inet.IP{inet.IP4(10, 0, 0, 1)},
		DNS: []inet.IP{inet.IP4(10, 0, 0, 1), inet.IP4(9, 9, 9, 9)}, Search: []string{"ex.test"}, Domain: "ex.test", MTU: 1280,
		Seconds: 3600, Renew: 1800, Rebind: 3150,
	}
	if !reflect.DeepEqual(*l, want) {
		t.Errorf("%+v", *l)
	}
	if q := <-s.sent; q.kind != discover || q.hostname != "box" || q.toMAC != broadcast {
		t.Errorf("%+v", q)
	}
	if q := <-s.sent; q.kind != request || q.asked != l.IP || q.client != (inet.IP{}) {
		t.Errorf("%+v", q)
	}
	for d := range c.asked {
		if d == 1800*time.Second {
			break
		}
	}
	c.fire <- time.Time{} // half of the lease is over
	if l := <-changes; l == nil || l.IP != want.IP {
		t.Errorf("%+v", l)
	}
	if q := <-s.sent; q.kind != request || q.client != want.IP || q.asked != (inet.IP{}) || q.toMAC != [6]byte{2, 0, 0, 0, 0, 9} {
		t.Errorf("%+v", q)
	}
}

func TestLeaseEndsWithoutAServer(t *testing.T) {
	s := &server{options: options}
	changes, c, stop := run(t, s)
	defer stop()
	<-changes
	s.silent = true // the client is at rest: Send is not called now
	total := time.Duration(0)
	began := false
	for total < 3600*time.Second {
		d := <-c.asked
		if d == 1800*time.Second {
			began = true
		}
		if began {
			total += d
			c.fire <- time.Time{}
		}
	}
	if l := <-changes; l != nil || total != 3600*time.Second {
		t.Errorf("%+v after %v", l, total)
	}
	// It asks again, from the beginning.
	for q := range s.sent {
		if q.kind == discover && len(s.sent) == 0 {
			break
		}
	}
}

func TestRefusedLeaseIsAskedForAnew(t *testing.T) {
	s := &server{options: options, refuse: true}
	_, c, stop := run(t, s)
	defer stop()
	for k := range 3 {
		if q := <-s.sent; q.kind != discover {
			t.Errorf("%+v", q)
		}
		if q := <-s.sent; q.kind != request {
			t.Errorf("%+v", q)
		}
		for range 2 {
			<-c.asked // for the two answers
		}
		if d := <-c.asked; d != firstWait<<k {
			t.Errorf("began anew after %v", d)
		}
		c.fire <- time.Time{}
	}
}

func TestOptionsOfSeveralPieces(t *testing.T) {
	r, ok := parse(answer(
		ack, 1, inet.IP4(192, 168, 1, 9), optLeaseTime, 4, 0xff, 0xff, 0xff, 0xff, optRouter, 4, 192, 168, 1, 1,
		optSearch, 5, 1, 'a', 1, 'b', 0, optSearch, 4, 1, 'c', 0xc0, 2,
		optStaticRoutes, 14, 24, 10, 9, 8, 192, 168, 1, 2, 0, 192, 168, 1, 3, 8,
	), us)
	if !ok || r.Bits != 24 || r.Seconds != forever || !reflect.DeepEqual(r.Search, []string{"a.b", "c.b"}) {
		t.Errorf("%+v", r)
	}
	if len(r.Routes) != 1 || r.Routes[0] != (Route{inet.IP4(10, 9, 8, 0), 24, inet.IP4(192, 168, 1, 2)}) || len(r.Routers) != 1 || r.Routers[0] != inet.IP4(192, 168, 1, 3) {
		t.Errorf("%+v", r)
	}
	if Plain("evil\nnameserver 1.2.3.4") || Plain("") || !Plain("a-b.c_d") {
		t.Error("names")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(answer(ack, 1, inet.IP4(10, 0, 0, 1), options...))
	f.Add(answer(offer, 1, inet.IP4(10, 0, 0, 1), optSearch, 4, 0xc0, 0, 0xc0, 2, optOverload, 1, 3))
	f.Fuzz(func(t *testing.T, p []byte) {
		r, ok := parse(p, us)
		if ok && (r.Bits < 0 || r.Bits > 32 || r.Renew > r.Seconds || len(r.DNS) > most || len(r.Search) > most) {
			t.Errorf("%+v", r)
		}
	})
}
