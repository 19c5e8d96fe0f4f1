package p9

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// server is a 9P2000.L server for tests: like QEMU's local backend its fids
// are paths.
type server struct {
	t    testing.TB
	root string

	mu       sync.Mutex
	fids     map[uint32]*serverFid
	requests [256]atomic.Int64
	msize    uint32
	started  map[int]int // lengths of answers by ticket
	tickets  int
	most     int                            // answers outstanding at a time
	mangle   func(req, reply []byte) []byte // changes replies on their way
}

type serverFid struct {
	path string
	fd   int // -1: not open
	dir  []os.DirEntry
	attr []byte
}

func newServer(t testing.TB, root string) *server {
	return &server{t: t, root: root, fids: map[uint32]*serverFid{}, msize: 1 << 20}
}

func (s *server) MaxSegments() int { return 128 }

// RoundTrip is the Transport: the request as one message, the reply scattered.
func (s *server) RoundTrip(tx []byte, txData [][]byte, rx []byte, rxData [][]byte) (int, error) {
	req := append([]byte(nil), tx...)
	for _, p := range txData {
		req = append(req, p...)
	}
	if int(binary.LittleEndian.Uint32(req)) != len(req) {
		s.t.Errorf("message of %d bytes says %d", len(req), binary.LittleEndian.Uint32(req))
	}
	if len(req) > int(s.msize) {
		s.t.Errorf("message of %d bytes over msize", len(req))
	}
	s.requests[req[4]].Add(1)
	body, err := s.handle(req[4], &call{in: req[headerSize:]})
	reply := &call{tx: make([]byte, 2<<20)}
	reply.begin(req[4] + 1)
	copy(reply.tx[5:7], req[5:7])
	if err != nil {
		reply.tx[4] = rlerror
		errno, ok := err.(unix.Errno)
		if !ok {
			if pe, isPath := err.(*os.PathError); isPath {
				errno, _ = pe.Err.(unix.Errno)
			}
			if errno == 0 {
				errno = unix.EIO
			}
		}
		reply.u32(uint32(errno))
	} else {
		copy(reply.room(len(body)), body)
	}
	binary.LittleEndian.PutUint32(reply.tx, uint32(reply.n))
	out := reply.tx[:reply.n]
	if s.mangle != nil {
		out = s.mangle(req, out)
	}
	n := copy(rx, out)
	for _, p := range rxData {
		n += copy(p, out[n:])
	}
	return n, nil
}

// Start answers at once but lets few be under way.
func (s *server) Start(tx, rx []byte) (int, error) {
	n, err := s.RoundTrip(tx, nil, rx, nil)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started == nil {
		s.started = map[int]int{}
	}
	s.tickets++
	s.started[s.tickets] = n
	s.most = max(s.most, len(s.started))
	return s.tickets, nil
}

func (s *server) Finish(ticket int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.started[ticket]
	if !ok {
		s.t.Error("an answer that nobody asked for is awaited")
	}
	delete(s.started, ticket)
	return n, nil
}

func (s *server) fid(f uint32) (*serverFid, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.fids[f]; x != nil {
		return x, nil
	}
	return nil, unix.EBADF
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fids)
}

func putQid(k *call, path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	kind := byte(0)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		kind = 0x80
	}
	k.room(1)[0] = kind
	k.u32(uint32(st.Mtim.Sec) ^ uint32(st.Mtim.Nsec) ^ uint32(st.Size<<8))
	k.u64(st.Ino)
	return nil
}

func (s *server) handle(kind byte, k *call) ([]byte, error) {
	out := &call{tx: make([]byte, 1<<20)}
	err := s.serve(kind, k, out)
	return out.tx[:out.n], err
}

