package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"husk/host/rootfs"
	"husk/host/store"
	"husk/host/sysroot"
)

// Format is a form in which an image leaves the store.
type Format string

// The formats of ExportFile.
const (
	FormatOCI    Format = "oci"        // OCI archive with the EROFS layers as they are
	FormatOCITar Format = "oci-tar"    // OCI archive with one tar layer, for other engines
	FormatDocker Format = "docker"     // what docker save writes
	FormatTar    Format = "tar"        // the root file system's tar
	FormatErofs  Format = "erofs"      // the bare file system
	FormatLayout Format = "oci-layout" // OCI layout directory
)

// compressor gives what compresses as a file's name says: w itself for a name
// that says nothing.
func compressor(w io.Writer, file string) (io.WriteCloser, error) {
	switch {
	case strings.HasSuffix(file, ".gz") || strings.HasSuffix(file, ".tgz"):
		return gzip.NewWriter(w), nil
	case strings.HasSuffix(file, ".zst"):
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	case strings.HasSuffix(file, ".xz") || strings.HasSuffix(file, ".bz2"):
		return nil, fmt.Errorf("husk compresses to .gz and .zst, not to %s", filepath.Ext(file))
	}
	return nopCloser{w}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// Formats lists them.
var Formats = []string{string(FormatOCI), string(FormatOCITar), string(FormatDocker), string(FormatTar), string(FormatErofs), string(FormatLayout)}

// FormatOf guesses the format from a file's name.
func FormatOf(file string) Format {
	st, err := os.Stat(file)
	plain := strings.TrimSuffix(strings.TrimSuffix(file, ".gz"), ".zst")
	switch {
	case strings.HasSuffix(plain, ".erofs") || strings.HasSuffix(plain, ".img"):
		return FormatErofs
	case strings.HasSuffix(file, "/") || err == nil && st.IsDir():
		return FormatLayout
	}
	return FormatOCI
}

// ExportFile writes an image to a file, which appears whole or not at all; "-"
// is the standard output.
func ExportFile(ctx context.Context, im *store.Image, file string, format Format) error {
	if format == FormatLayout {
		return exportLayout(ctx, im, file)
	}
	if file == "-" {
		w := bufio.NewWriterSize(os.Stdout, 1<<20)
		if err := Export(ctx, im, w, format); err != nil {
			return err
		}
		return w.Flush()
	}
	if st, err := os.Stat(file); err == nil && !st.Mode().IsRegular() {
		// A device or a pipe is written in place.
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(Export(ctx, im, f, format), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".husk-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, bare(err))
	}
	w := bufio.NewWriterSize(f, 1<<20)
	z, err := compressor(w, file)
	if err == nil {
		if err = Export(ctx, im, z, format); err == nil {
			err = z.Close()
		}
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Chmod(0o666 &^ umask())
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", file, bare(err))
	}
	return nil
}

// bare leaves out the names of temporary files.
func bare(err error) error {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		return pe.Err
	case errors.As(err, &le):
		return le.Err
	}
	return err
}

// Export writes an image.
func Export(ctx context.Context, im *store.Image, w io.Writer, format Format) error {
	w = &cancelable{ctx, w}
	switch format {
	case FormatErofs:
		r, err := im.ReaderAt()
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(w, io.NewSectionReader(r, 0, im.Size()), make([]byte, 1<<20))
		return err
	case FormatTar:
		t, err := tree(im)
		if err != nil {
			return err
		}
		return WriteTar(w, t)
	case FormatOCI:
		return exportOCI(im, w)
	case FormatOCITar, FormatDocker:
		return exportTarLayer(im, w, format)
	}
	return fmt.Errorf("%q is not a format (one of %s)", format, strings.Join(Formats, ", "))
}

// cancelable fails writes once its context has ended.
type cancelable struct {
	ctx context.Context
	w   io.Writer
}

func (c *cancelable) Write(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(b)
}

func tree(im *store.Image) (*rootfs.Tree, error) {
	r, err := im.FS()
	if err != nil {
		return nil, err
	}
	return r.Tree()
}

// archive writes members with everything but name and size pinned.
type archive struct{ *tar.Writer }

func (a archive) member(name string, size int64, r io.Reader) error {
	if err := a.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}); err != nil {
		return err
	}
	_, err := io.CopyBuffer(a.Writer, onlyReader{r}, make([]byte, 1<<20))
	return err
}

type onlyReader struct{ io.Reader }

func (a archive) bytes(name string, b []byte) error {
	return a.member(name, int64(len(b)), bytes.NewReader(b))
}

