package pkgs

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ulikunitz/xz"

	"husk/host/oci"
	"husk/host/rootfs"
	"husk/host/store"
)

// mirror is a small one with a key of its own.
type mirror struct {
	t      *testing.T
	server *httptest.Server
	key    *openpgp.Entity
	keys   []byte

	mu    sync.Mutex
	files map[string][]byte
	asked []string // "PATH RANGE"
	// answer serves a path in the place of the mirror if it wants to.
	answer func(w http.ResponseWriter, r *http.Request, b []byte) bool

	packages strings.Builder
	release  map[string]string // more fields
	pack     string            // how Packages is compressed: "", ".gz", ".xz"
	only     bool              // InRelease names the compressed one alone
	arch     string            // of the index's directory
}

func newKey(t *testing.T, made time.Time, lifetime time.Duration) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("Mirror", "", "mirror@example.org", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, KeyLifetimeSecs: uint32(lifetime / time.Second), Time: func() time.Time { return made },
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func public(t *testing.T, es ...*openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, e := range es {
		if err := e.Serialize(&b); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func newMirror(t *testing.T) *mirror {
	t.Helper()
	// The times of downloads, for all tests that have a mirror.
	oldStall, oldWait := stall, firstWait
	stall, firstWait = 30*time.Second, time.Millisecond
	m := &mirror{
		t: t, key: newKey(t, time.Now().Add(-time.Hour), 0), files: map[string][]byte{}, pack: ".xz", arch: "amd64",
		release: map[string]string{"Suite": "stable", "Codename": "test", "Architectures": "all amd64"},
	}
	m.keys = public(t, m.key)
	m.server = httptest.NewServer(m)
	t.Cleanup(func() {
		m.server.CloseClientConnections()
		m.server.Close()
		stall, firstWait = oldStall, oldWait
	})
	return m
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.asked = append(m.asked, strings.TrimSpace(r.URL.Path+" "+r.Header.Get("Range")))
	b, ok := m.files[r.URL.Path]
	answer := m.answer
	m.mu.Unlock()
	if answer != nil && answer(w, r, b) {
		return
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// put gives the mirror a file; nil takes it away.
func (m *mirror) put(p string, b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[p] = b; b == nil {
		delete(m.files, p)
	}
}

func (m *mirror) get(p string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.files[p]
}

// serve has answer asked first; nil is the mirror itself.
func (m *mirror) serve(answer func(w http.ResponseWriter, r *http.Request, b []byte) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = answer
}

// requests gives those that ended in a name, and forgets all.
func (m *mirror) requests(suffix string) (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.asked {
		p, _, _ := strings.Cut(a, " ")
		if strings.HasSuffix(p, suffix) {
			all = append(all, a)
		}
	}
	m.asked = nil
	return all
}

// deb is one package.
type deb struct {
	name, version string
	fields        map[string]string
	entries       []tar.Header
	content       map[string]string
	postinst      string
	damage        func([]byte) []byte // of the .deb, after its digest was taken
}

func ar(parts ...any) []byte {
	b := bytes.NewBufferString(arMagic)
	for i := 0; i < len(parts); i += 2 {
		data := parts[i+1].([]byte)
		fmt.Fprintf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", parts[i], 0, 0, 0, "100644", len(data))
		b.Write(data)
		if len(data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

func packed(t *testing.T, how string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch how {
	case "":
		return b
	case ".gz":
		w = gzip.NewWriter(&out)
	case ".xz":
		w, err = xz.NewWriter(&out)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (d deb) bytes(t *testing.T) []byte {
	t.Helper()
	archive := func(hs []tar.Header, content map[string]string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range hs {
			if h.Typeflag == 0 {
				h.Typeflag = tar.TypeReg
			}
			if h.Mode == 0 {
				h.Mode = 0o755
			}
			if h.Typeflag == tar.TypeReg {
				h.Size = int64(len(content[h.Name]))
			}
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg {
				if _, err := io.WriteString(w, content[h.Name]); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	control := map[string]string{"./control": "Package: " + d.name + "\n"}
	hs := []tar.Header{{Name: "./control"}}
	if d.postinst != "" {
		control["./postinst"] = d.postinst
		hs = append(hs, tar.Header{Name: "./postinst"})
	}
	data, how := archive(d.entries, d.content), ".xz"
	if len(data) > 1<<20 {
		how = ".gz" // which takes less time
	}
	return ar("debian-binary", []byte("2.0\n"), "control.tar.gz", packed(t, ".gz", archive(hs, control)), "data.tar"+how, packed(t, how, data))
}

// add takes a package into the mirror.
func (m *mirror) add(d deb) {
	m.t.Helper()
	if d.version == "" {
		d.version = "1.0"
	}
	b := d.bytes(m.t)
	file := "pool/" + d.name + "_" + d.version + ".deb"
	fmt.Fprintf(&m.packages, "Package: %s\nVersion: %s\nArchitecture: amd64\nInstalled-Size: 100\nFilename: %s\nSize: %d\nSHA256: %x\n", d.name, d.version, file, len(b), sha256.Sum256(b))
	for _, k := range slices.Sorted(maps.Keys(d.fields)) {
		fmt.Fprintf(&m.packages, "%s: %s\n", k, d.fields[k])
	}
	m.packages.WriteString("Description: package " + d.name + "\n\n")
	if d.damage != nil {
		b = d.damage(b)
	}
	m.put("/pool/"+d.name+"_"+d.version+".deb", b)
}

// simple is a package of one file.
func simple(name, depends string) deb {
	d := deb{name: name, entries: []tar.Header{{Name: "./usr/share/" + name}}, content: map[string]string{"./usr/share/" + name: name}, fields: map[string]string{}}
	if depends != "" {
		d.fields["Depends"] = depends
	}
	return d
}

// publish writes the indexes and signs them.
func (m *mirror) publish() {
	m.t.Helper()
	plain := []byte(m.packages.String())
	small := packed(m.t, m.pack, plain)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m.release)) {
		fmt.Fprintf(&b, "%s: %s\n", k, m.release[k])
	}
	dir := "main/binary-" + m.arch
	b.WriteString("SHA256:\n")
	if !m.only {
		fmt.Fprintf(&b, " %x %d %s/Packages\n", sha256.Sum256(plain), len(plain), dir)
	}
	if m.pack != "" {
		fmt.Fprintf(&b, " %x %d %s/Packages%s\n", sha256.Sum256(small), len(small), dir, m.pack)
	}
	m.put("/dists/stable/"+dir+"/Packages"+m.pack, small)
	m.put(fmt.Sprintf("/dists/stable/%s/by-hash/SHA256/%x", dir, sha256.Sum256(small)), small)
	m.put("/dists/stable/InRelease", sign(m.t, b.String(), m.key))
}

func sign(t *testing.T, text string, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	var ks []*packet.PrivateKey
	for _, k := range keys {
		ks = append(ks, k.PrivateKey)
	}
	// Made when the first key was: it may have expired since.
	w, err := clearsign.EncodeMulti(&b, ks, &packet.Config{Time: func() time.Time { return keys[0].PrimaryKey.CreationTime.Add(time.Second) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (m *mirror) source() Source {
	return Source{URI: m.server.URL, Suite: "stable", Components: []string{"main"}, Keys: m.keys}
}

// machine is one with a cache and a store of its own.
type machine struct {
	t            *testing.T
	cache, store *store.Use
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	return machineAt(t, t.TempDir(), t.TempDir())
}

func machineAt(t *testing.T, cache, data string) *machine {
	t.Helper()
	m := &machine{t: t}
	for _, s := range []struct {
		dir string
		u   **store.Use
	}{{cache, &m.cache}, {data, &m.store}} {
		st, err := store.At(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		if *s.u, err = st.Begin(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*s.u).Close() })
	}
	return m
}

func (c *machine) open(refresh bool, sources ...Source) (*Index, error) {
	return Open(context.Background(), c.cache, Options{Sources: sources, Refresh: refresh})
}

// install makes a root of packages.
func (c *machine) install(s Source, recipe *Recipe, names ...string) (*rootfs.Tree, error) {
	ctx := context.Background()
	ix, err := c.open(true, s)
	if err != nil {
		return nil, err
	}
	ps, err := (&Resolver{Index: ix}).Closure(names)
	if err != nil {
		return nil, err
	}
	l := oci.NewLayers(ctx, c.store, Limits(ps))
	defer l.Close()
	err = Assemble(ctx, l, c.cache, ps, AssembleOptions{Recipe: recipe})
	if err != nil {
		return nil, err
	}
	// What it holds must be read before Close takes it away.
	return l.Tree.Map(func(n *rootfs.Node) {
		if n.IsRegular() && n.Content != nil {
			n.Data, n.Content = []byte(text(n)), nil
		}
	}), nil
}

// sound fails unless both stores hold what they say and nothing is half done.
func (c *machine) sound() {
	c.t.Helper()
	for _, s := range []*store.Use{c.cache, c.store} {
		v, err := s.Verify(context.Background())
		if err != nil || len(v.Problems) > 0 {
			c.t.Errorf("the store is damaged: %v %v", err, v.Problems)
		}
	}
}

// oneLine fails unless the error is one line with these words.
func oneLine(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if s := err.Error(); strings.Contains(s, "\n") || len(s) > 500 {
		t.Errorf("the error is not one line: %q", s)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q, want %q in it", err, w)
		}
	}
}
