package image

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"

	"husk/host/sysroot"
)

// manifest answers one question to the cache.
type manifest struct {
	image    string // file name in the cache
	size     int64
	program  string
	warnings []string
	seen     []sysroot.Seen
}

// manifestMagic names the format; a change of it makes old manifests misses.
const manifestMagic = "husk manifest 1\n"

var errManifest = errors.New("not a manifest")

// encode writes numbers as varints and strings behind their length; paths are
// sorted and share their beginning with the one before. A CRC-32C ends it.
func (m *manifest) encode() []byte {
	b := []byte(manifestMagic)
	str := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	str(m.image)
	b = binary.AppendVarint(b, m.size)
	str(m.program)
	b = binary.AppendUvarint(b, uint64(len(m.warnings)))
	for _, w := range m.warnings {
		str(w)
	}
	b = binary.AppendUvarint(b, uint64(len(m.seen)))
	last := ""
	for i := range m.seen {
		s := &m.seen[i]
		same := 0
		for same < len(last) && same < len(s.Host) && last[same] == s.Host[same] {
			same++
		}
		last = s.Host
		flags := byte(0)
		if s.Absent {
			flags |= 1
		}
		if s.Listed {
			flags |= 2
		}
		b = append(b, flags)
		b = binary.AppendUvarint(b, uint64(same))
		str(s.Host[same:])
		if s.Absent {
			continue
		}
		f := &s.Info
		for _, v := range []uint64{uint64(f.Mode), uint64(f.UID), uint64(f.GID), f.Dev, f.Ino} {
			b = binary.AppendUvarint(b, v)
		}
		for _, v := range []int64{f.Size, f.Mtime, f.Ctime - f.Mtime} {
			b = binary.AppendVarint(b, v)
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func readManifest(file string) (*manifest, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return decodeManifest(b)
}

// decoder reads with a sticky error.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) str() string {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func decodeManifest(b []byte) (*manifest, error) {
	if len(b) < len(manifestMagic)+4 || string(b[:len(manifestMagic)]) != manifestMagic {
		return nil, errManifest
	}
	sum := binary.LittleEndian.Uint32(b[len(b)-4:])
	b = b[:len(b)-4]
	if crc32.Checksum(b, castagnoli) != sum {
		return nil, errManifest
	}
	d := decoder{b: b[len(manifestMagic):]}
	m := &manifest{image: d.str(), size: d.int(), program: d.str()}
	for n := d.uint(); n > 0 && !d.bad; n-- {
		m.warnings = append(m.warnings, d.str())
	}
	n := d.uint()
	if n > uint64(len(d.b)) { // every entry has at least three bytes
		return nil, errManifest
	}
	m.seen = make([]sysroot.Seen, n)
	last := ""
	for i := range m.seen {
		if d.bad {
			break
		}
		s := &m.seen[i]
		flags := d.byte()
		s.Absent, s.Listed = flags&1 != 0, flags&2 != 0
		same := d.uint()
		if same > uint64(len(last)) {
			return nil, errManifest
		}
		s.Host = last[:same] + d.str()
		last = s.Host
		if s.Absent {
			continue
		}
		f := &s.Info
		f.Mode, f.UID, f.GID = uint32(d.uint()), uint32(d.uint()), uint32(d.uint())
		f.Dev, f.Ino = d.uint(), d.uint()
		f.Size, f.Mtime = d.int(), d.int()
		f.Ctime = f.Mtime + d.int()
	}
	if d.bad || len(d.b) > 0 {
		return nil, errManifest
	}
	return m, nil
}