const layoutFile = `{"imageLayoutVersion":"1.0.0"}`

func indexOf(name string, d v1.Descriptor) ([]byte, error) {
	d.Annotations = nil
	if name != "" {
		d.Annotations = map[string]string{store.AnnotationName: name}
	}
	return json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{d}})
}

// blobsOf are the digests of all blobs of an image, sorted, with sizes.
func blobsOf(im *store.Image) []v1.Descriptor {
	all := append([]v1.Descriptor{im.Desc, im.Manifest.Config}, im.Manifest.Layers...)
	slices.SortFunc(all, func(a, b v1.Descriptor) int { return strings.Compare(a.Digest.Hex, b.Digest.Hex) })
	return slices.CompactFunc(all, func(a, b v1.Descriptor) bool { return a.Digest == b.Digest })
}

func exportOCI(im *store.Image, w io.Writer) error {
	a := archive{tar.NewWriter(w)}
	index, err := indexOf(im.Name, im.Desc)
	if err != nil {
		return err
	}
	if err := errors.Join(a.bytes("oci-layout", []byte(layoutFile)), a.bytes("index.json", index)); err != nil {
		return err
	}
	for _, d := range blobsOf(im) {
		if err := exportBlob(im, d, func(r io.Reader) error { return a.member("blobs/sha256/"+d.Digest.Hex, d.Size, r) }); err != nil {
			return err
		}
	}
	return a.Close()
}

func exportBlob(im *store.Image, d v1.Descriptor, f func(io.Reader) error) error {
	file, err := os.Open(im.BlobPath(d.Digest))
	if err != nil {
		return err
	}
	defer file.Close()
	return f(io.LimitReader(file, d.Size))
}

// exportLayout adds the image to an OCI layout directory, made if need be.
func exportLayout(ctx context.Context, im *store.Image, dir string) error {
	if there, err := os.ReadDir(dir); err == nil && len(there) > 0 {
		if _, err := os.Stat(filepath.Join(dir, "oci-layout")); err != nil {
			return fmt.Errorf("write %s: the directory has files already, and is no OCI layout", dir)
		}
	}
	s, err := store.At(dir)
	if err != nil {
		return err
	}
	defer others(s)
	u, err := s.Begin()
	if err != nil {
		return err
	}
	defer u.Close()
	for _, d := range blobsOf(im) {
		if u.Has(d.Digest, d.Size) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := exportBlob(im, d, func(r io.Reader) error {
			_, err := u.Copy(r, d.Digest, d.MediaType)
			return err
		}); err != nil {
			return err
		}
	}
	return u.Tag(im.Name, im.Desc)
}

// others gives a layout the permissions of what a user makes, and takes out
// what only a store needs.
func others(s *store.Store) {
	mask := umask()
	os.Remove(filepath.Join(s.Dir, "spare"))
	os.Remove(filepath.Join(s.Dir, "partial"))
	os.Remove(filepath.Join(s.Dir, "tmp"))
	_ = filepath.WalkDir(s.Dir, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
		case e.IsDir():
			_ = os.Chmod(p, 0o777&^mask)
		case e.Type().IsRegular():
			_ = os.Chmod(p, 0o666&^mask)
		}
		return nil
	})
}

// exportTarLayer writes an archive whose one layer is a plain tar.
func exportTarLayer(im *store.Image, w io.Writer, format Format) error {
	t, err := tree(im)
	if err != nil {
		return err
	}
	// The digest stands in front of the data: once for it, once to write.
	h := sha256.New()
	n := &counter{w: h}
	if err := WriteTar(n, t); err != nil {
		return err
	}
	layer := v1.Descriptor{MediaType: types.OCIUncompressedLayer, Size: n.n, Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}}
	cfg := *im.Config
	cfg.RootFS = v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{layer.Digest}}
	cfg.History = withoutParts(cfg.History)
	config, err := json.Marshal(cfg)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(config)
	cd := v1.Descriptor{MediaType: types.OCIConfigJSON, Size: int64(len(config)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
	a := archive{tar.NewWriter(w)}
	body := func(name string) error {
		r, pw := io.Pipe()
		go func() { pw.CloseWithError(WriteTar(pw, t)) }()
		defer r.Close()
		return a.member(name, layer.Size, r)
	}
	if format == FormatDocker {
		tags := []string{}
		if im.Name != "" && !strings.Contains(im.Name, "@") {
			tags = append(tags, im.Name)
		}
		m, err := json.Marshal([]dockerManifest{{Config: cd.Digest.Hex + ".json", RepoTags: tags, Layers: []string{layer.Digest.Hex + "/layer.tar"}}})
		if err != nil {
			return err
		}
		if err := errors.Join(a.bytes(cd.Digest.Hex+".json", config), a.bytes("manifest.json", m)); err != nil {
			return err
		}
		if err := body(layer.Digest.Hex + "/layer.tar"); err != nil {
			return err
		}
		return a.Close()
	}
	m, err := json.Marshal(v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: cd, Layers: []v1.Descriptor{layer}})
	if err != nil {
		return err
	}
	sum = sha256.Sum256(m)
	md := v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: int64(len(m)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}, Platform: im.Desc.Platform}
	index, err := indexOf(im.Name, md)
	if err != nil {
		return err
	}
	if err := errors.Join(a.bytes("oci-layout", []byte(layoutFile)), a.bytes("index.json", index),
		a.bytes("blobs/sha256/"+cd.Digest.Hex, config), a.bytes("blobs/sha256/"+md.Digest.Hex, m)); err != nil {
		return err
	}
	if err := body("blobs/sha256/" + layer.Digest.Hex); err != nil {
		return err
	}
	return a.Close()
}

