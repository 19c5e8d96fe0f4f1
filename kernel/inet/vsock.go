package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"husk/kernel/mm"
	"husk/kernel/socket"
	"husk/kernel/vfs"
	"husk/kernel/wait"
)

// vsock is a socket of vsock(7) in a machine without a device for it: names
// can be given and listened at, and nobody is ever reached.
type vsock struct {
	vfs.BaseOps
	socket.Options
	queue wait.Queue
	cid   uint32
	port  uint32
}

const (
	vsockAny     = ^uint32(0)
	vsockSize    = 16 // struct sockaddr_vm
	vsockAnyPort = ^uint32(0)
)

// vsockPorts are the ports in use. Guarded by net.
var (
	vsockPorts map[uint32]*vsock
	vsockNext  uint32 = 1 << 20
)

func newVsock(_ vfs.Caller, typ, protocol int) (socket.Socket, error) {
	if protocol != 0 && protocol != unix.AF_VSOCK {
		return nil, unix.EPROTONOSUPPORT
	}
	switch typ {
	case unix.SOCK_STREAM, unix.SOCK_SEQPACKET:
	case unix.SOCK_DGRAM:
		return nil, unix.EOPNOTSUPP // no transport has datagrams
	default:
		return nil, unix.ESOCKTNOSUPPORT
	}
	s := &vsock{cid: vsockAny, port: vsockAnyPort}
	s.Init(unix.AF_VSOCK, typ, 0)
	return s, nil
}

func (s *vsock) Common() *socket.Options     { return &s.Options }
func (s *vsock) Queue(*vfs.File) *wait.Queue { return &s.queue }
func (s *vsock) Poll(*vfs.File) wait.Events  { return s.ready() }
func (s *vsock) PeerName() ([]byte, error)   { return nil, unix.ENOTCONN }
func (s *vsock) Shutdown(int) error          { return unix.ENOTCONN }
func (s *vsock) Release(*vfs.File)           { s.drop() }

// Name serves getsockname(2).
func (s *vsock) Name() ([]byte, error) {
	net.Lock()
	defer net.Unlock()
	return vsockName(s.cid, s.port), nil
}

func (s *vsock) ready() wait.Events {
	if s.Listening.Load() {
		return 0
	}
	return wait.Writable | wait.WrBand | wait.Hup
}

func (s *vsock) drop() {
	net.Lock()
	if vsockPorts[s.port] == s {
		delete(vsockPorts, s.port)
	}
	net.Unlock()
}

func vsockName(cid, port uint32) []byte {
	p := make([]byte, vsockSize)
	p[0] = unix.AF_VSOCK
	binary.NativeEndian.PutUint32(p[4:], port)
	binary.NativeEndian.PutUint32(p[8:], cid)
	return p
}

func parseVsock(raw []byte) (cid, port uint32, err error) {
	if len(raw) < vsockSize {
		return 0, 0, unix.EFAULT
	}
	if binary.NativeEndian.Uint16(raw) != unix.AF_VSOCK {
		return 0, 0, unix.EAFNOSUPPORT
	}
	return binary.NativeEndian.Uint32(raw[8:]), binary.NativeEndian.Uint32(raw[4:]), nil
}

// Bind serves bind(2).
func (s *vsock) Bind(c vfs.Caller, raw []byte) error {
	cid, port, err := parseVsock(raw)
	if err != nil {
		return err
	}
	net.Lock()
	defer net.Unlock()
	if s.port != vsockAnyPort {
		return unix.EINVAL
	}
	if cid != vsockAny {
		return unix.EADDRNOTAVAIL
	}
	if port != vsockAnyPort && port < 1024 && !c.Cred().Has(unix.CAP_NET_BIND_SERVICE) {
		return unix.EACCES
	}
	for port == vsockAnyPort {
		if vsockNext++; vsockPorts[vsockNext] == nil {
			port = vsockNext
		}
	}
	if vsockPorts[port] != nil {
		return unix.EADDRINUSE
	}
	if vsockPorts == nil {
		vsockPorts = make(map[uint32]*vsock)
	}
	vsockPorts[port] = s
	s.cid, s.port = cid, port
	return nil
}

// Connect finds no device to connect by.
func (s *vsock) Connect(_ vfs.Caller, raw []byte, _ bool) error {
	if _, _, err := parseVsock(raw); err != nil {
		return err
	}
	if s.Listening.Load() {
		return unix.EINVAL
	}
	return unix.ENODEV
}

// Listen serves listen(2).
func (s *vsock) Listen(vfs.Caller, int) error {
	net.Lock()
	defer net.Unlock()
	if s.port == vsockAnyPort {
		return unix.EINVAL
	}
	s.Listening.Store(true)
	return nil
}

// Accept waits for ever.
func (s *vsock) Accept(vfs.Caller, bool) (socket.Socket, error) {
	if !s.Listening.Load() {
		return nil, unix.EINVAL
	}
	return nil, unix.EAGAIN
}

// Send, Recv, Read and Write need a connection, which there never is.
func (s *vsock) Send(vfs.Caller, *mm.Buffer, *socket.Message, int) (int, error) {
	return 0, unix.ENOTCONN
}

// Recv is described at Send.
func (s *vsock) Recv(vfs.Caller, *mm.Buffer, *socket.Message, int) (int, error) {
	return 0, unix.ENOTCONN
}

// Read is described at Send.
func (s *vsock) Read(vfs.Caller, *vfs.File, *mm.Buffer, int64) (int, error) {
	return 0, unix.ENOTCONN
}

// Write is described at Send.
func (s *vsock) Write(vfs.Caller, *vfs.File, *mm.Buffer, int64) (int, int64, error) {
	return 0, 0, unix.ENOTCONN
}

// SetOption and Option know the sizes of buffers and the timeout.
func (s *vsock) SetOption(_ vfs.Caller, level, name int, v []byte) error {
	if level == unix.AF_VSOCK && name >= 0 && name <= 6 && len(v) >= 8 {
		return nil
	}
	return unix.ENOPROTOOPT
}

// Option is described at SetOption.
func (s *vsock) Option(_ vfs.Caller, level, name int, v []byte) (int, error) {
	if level == unix.AF_VSOCK && name >= 0 && name <= 2 && len(v) >= 8 {
		binary.NativeEndian.PutUint64(v, 262144)
		return 8, nil
	}
	return 0, unix.ENOPROTOOPT
}
