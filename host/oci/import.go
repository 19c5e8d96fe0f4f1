package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"husk/host/image"
	"husk/host/rootfs"
	"husk/host/store"
)

// ImportOptions steer Import.
type ImportOptions struct {
	Limits   Limits
	Platform v1.Platform       // of several; the zero one is linux/amd64
	Config   *v1.ConfigFile    // for what has none: a root file system
	Warn     func(line string) // may be nil
	// Progress, when not nil, hears of the bytes of the source as they are
	// read.
	Progress func(n int64)
}

// Imported is an image that was imported. Name is what the source calls it,
// or "".
type Imported struct {
	Name string
	Committed
}

// DefaultPlatform is what husk runs.
var DefaultPlatform = v1.Platform{OS: "linux", Architecture: "amd64"}

// importer is one import.
type importer struct {
	ImportOptions
	ctx context.Context
	u   *store.Use
	sp  *spools

	annotations map[string]string
}

// Import makes images of a docker-archive, an OCI archive or layout, a root
// file system as tar or directory, or an EROFS image; "-" is a tar on r. The
// images have no name in the store yet.
func Import(ctx context.Context, u *store.Use, source string, stdin io.Reader, o ImportOptions) ([]Imported, error) {
	if o.Limits.Bytes == 0 {
		skip := o.Limits.SkipDevices
		o.Limits = DefaultLimits
		o.Limits.SkipDevices = skip
	}
	if o.Platform.OS == "" {
		o.Platform = DefaultPlatform
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	m := &importer{ImportOptions: o, ctx: ctx, u: u, sp: &spools{ctx: ctx, u: u, left: o.Limits.Bytes + o.Limits.Bytes/8}}
	defer m.sp.close()
	if source == "-" {
		f, n, err := m.plain(stdin)
		if err != nil {
			return nil, err
		}
		return m.file(f, n, source)
	}
	st, err := os.Stat(source)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return m.directory(source)
	}
	f, err := os.Open(source)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st.Mode()&(os.ModeCharDevice|os.ModeDevice) != 0 {
		// It may have no end.
		return nil, errors.New("it is a device, not an archive")
	}
	if !st.Mode().IsRegular() {
		s, n, err := m.plain(f)
		if err != nil {
			return nil, err
		}
		return m.file(s, n, source)
	}
	r, compressed, err := decompress(m.progress(f))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if !compressed {
		return m.file(f, st.Size(), source)
	}
	s, n, err := m.sp.file(r, nil)
	if err != nil {
		return nil, unreadable(err)
	}
	return m.file(s, n, source)
}

// unreadable names decompressors' complaints.
func unreadable(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the compressed data ends too early: it is cut off or damaged")
	}
	return err
}

func (m *importer) progress(r io.Reader) io.Reader {
	if m.Progress == nil {
		return r
	}
	return progressReader{r, m.Progress}
}

type progressReader struct {
	r io.Reader
	f func(int64)
}

func (p progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.f(int64(n))
	return n, err
}

// plain spools a stream, decompressed.
func (m *importer) plain(r io.Reader) (*store.TempFile, int64, error) {
	d, _, err := decompress(m.progress(r))
	if err != nil {
		return nil, 0, err
	}
	defer d.Close()
	f, n, err := m.sp.file(d, nil)
	return f, n, unreadable(err)
}

// file imports what is in an uncompressed file.
func (m *importer) file(f io.ReaderAt, size int64, name string) ([]Imported, error) {
	var magic [4]byte
	if _, err := f.ReadAt(magic[:], 1024); err == nil && bytes.Equal(magic[:], []byte{0xe2, 0xe1, 0xf5, 0xe0}) {
		r, err := image.NewReader(f, size, path.Base(filepath.ToSlash(name)))
		if err != nil {
			return nil, err
		}
		t, err := r.Tree()
		if err != nil {
			return nil, err
		}
		return m.commit("", t, m.config(), "")
	}
	members, err := m.scan(f, size)
	if err != nil {
		return nil, err
	}
	src := archiveSource{f: f, members: members}
	switch {
	case members["manifest.json"].known():
		return m.docker(src)
	case members["index.json"].known() && members["oci-layout"].known():
		return m.oci(src)
	}
	x := m.unpacker()
	if err := x.layer(f, size, name); err != nil {
		return nil, err
	}
	return m.commit("", x.tree, m.config(), "")
}

func (m *importer) config() v1.ConfigFile {
	if m.Config != nil {
		return *m.Config
	}
	return v1.ConfigFile{}
}

func (m *importer) unpacker() *unpacker {
	return &unpacker{
		ctx: m.ctx, tree: rootfs.NewTree(), limits: m.Limits,
		spool: func(r io.Reader) (rootfs.Content, error) {
			f, n, err := m.sp.file(r, nil)
			if err != nil {
				return nil, err
			}
			return rootfs.Section{R: f, Name: f.Name(), N: n}, nil
		},
	}
}

