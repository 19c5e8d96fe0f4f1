package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"husk/host/image"
	"husk/host/rootfs"
	"husk/host/store"
)

// record remembers of one build which host files, by identity and times, gave
// which parts, and where in the first part the ends of small files are.
type record struct {
	parts map[[sha256.Size]byte]v1.Descriptor
	first v1.Descriptor
	ends  map[endKey]end
}

// endKey is the digest of a file's identity, cut to what makes an accident
// unthinkable.
type endKey [16]byte

type end struct {
	off  int64
	size uint32
}

const recordMagic = "husk build 1\n"

// settled is how long before a build a file must have rested: one that
// changes again within the clock's grain looks as if it had not.
const settled = 2 * time.Second

func keyOf(n *rootfs.Node) (k endKey, ok bool) {
	id, ok := n.Identity()
	if !ok {
		return k, false
	}
	var b [5 * 8]byte
	for i, v := range id {
		binary.LittleEndian.PutUint64(b[8*i:], uint64(v))
	}
	sum := sha256.Sum256(append(b[:], n.Patch...))
	copy(k[:], sum[:])
	return k, true
}

func newRecord(plan *image.Plan, layers []v1.Descriptor, start time.Time) *record {
	r := &record{parts: map[[sha256.Size]byte]v1.Descriptor{}, first: layers[0], ends: map[endKey]end{}}
	before := start.Add(-settled).UnixNano()
	for i, p := range plan.Parts() {
		if p.Key != ([sha256.Size]byte{}) && p.Changed < before {
			r.parts[p.Key] = layers[1+i]
		}
	}
	plan.Tails(func(n *rootfs.Node, off int64, size int) {
		if k, ok := keyOf(n); ok && n.Changed() < before {
			r.ends[k] = end{off, uint32(size)}
		}
	})
	return r
}

func (r *record) part(p image.Part) (v1.Descriptor, bool) {
	if r == nil || p.Key == ([sha256.Size]byte{}) {
		return v1.Descriptor{}, false
	}
	d, ok := r.parts[p.Key]
	return d, ok && d.Size == p.Size
}

// tails reads the ends of files from the earlier image's first part.
func (r *record) tails(u *store.Use) (f func(*rootfs.Node, []byte) bool, done func()) {
	none := func() {}
	if r == nil || len(r.ends) == 0 || !u.Has(r.first.Digest, r.first.Size) {
		return nil, none
	}
	file, err := os.Open(u.Path(r.first.Digest))
	if err != nil {
		return nil, none
	}
	return func(n *rootfs.Node, b []byte) bool {
		k, ok := keyOf(n)
		e, found := r.ends[k]
		if !ok || !found || int(e.size) != len(b) {
			return false
		}
		m, _ := file.ReadAt(b, e.off)
		return m == len(b)
	}, func() { file.Close() }
}

// RecordFile is where the record of builds of a directory is, or "" where
// there is no place for it.
func RecordFile(source string) string {
	abs, err := filepath.Abs(source)
	if err != nil {
		return ""
	}
	return cacheFile("builds", abs)
}

// cacheFile is where the cache holds what it knows of a thing, or "" where
// there is no place for it.
func cacheFile(kind, thing string) string {
	dir := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(dir) {
		var err error
		if dir, err = os.UserCacheDir(); err != nil {
			return ""
		}
	}
	sum := sha256.Sum256([]byte(thing))
	return filepath.Join(dir, "husk", kind, hex.EncodeToString(sum[:12]))
}

// replaceCache makes a file of the cache appear whole. Without it something
// has to be found out again: no more.
func replaceCache(name string, b []byte) {
	if name == "" || os.MkdirAll(filepath.Dir(name), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(name), "new-*")
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if f.Close() != nil || err != nil || os.Rename(f.Name(), name) != nil {
		os.Remove(f.Name())
	}
}

func (r *record) write(name string) {
	b := bytes.NewBufferString(recordMagic)
	num := func(v uint64) { _ = binary.Write(b, binary.LittleEndian, v) }
	desc := func(d v1.Descriptor) {
		h, _ := hex.DecodeString(d.Digest.Hex)
		b.Write(h)
		num(uint64(d.Size))
	}
	desc(r.first)
	num(uint64(len(r.parts)))
	for k, d := range r.parts {
		b.Write(k[:])
		desc(d)
	}
	num(uint64(len(r.ends)))
	for k, e := range r.ends {
		b.Write(k[:])
		num(uint64(e.off)<<16 | uint64(e.size))
	}
	out := binary.LittleEndian.AppendUint32(b.Bytes(), crc32.ChecksumIEEE(b.Bytes()))
	replaceCache(name, out)
}

// readRecord gives nil for what is no record.
func readRecord(name string) *record {
	if name == "" {
		return nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	return decodeRecord(b)
}

func decodeRecord(b []byte) *record {
	if len(b) < len(recordMagic)+4 || string(b[:len(recordMagic)]) != recordMagic {
		return nil
	}
	body := b[:len(b)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return nil
	}
	b = body[len(recordMagic):]
	bad := false
	take := func(n int) []byte {
		if len(b) < n {
			bad, b = true, nil
			return make([]byte, n)
		}
		out := b[:n]
		b = b[n:]
		return out
	}
	num := func() uint64 { return binary.LittleEndian.Uint64(take(8)) }
	desc := func() v1.Descriptor {
		h := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(take(32))}
		return v1.Descriptor{MediaType: store.MediaErofs, Digest: h, Size: int64(num())}
	}
	r := &record{first: desc(), parts: map[[sha256.Size]byte]v1.Descriptor{}, ends: map[endKey]end{}}
	for n := num(); n > 0 && !bad; n-- {
		k := [sha256.Size]byte(take(sha256.Size))
		r.parts[k] = desc()
	}
	for n := num(); n > 0 && !bad; n-- {
		k := endKey(take(16))
		v := num()
		r.ends[k] = end{int64(v >> 16), uint32(v & 0xffff)}
	}
	if bad || len(b) > 0 {
		return nil
	}
	return r
}