// withoutParts makes the several parts of an EROFS image one layer's history.
func withoutParts(h []v1.History) (out []v1.History) {
	for _, e := range h {
		if e.EmptyLayer {
			out = append(out, e)
		}
	}
	return append(out, v1.History{CreatedBy: "husk"})
}

// dockerManifest is an entry of a docker-archive's manifest.json.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// WriteTar writes a tree as a tar: names sorted, hard links kept, one form for
// one tree.
func WriteTar(w io.Writer, t *rootfs.Tree) error {
	tw := tar.NewWriter(w)
	names := map[*rootfs.Node]string{}
	buf := make([]byte, 256<<10)
	err := t.Walk(func(p string, n *rootfs.Node) error {
		h := tarHeader(p, n)
		if h == nil {
			return nil
		}
		if first := names[n]; first != "" && !n.IsDir() {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			h.PAXRecords = nil
		}
		names[n] = h.Name
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if h.Typeflag != tar.TypeReg || n.Size == 0 {
			return nil
		}
		r, err := n.Open()
		if err != nil {
			return err
		}
		defer r.Close()
		m, err := io.CopyBuffer(struct{ io.Writer }{tw}, io.LimitReader(r, n.Size), buf)
		if err == nil && m < n.Size {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
	if err != nil {
		return err
	}
	return tw.Close()
}

func tarHeader(p string, n *rootfs.Node) *tar.Header {
	h := &tar.Header{
		Name: strings.TrimPrefix(p, "/"), Mode: int64(n.Mode & 0o7777), Uid: int(n.UID), Gid: int(n.GID),
		ModTime: time.Unix(0, n.Mtime), Format: tar.FormatPAX,
	}
	if n.Mtime%1e9 == 0 {
		// PAX times cost a header of their own.
		h.Format = tar.FormatUnknown
	}
	switch n.Mode & sysroot.TypeMask {
	case sysroot.TypeReg:
		h.Typeflag, h.Size = tar.TypeReg, n.Size
	case sysroot.TypeDir:
		h.Typeflag = tar.TypeDir
		h.Name += "/"
		if p == "/" {
			h.Name = "./"
		}
	case sysroot.TypeLink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, n.Target
	case sysroot.TypeFifo:
		h.Typeflag = tar.TypeFifo
	case sysroot.TypeChr, sysroot.TypeBlk:
		h.Typeflag = tar.TypeChar
		if n.Mode&sysroot.TypeMask == sysroot.TypeBlk {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(n.Major), int64(n.Minor)
	default:
		return nil // a socket has no form in a tar
	}
	for k, v := range n.Xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+k] = string(v)
		h.Format = tar.FormatPAX
	}
	return h
}

// Bytes writes a size for people.
func Bytes(n int64) string {
	const units = "KMGT"
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, i := float64(n)/1000, 0
	for f >= 999.5 && i < len(units)-1 {
		f, i = f/1000, i+1
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f %cB", f, units[i])
	}
	return fmt.Sprintf("%.0f %cB", f, units[i])
}

// Port checks a port as an image's ExposedPorts have it.
func Port(s string) (string, error) {
	port, proto, ok := strings.Cut(s, "/")
	if !ok {
		proto = "tcp"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || proto != "tcp" && proto != "udp" && proto != "sctp" {
		return "", errors.New("not a port (as in 80 or 53/udp)")
	}
	return strconv.FormatUint(n, 10) + "/" + proto, nil
}