func (m *importer) commit(name string, t *rootfs.Tree, cfg v1.ConfigFile, record string) ([]Imported, error) {
	c, err := Commit(m.ctx, m.u, t, cfg, CommitOptions{Record: record, Annotations: m.annotations})
	if err != nil {
		return nil, err
	}
	return []Imported{{name, c}}, nil
}

func (m *importer) directory(dir string) ([]Imported, error) {
	if _, err := os.Stat(filepath.Join(dir, "oci-layout")); err == nil {
		if _, err := os.Stat(filepath.Join(dir, "index.json")); err == nil {
			root, err := os.OpenRoot(dir)
			if err != nil {
				return nil, err
			}
			defer root.Close()
			return m.oci(dirSource{root})
		}
	}
	t, err := rootfs.FromDir(dir)
	if err != nil {
		return nil, err
	}
	for _, w := range t.Warnings {
		m.Warn(w)
	}
	return m.commit("", t, m.config(), RecordFile(dir)+"-as-is")
}

// member is a file of an archive.
type member struct {
	off, size int64
	link      string
	seen      bool
}

func (m member) known() bool { return m.seen }

const maxMembers = 1 << 20

// scan finds the members of an archive; a root file system's are not kept.
func (m *importer) scan(f io.ReaderAt, size int64) (map[string]member, error) {
	x := &unpacker{ctx: m.ctx, limits: m.Limits}
	members := map[string]member{}
	n := 0
	err := x.each(f, size, func(h *tar.Header, _ *tar.Reader, off int64) error {
		if n++; len(members) >= maxMembers {
			return nil
		}
		e := member{off: off, size: h.Size, seen: true}
		p := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		switch h.Typeflag {
		case tar.TypeReg:
			if off < 0 {
				return nil
			}
		case tar.TypeSymlink:
			e.link = path.Join(path.Dir(p), h.Linkname)
		case tar.TypeLink:
			e.link = strings.TrimPrefix(path.Clean("/"+h.Linkname), "/")
		default:
			return nil
		}
		members[p] = e
		return nil
	})
	if err == nil && n == 0 {
		err = errors.New("the archive is empty, or no tar, docker-archive, OCI archive or EROFS image")
	}
	return members, err
}

// blobSource is where an image's files are.
type blobSource interface {
	// open gives random access to a file, and its size.
	open(name string) (io.ReaderAt, int64, io.Closer, error)
}

type archiveSource struct {
	f       io.ReaderAt
	members map[string]member
}

type nothing struct{}

func (nothing) Close() error { return nil }

func (a archiveSource) open(name string) (io.ReaderAt, int64, io.Closer, error) {
	p := strings.TrimPrefix(path.Clean("/"+name), "/")
	for range 8 {
		e := a.members[p]
		if !e.known() {
			return nil, 0, nil, fmt.Errorf("the archive has no %q", shorten(name))
		}
		if e.link == "" {
			return io.NewSectionReader(a.f, e.off, e.size), e.size, nothing{}, nil
		}
		p = e.link
	}
	return nil, 0, nil, fmt.Errorf("the archive's %q leads through too many links", shorten(name))
}

type dirSource struct{ root *os.Root }

func (d dirSource) open(name string) (io.ReaderAt, int64, io.Closer, error) {
	f, err := d.root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, 0, nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, nil, err
	}
	return f, st.Size(), f, nil
}

const maxJSON = 8 << 20

// small reads a manifest or config.
func small(s blobSource, name string) ([]byte, error) {
	r, n, c, err := s.open(name)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if n > maxJSON {
		return nil, fmt.Errorf("%q has %s: too long", shorten(name), Bytes(n))
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, n), b); err != nil {
		return nil, damaged(err)
	}
	return b, nil
}