func (s *server) serve(kind byte, k, out *call) error {
	switch kind {
	case tversion:
		s.msize = min(k.r32(), s.msize)
		out.u32(s.msize)
		out.str("9P2000.L")
		return nil
	case tattach:
		s.mu.Lock()
		s.fids[k.r32()] = &serverFid{path: s.root, fd: -1}
		s.mu.Unlock()
		return putQid(out, s.root)
	}
	f := k.r32()
	x, err := s.fid(f)
	if err != nil {
		return err
	}
	switch kind {
	case twalk:
		to, n := k.r32(), int(k.r16())
		if x.fd >= 0 {
			return unix.EINVAL
		}
		path := x.path
		out.u16(uint16(n))
		for i := range n {
			path = filepath.Join(path, k.rstr())
			if err := putQid(out, path); err != nil {
				if i == 0 {
					return err
				}
				binary.LittleEndian.PutUint16(out.tx[:], uint16(i))
				return nil
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.fids[to] != nil {
			if s.mangle == nil { // else the two sides may disagree
				s.t.Errorf("fid %d is in use", to)
			}
			return unix.EINVAL
		}
		s.fids[to] = &serverFid{path: path, fd: -1}
	case tlopen:
		if x.fd >= 0 {
			return unix.EINVAL
		}
		if x.fd, err = unix.Open(x.path, int(k.r32())|unix.O_CLOEXEC, 0); err != nil {
			x.fd = -1
			return err
		}
		if err := putQid(out, x.path); err != nil {
			return err
		}
		out.u32(0)
	case tlcreate:
		path := filepath.Join(x.path, k.rstr())
		flags, mode := k.r32(), k.r32()
		fd, err := unix.Open(path, int(flags)|unix.O_CLOEXEC, mode)
		if err != nil {
			return err
		}
		x.path, x.fd = path, fd
		if err := putQid(out, path); err != nil {
			return err
		}
		out.u32(0)
	case tmkdir:
		path := filepath.Join(x.path, k.rstr())
		if err := unix.Mkdir(path, k.r32()); err != nil {
			return err
		}
		return putQid(out, path)
	case tsymlink:
		path := filepath.Join(x.path, k.rstr())
		if err := unix.Symlink(k.rstr(), path); err != nil {
			return err
		}
		return putQid(out, path)
	case tmknod:
		path := filepath.Join(x.path, k.rstr())
		mode := k.r32()
		if err := unix.Mknod(path, mode, int(unix.Mkdev(k.r32(), k.r32()))); err != nil {
			return err
		}
		return putQid(out, path)
	case tlink:
		old, err := s.fid(k.r32())
		if err != nil {
			return err
		}
		return unix.Link(old.path, filepath.Join(x.path, k.rstr()))
	case tunlinkat:
		return unix.Unlinkat(unix.AT_FDCWD, filepath.Join(x.path, k.rstr()), int(k.r32()))
	case trenameat:
		from := filepath.Join(x.path, k.rstr())
		d, err := s.fid(k.r32())
		if err != nil {
			return err
		}
		to := filepath.Join(d.path, k.rstr())
		if err := unix.Rename(from, to); err != nil {
			return err
		}
		s.mu.Lock()
		for _, y := range s.fids {
			if y.path == from {
				y.path = to
			}
		}
		s.mu.Unlock()
	case treadlink:
		target, err := os.Readlink(x.path)
		if err != nil {
			return err
		}
		out.str(target)
	case tgetattr:
		var st unix.Stat_t
		if err := unix.Lstat(x.path, &st); err != nil {
			return err
		}
		out.u64(getattrBasic)
		_ = putQid(out, x.path)
		out.u32(st.Mode)
		out.u32(st.Uid)
		out.u32(st.Gid)
		for _, v := range []uint64{
			uint64(st.Nlink), st.Rdev, uint64(st.Size), uint64(st.Blksize), uint64(st.Blocks),
			uint64(st.Atim.Sec), uint64(st.Atim.Nsec), uint64(st.Mtim.Sec), uint64(st.Mtim.Nsec),
			uint64(st.Ctim.Sec), uint64(st.Ctim.Nsec), 0, 0, 0, 0,
		} {
			out.u64(v)
		}
	case tsetattr:
		valid, mode, _, _, size := k.r32(), k.r32(), k.r32(), k.r32(), k.r64()
		if valid&setMode != 0 {
			if err := os.Chmod(x.path, os.FileMode(mode)); err != nil {
				return err
			}
		}
		if valid&setSize != 0 {
			return unix.Truncate(x.path, int64(size))
		}
	case tread, treaddir:
		off, count := k.r64(), k.r32()
		if count > s.msize-dataHeader {
			s.t.Errorf("%d bytes asked for", count)
		}
		if x.attr != nil {
			data := x.attr[min(off, uint64(len(x.attr))):]
			data = data[:min(len(data), int(count))]
			out.u32(uint32(len(data)))
			copy(out.room(len(data)), data)
			return nil
		}
		if x.fd < 0 {
			return unix.EBADF
		}
		if kind == treaddir {
			return s.readdir(x, off, count, out)
		}
		buf := make([]byte, count)
		n, err := unix.Pread(x.fd, buf, int64(off))
		if err != nil {
			return err
		}
		out.u32(uint32(n))
		copy(out.room(n), buf)
	case twrite:
		off, count := k.r64(), int(k.r32())
		n, err := unix.Pwrite(x.fd, k.take(count), int64(off))
		if err != nil {
			return err
		}
		out.u32(uint32(n))
	case txattrwalk:
		to, name := k.r32(), k.rstr()
		buf := make([]byte, 65536)
		var n int
		if name == "" {
			n, err = unix.Llistxattr(x.path, buf)
		} else {
			n, err = unix.Lgetxattr(x.path, name, buf)
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.fids[to] = &serverFid{path: x.path, fd: -1, attr: buf[:n]}
		s.mu.Unlock()
		out.u64(uint64(n))
	case tstatfs:
		out.u32(magic)
		out.u32(4096)
		for range 6 {
			out.u64(1000)
		}
		out.u32(255)
	case tfsync:
	case tclunk:
		s.mu.Lock()
		delete(s.fids, f)
		s.mu.Unlock()
		if x.fd >= 0 {
			unix.Close(x.fd)
		}
	default:
		return unix.EOPNOTSUPP
	}
	return nil
}

func (s *server) readdir(x *serverFid, off uint64, count uint32, out *call) error {
	if x.dir == nil {
		var err error
		if x.dir, err = os.ReadDir(x.path); err != nil {
			return err
		}
	}
	list := &call{tx: make([]byte, count)}
	for i := off; i < uint64(len(x.dir)); i++ {
		e := x.dir[i]
		before := list.n
		_ = putQid(list, filepath.Join(x.path, e.Name()))
		list.u64(i + 1)
		list.room(1)[0] = byte(uint32(e.Type()) >> 12 & 15)
		list.str(e.Name())
		if list.overflow {
			list.n = before
			break
		}
	}
	out.u32(uint32(list.n))
	copy(out.room(list.n), list.tx)
	return nil
}
