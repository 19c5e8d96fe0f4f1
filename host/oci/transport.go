package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"husk/host/store"
)

// On the way to and from a registry EROFS layers are compressed. The
// configuration stays as it is, with the digests of the layers themselves, so
// that an image comes back as the one that was sent.

// mediaZstd is the media type of a husk layer on its way.
const mediaZstd = store.MediaErofs + "+zstd"

// plainAnnotation says of a manifest with compressed layers which digest it
// has in a store.
const plainAnnotation = "husk.plain.digest"

// isOurs reports the media type of an EROFS layer, compressed or not.
func isOurs(m types.MediaType) bool { return m == store.MediaErofs || m == mediaZstd }

// pushing is one Push of EROFS layers.
type pushing struct {
	ctx  context.Context
	im   *store.Image
	u    *store.Use
	repo name.Repository
	p    *remote.Pusher
	add  func(int64)
}

// How many layers are compressed and sent at once: one is compressed while
// another is on its way.
const pushers = 2

// pushErofs sends an image with compressed layers, or as it is.
func pushErofs(ctx context.Context, im *store.Image, u *store.Use, r name.Reference, o RegistryOptions, compress bool) (v1.Hash, error) {
	p, err := remote.NewPusher(remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return v1.Hash{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &pushing{ctx, im, u, r.Context(), p, o.Bars.Bar("push", im.Size())}
	layers := make([]v1.Descriptor, len(im.Manifest.Layers))
	next := make(chan int)
	var wg sync.WaitGroup
	var once sync.Once
	for range pushers {
		wg.Go(func() {
			for i := range next {
				var e error
				if layers[i], e = s.layer(im.Manifest.Layers[i], compress); e != nil {
					once.Do(func() { err = e; cancel() })
				}
			}
		})
	}
	for i := range layers {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return v1.Hash{}, err
	}
	config, err := u.ReadBlob(im.Manifest.Config.Digest)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := p.Upload(ctx, s.repo, static.NewLayer(config, im.Manifest.Config.MediaType)); err != nil {
		return v1.Hash{}, err
	}
	manifest, err := u.ReadBlob(im.Digest)
	if err != nil {
		return v1.Hash{}, err
	}
	mf := *im.Manifest
	for i, l := range layers {
		if l.Digest == mf.Layers[i].Digest {
			continue
		}
		// Something is compressed: the manifest is another.
		mf.Layers = layers
		mf.Annotations = map[string]string{plainAnnotation: im.Digest.String()}
		for k, v := range im.Manifest.Annotations {
			mf.Annotations[k] = v
		}
		if manifest, err = json.Marshal(mf); err != nil {
			return v1.Hash{}, err
		}
		break
	}
	if err := p.Put(ctx, r, rawManifest{manifest, mf.MediaType}); err != nil {
		return v1.Hash{}, err
	}
	h, _, err := v1.SHA256(bytes.NewReader(manifest))
	return h, err
}

// refusesTypes reports that a registry does not take a manifest for what it
// names in it.
func refusesTypes(err error) bool {
	var te *transport.Error
	if !errors.As(err, &te) || te.StatusCode != http.StatusBadRequest && te.StatusCode != http.StatusUnsupportedMediaType && te.StatusCode != http.StatusNotFound {
		return false
	}
	for _, d := range te.Errors {
		switch d.Code {
		case transport.ManifestInvalidErrorCode, transport.UnsupportedErrorCode:
			return true
		}
	}
	return false
}

type rawManifest struct {
	b     []byte
	media types.MediaType
}

func (m rawManifest) RawManifest() ([]byte, error)        { return m.b, nil }
func (m rawManifest) MediaType() (types.MediaType, error) { return m.media, nil }

// layer sends one layer and tells what the manifest is to say of it.
func (s *pushing) layer(plain v1.Descriptor, compress bool) (v1.Descriptor, error) {
	b := &sentLayer{s: s, plain: plain, d: plain}
	defer b.close()
	if compress {
		if err := b.compress(); err != nil {
			return plain, err
		}
	}
	err := s.p.Upload(s.ctx, s.repo, b)
	if err == nil {
		s.add(plain.Size - b.shown)
	}
	return b.d, err
}

// sentLayer is a layer on its way to a registry, which is asked first whether
// it has it. It implements v1.Layer.
type sentLayer struct {
	s     *pushing
	plain v1.Descriptor
	d     v1.Descriptor   // as it is sent
	z     *store.TempFile // compressed, once it had to be
	shown int64           // of the plain bytes, on the progress bar
}

func (l *sentLayer) close() {
	if l.z != nil {
		l.z.Close()
	}
}

// compress decides on how the layer is sent. What came of it is remembered:
// most layers of a second push are with the registry already.
func (l *sentLayer) compress() error {
	memo := cacheFile("transport", "zstd 1 "+l.plain.Digest.Hex)
	if b, err := os.ReadFile(memo); err == nil {
		var d v1.Descriptor
		if json.Unmarshal(b, &d) == nil && d.Digest.Algorithm == "sha256" && d.Size > 0 {
			l.d = d
			return nil
		}
	}
	if err := l.squeeze(); err != nil {
		return err
	}
	if l.d.Size >= l.plain.Size-l.plain.Size/32 {
		l.d = l.plain // not worth it
	}
	if b, err := json.Marshal(l.d); err == nil {
		replaceCache(memo, b)
	}
	return nil
}

// squeeze makes the compressed file.
func (l *sentLayer) squeeze() error {
	file, err := os.Open(l.s.u.Path(l.plain.Digest))
	if err != nil {
		return err
	}
	defer file.Close()
	if l.z == nil {
		if l.z, err = l.s.u.Temp(); err != nil {
			return err
		}
	}
	h := sha256.New()
	n := &counter{w: io.MultiWriter(&cancelable{l.s.ctx, l.z}, h)}
	// One goroutine, and so one result.
	z, err := zstd.NewWriter(n, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{z}, onlyReader{file}, make([]byte, 1<<20)); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	l.d = v1.Descriptor{MediaType: mediaZstd, Size: n.n, Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}}
	return nil
}

// Compressed is what is sent.
func (l *sentLayer) Compressed() (io.ReadCloser, error) {
	if l.d.Digest == l.plain.Digest {
		f, err := os.Open(l.s.u.Path(l.plain.Digest))
		if err != nil {
			return nil, err
		}
		return l.progress(f, f), nil
	}
	if l.z == nil {
		want := l.d.Digest
		if err := l.squeeze(); err != nil {
			return nil, err
		}
		if l.d.Digest != want {
			os.Remove(cacheFile("transport", "zstd 1 "+l.plain.Digest.Hex))
			return nil, errors.New("the cache of what layers compress to is out of date: push again")
		}
	}
	return l.progress(io.NewSectionReader(l.z, 0, l.d.Size), nothing{}), nil
}

// progress moves the bar by the plain bytes that go with what is read.
func (l *sentLayer) progress(r io.Reader, c io.Closer) io.ReadCloser {
	sent := int64(0)
	return readCloser{progressReader{r, func(n int64) {
		sent += n
		at := min(int64(float64(sent)/float64(l.d.Size)*float64(l.plain.Size)), l.plain.Size)
		l.s.add(at - l.shown)
		l.shown = at
	}}, c}
}

type readCloser struct {
	io.Reader
	io.Closer
}

// Digest, DiffID, Size, MediaType and Uncompressed complete v1.Layer.
func (l *sentLayer) Digest() (v1.Hash, error) { return l.d.Digest, nil }

// DiffID is the digest of the layer as it is in a store.
func (l *sentLayer) DiffID() (v1.Hash, error) { return l.plain.Digest, nil }

// Size is what is sent.
func (l *sentLayer) Size() (int64, error) { return l.d.Size, nil }

// MediaType is what is sent.
func (l *sentLayer) MediaType() (types.MediaType, error) { return l.d.MediaType, nil }

// Uncompressed is the layer as it is in a store.
func (l *sentLayer) Uncompressed() (io.ReadCloser, error) {
	return os.Open(l.s.u.Path(l.plain.Digest))
}

// inStore turns the layers of a manifest that came from elsewhere into blobs
// of the store, with the digests that the configuration gives, and gives the
// manifest as it is in a store. open reads a layer that is not there yet.
func (m *importer) inStore(mf *v1.Manifest, cfg *v1.ConfigFile, open func(l v1.Descriptor) (io.ReadCloser, error)) (*v1.Manifest, error) {
	if len(cfg.RootFS.DiffIDs) != len(mf.Layers) {
		return nil, fmt.Errorf("the config has %d layers and the manifest %d", len(cfg.RootFS.DiffIDs), len(mf.Layers))
	}
	out := mf.DeepCopy()
	delete(out.Annotations, plainAnnotation)
	if len(out.Annotations) == 0 {
		out.Annotations = nil
	}
	left := m.Limits.Bytes
	for i, l := range mf.Layers {
		want := cfg.RootFS.DiffIDs[i]
		if want.Algorithm != "sha256" || len(want.Hex) != 2*sha256.Size {
			return nil, fmt.Errorf("the digest %s is no SHA-256", want)
		}
		d := v1.Descriptor{MediaType: store.MediaErofs, Digest: want}
		if l.MediaType == store.MediaErofs && l.Digest != want {
			return nil, wrongDigest(want)
		}
		if st, err := os.Stat(m.u.Path(want)); err == nil && st.Mode().IsRegular() {
			d.Size = st.Size()
		} else {
			r, err := open(l)
			if err != nil {
				return nil, err
			}
			d, err = m.expand(r, l.MediaType == mediaZstd, want, left)
			r.Close()
			if err != nil {
				return nil, fmt.Errorf("layer %s: %w", store.Short(l.Digest), unreadable(err))
			}
		}
		left -= d.Size
		out.Layers[i] = d
	}
	return out, nil
}

// expand stores a layer, if it has the digest that is wanted and no more than
// so many bytes.
func (m *importer) expand(r io.Reader, compressed bool, want v1.Hash, most int64) (v1.Descriptor, error) {
	if compressed {
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return v1.Descriptor{}, err
		}
		defer z.Close()
		r = z
	}
	return m.u.Copy(&bounded{&cancelReader{m.ctx, r}, most}, want, store.MediaErofs)
}

// bounded refuses to read more than may be.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