func blobName(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

// smallBlob reads a manifest or config and checks its digest.
func smallBlob(s blobSource, d v1.Descriptor) ([]byte, error) {
	if d.Digest.Algorithm != "sha256" {
		return nil, fmt.Errorf("the digest %s is no SHA-256", d.Digest)
	}
	b, err := small(s, blobName(d.Digest))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != d.Digest.Hex {
		return nil, wrongDigest(d.Digest)
	}
	return b, nil
}

func wrongDigest(h v1.Hash) error {
	return fmt.Errorf("the content of %s has another digest: it is damaged", h)
}

// docker imports a docker-archive.
func (m *importer) docker(s blobSource) ([]Imported, error) {
	b, err := small(s, "manifest.json")
	if err != nil {
		return nil, err
	}
	var list []dockerManifest
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	if len(list) == 0 {
		return nil, errors.New("manifest.json names no image")
	}
	var out []Imported
	for _, e := range list {
		b, err := small(s, e.Config)
		if err != nil {
			return nil, err
		}
		cfg, err := parseConfig(b)
		if err != nil {
			return nil, err
		}
		if len(cfg.RootFS.DiffIDs) != len(e.Layers) {
			return nil, fmt.Errorf("the config has %d layers and manifest.json %d", len(cfg.RootFS.DiffIDs), len(e.Layers))
		}
		var layers []layer
		for i, name := range e.Layers {
			layers = append(layers, layer{name: name, diff: cfg.RootFS.DiffIDs[i], open: func() (io.ReaderAt, int64, io.Closer, error) { return s.open(name) }})
		}
		got, err := m.convert("", layers, *cfg)
		if err != nil {
			return nil, err
		}
		if len(e.RepoTags) == 0 {
			e.RepoTags = []string{""}
		}
		slices.Sort(e.RepoTags)
		for _, tag := range slices.Compact(e.RepoTags) {
			got[0].Name = tag
			out = append(out, got[0])
		}
	}
	return out, nil
}

func parseConfig(b []byte) (*v1.ConfigFile, error) {
	cfg, err := v1.ParseConfigFile(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("the image's config: %w", err)
	}
	return cfg, nil
}

// oci imports an OCI layout.
func (m *importer) oci(s blobSource) ([]Imported, error) {
	b, err := small(s, "index.json")
	if err != nil {
		return nil, err
	}
	x, err := v1.ParseIndexManifest(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	var out []Imported
	for _, d := range x.Manifests {
		got, err := m.descriptor(s, d, d.Annotations[store.AnnotationName], 0)
		if err != nil {
			return nil, err
		}
		out = append(out, got...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("it has no image for %s", m.Platform.String())
	}
	return out, nil
}

func (m *importer) descriptor(s blobSource, d v1.Descriptor, name string, depth int) ([]Imported, error) {
	if d.MediaType.IsIndex() {
		if depth > 3 {
			return nil, errors.New("indexes nest too deep")
		}
		b, err := smallBlob(s, d)
		if err != nil {
			return nil, err
		}
		x, err := v1.ParseIndexManifest(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("an index: %w", err)
		}
		for _, e := range x.Manifests {
			if e.MediaType.IsIndex() || e.Platform == nil || e.Platform.Satisfies(m.Platform) {
				if got, err := m.descriptor(s, e, name, depth+1); err != nil || len(got) > 0 {
					return got, err
				}
			}
		}
		return nil, nil
	}
	if d.MediaType != "" && !d.MediaType.IsImage() || d.Platform != nil && !d.Platform.Satisfies(m.Platform) {
		return nil, nil
	}
	b, err := smallBlob(s, d)
	if err != nil {
		return nil, err
	}
	mf, err := v1.ParseManifest(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("a manifest: %w", err)
	}
	cb, err := smallBlob(s, mf.Config)
	if err != nil {
		return nil, err
	}
	cfg, err := parseConfig(cb)
	if err != nil {
		return nil, err
	}
	if ours(mf) {
		return m.asIs(s, d, name, mf, cfg, b, cb)
	}
	if len(cfg.RootFS.DiffIDs) != len(mf.Layers) {
		return nil, fmt.Errorf("the config has %d layers and the manifest %d", len(cfg.RootFS.DiffIDs), len(mf.Layers))
	}
	var layers []layer
	for i, l := range mf.Layers {
		if l.Digest.Algorithm != "sha256" {
			return nil, fmt.Errorf("the digest %s is no SHA-256", l.Digest)
		}
		if !l.MediaType.IsLayer() && !strings.Contains(string(l.MediaType), "tar") {
			return nil, fmt.Errorf("a layer has the type %s, which is no file system", l.MediaType)
		}
		layers = append(layers, layer{
			name: l.Digest.String(), digest: l.Digest, diff: cfg.RootFS.DiffIDs[i],
			open: func() (io.ReaderAt, int64, io.Closer, error) { return s.open(blobName(l.Digest)) },
		})
	}
	return m.convert(name, layers, *cfg)
}

// ours reports an image whose layers are an EROFS file system already.
func ours(m *v1.Manifest) bool {
	for _, l := range m.Layers {
		if !isOurs(l.MediaType) {
			return false
		}
	}
	return len(m.Layers) > 0
}

// asIs copies an image that needs no conversion, bit for bit.
func (m *importer) asIs(s blobSource, d v1.Descriptor, name string, mf *v1.Manifest, cfg *v1.ConfigFile, manifest, config []byte) ([]Imported, error) {
	var c Committed
	if slices.ContainsFunc(mf.Layers, func(l v1.Descriptor) bool { return l.MediaType == mediaZstd }) {
		// As a registry had it.
		plain, err := m.inStore(mf, cfg, func(l v1.Descriptor) (io.ReadCloser, error) {
			r, n, closer, err := s.open(blobName(l.Digest))
			if err != nil {
				return nil, err
			}
			return readCloser{m.progress(io.NewSectionReader(r, 0, n)), closer}, nil
		})
		if err != nil {
			return nil, err
		}
		if manifest, err = json.Marshal(plain); err != nil {
			return nil, err
		}
		return m.keep(name, c, d, plain, cfg, manifest, config)
	}
	for _, l := range mf.Layers {
		c.Parts++
		c.FSSize += l.Size
		if l.Digest.Algorithm != "sha256" {
			return nil, fmt.Errorf("the digest %s is no SHA-256", l.Digest)
		}
		if m.u.Has(l.Digest, l.Size) {
			c.Reused++
			continue
		}
		r, n, closer, err := s.open(blobName(l.Digest))
		if err != nil {
			return nil, err
		}
		_, err = m.u.Copy(&cancelReader{m.ctx, m.progress(io.NewSectionReader(r, 0, n))}, l.Digest, store.MediaErofs)
		closer.Close()
		if err != nil {
			return nil, err
		}
	}
	return m.keep(name, c, d, mf, cfg, manifest, config)
}

// keep stores config and manifest of an image whose layers are there.
func (m *importer) keep(name string, c Committed, d v1.Descriptor, mf *v1.Manifest, cfg *v1.ConfigFile, manifest, config []byte) ([]Imported, error) {
	if _, err := m.u.Put(config, types.OCIConfigJSON); err != nil {
		return nil, err
	}
	var err error
	if c.Descriptor, err = m.u.Put(manifest, types.OCIManifestSchema1); err != nil {
		return nil, err
	}
	c.Platform = &v1.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant}
	// What a stranger calls an EROFS image is looked at before it has a name.
	im, err := m.u.Load(store.Entry{Name: name, Digest: c.Digest, Desc: c.Descriptor})
	if err != nil {
		return nil, err
	}
	defer im.Close()
	r, err := im.FS()
	if err != nil {
		return nil, err
	}
	if _, err := r.Tree(); err != nil {
		return nil, err
	}
	return []Imported{{name, c}}, nil
}

type cancelReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

// layer is one layer of a container image.
type layer struct {
	name   string
	digest v1.Hash // of it as it is, or zero
	diff   v1.Hash // of its content, uncompressed
	open   func() (io.ReaderAt, int64, io.Closer, error)
}

// convert makes one EROFS image of container layers. Every digest is checked
// before anything is believed.
func (m *importer) convert(name string, layers []layer, cfg v1.ConfigFile) ([]Imported, error) {
	x := m.unpacker()
	for _, l := range layers {
		r, n, closer, err := l.open()
		if err != nil {
			return nil, err
		}
		defer closer.Close()
		whole := sha256.New()
		src := m.progress(io.TeeReader(io.NewSectionReader(r, 0, n), whole))
		d, compressed, err := decompress(src)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", shorten(l.name), err)
		}
		diff := sha256.New()
		if compressed {
			f, k, err := m.sp.file(d, diff)
			if err == nil {
				// What may follow the compressed data counts for the digest.
				_, err = io.Copy(io.Discard, src)
			}
			d.Close()
			if err != nil {
				return nil, fmt.Errorf("layer %s: %w", shorten(l.name), unreadable(err))
			}
			r, n = f, k
		} else if _, err := io.CopyBuffer(struct{ io.Writer }{diff}, &cancelReader{m.ctx, d}, make([]byte, 1<<20)); err != nil {
			return nil, err
		}
		if l.digest.Hex != "" && hex.EncodeToString(whole.Sum(nil)) != l.digest.Hex {
			return nil, wrongDigest(l.digest)
		}
		if l.diff.Algorithm != "sha256" || hex.EncodeToString(diff.Sum(nil)) != l.diff.Hex {
			return nil, fmt.Errorf("layer %s: %w", shorten(l.name), wrongDigest(l.diff))
		}
		if err := x.layer(r, n, l.name); err != nil {
			return nil, fmt.Errorf("layer %s: %w", shorten(l.name), err)
		}
	}
	for _, w := range x.Warnings {
		m.Warn(w)
	}
	if m.Platform.Architecture != "" && cfg.Architecture != "" && cfg.Architecture != m.Platform.Architecture {
		m.Warn(fmt.Sprintf("the image is for %s", cfg.Architecture))
	}
	clean := v1.ConfigFile{
		Architecture: cfg.Architecture, Author: cfg.Author, Created: cfg.Created, History: cfg.History,
		OS: cfg.OS, Config: cfg.Config, Variant: cfg.Variant,
	}
	return m.commit(name, x.tree, clean, "")
}
