package socket

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"husk/kernel/vfs"
	"husk/kernel/vfs/vfstest"
)

// noFiles is a descriptor table without descriptors.
type noFiles struct{}

func (noFiles) Get(int) (*vfs.File, error) { return nil, unix.EBADF }

func (noFiles) Install(*vfs.File, int, bool, uint64) (int, error) { return 0, unix.EMFILE }

func TestControlMessagesThatAreRefused(t *testing.T) {
	header := func(n uint64, level, typ uint32, data ...byte) []byte {
		p := binary.LittleEndian.AppendUint64(nil, n)
		p = binary.LittleEndian.AppendUint32(p, level)
		return append(binary.LittleEndian.AppendUint32(p, typ), data...)
	}
	c := vfstest.New()
	for _, test := range []struct {
		name string
		p    []byte
		want error
	}{
		{"nothing", nil, nil},
		{"less than a header", make([]byte, 15), nil},
		{"length below the header's", header(15, 1, 1), unix.EINVAL},
		{"length past the end", header(17, 1, 1), unix.EINVAL},
		{"length that overflows", header(1<<63, 1, 1), unix.EINVAL},
		{"unknown type", header(16, 1, 77), unix.EINVAL},
		{"descriptor that is not open", header(20, 1, unix.SCM_RIGHTS, 3, 0, 0, 0), unix.EBADF},
		{"too many descriptors", header(16+4*254, 1, unix.SCM_RIGHTS, make([]byte, 4*254)...), unix.EINVAL},
		{"credentials cut short", header(20, 1, unix.SCM_CREDENTIALS, 1, 0, 0, 0), unix.EINVAL},
		{"another level", header(16, 41, 50), nil},
	} {
		var m Message
		if err := ParseControl(c, noFiles{}, test.p, &m); err != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(unix.UnixRights(1, 2))
	f.Add(unix.UnixCredentials(&unix.Ucred{Pid: 1}))
	f.Fuzz(func(t *testing.T, p []byte) {
		m := Message{}
		if ParseControl(vfstest.New(), noFiles{}, p, &m) == nil {
			_ = EncodeControl(noFiles{}, &m, len(p), false, 0)
		}
		m.Drop()
	})
}
