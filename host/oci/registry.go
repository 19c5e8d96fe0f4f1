package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"husk/host/store"
)

// Bars shows how far transfers are.
type Bars interface {
	// Bar begins a bar; the function adds to it.
	Bar(label string, total int64) func(n int64)
}

type noBars struct{}

func (noBars) Bar(string, int64) func(int64) { return func(int64) {} }

// RegistryOptions steer Pull and Push.
type RegistryOptions struct {
	Insecure bool // plain HTTP, also to others than this machine
	Bars     Bars // may be nil
	// Tar makes Push send one compressed tar layer, which other engines
	// read, in place of the EROFS layers.
	Tar bool
	// Plain makes Push send EROFS layers as they are, not compressed.
	Plain bool
}

func (o *RegistryOptions) reference(ref string) (name.Reference, error) {
	if o.Bars == nil {
		o.Bars = noBars{}
	}
	var opts []name.Option
	if o.Insecure {
		opts = append(opts, name.Insecure)
	}
	return store.Reference(ref, opts...)
}

// sourceAnnotation says of a converted image which manifest it was made of.
const sourceAnnotation = "husk.source.digest"

// Pull gets an image from a registry. Layers are kept as far as they came when
// it ends early; the next Pull goes on there.
func Pull(ctx context.Context, u *store.Use, ref string, im ImportOptions, o RegistryOptions) (Imported, error) {
	r, err := o.reference(ref)
	if err != nil {
		return Imported{}, err
	}
	if im.Platform.OS == "" {
		im.Platform = DefaultPlatform
	}
	familiar, err := store.Familiar(ref)
	if err != nil {
		return Imported{}, err
	}
	d, err := remote.Get(r, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithPlatform(im.Platform))
	if err != nil {
		return Imported{}, registryError(r, err)
	}
	img, err := d.Image()
	if err != nil {
		return Imported{}, registryError(r, err)
	}
	manifest, err := img.RawManifest()
	if err != nil {
		return Imported{}, registryError(r, err)
	}
	digest, err := img.Digest()
	if err != nil {
		return Imported{}, registryError(r, err)
	}
	mf, err := img.Manifest()
	if err != nil {
		return Imported{}, registryError(r, err)
	}
	if e, ok := had(u, digest, mf.Annotations[plainAnnotation]); ok {
		return Imported{familiar, Committed{Descriptor: e.Desc}}, nil
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return Imported{}, registryError(r, err)
	}
	cfg, err := parseConfig(config)
	if err != nil {
		return Imported{}, err
	}
	f, err := newFetcher(ctx, r, u, o)
	if err != nil {
		return Imported{}, registryError(r, err)
	}
	defer f.close()
	var c Committed
	var fetch []v1.Descriptor
	total := int64(0)
	for i, l := range mf.Layers {
		c.Parts++
		c.FSSize += l.Size
		if u.Has(l.Digest, l.Size) || l.MediaType == mediaZstd && i < len(cfg.RootFS.DiffIDs) && u.Has(cfg.RootFS.DiffIDs[i], -1) {
			c.Reused++
			continue
		}
		fetch = append(fetch, l)
		total += l.Size
	}
	add := func(int64) {}
	if total > 0 {
		add = o.Bars.Bar("pull", total)
	}
	for _, l := range fetch {
		if err := f.blob(l, add); err != nil {
			return Imported{}, registryError(r, err)
		}
	}
	m := &importer{ImportOptions: im, ctx: ctx, u: u}
	if total > 0 && (!ours(mf) || slices.ContainsFunc(fetch, func(l v1.Descriptor) bool { return l.MediaType == mediaZstd })) {
		m.Progress = o.Bars.Bar("unpack", total)
	}
	if m.Limits.Bytes == 0 {
		m.Limits = DefaultLimits
	}
	if m.Warn == nil {
		m.Warn = func(string) {}
	}
	m.sp = &spools{ctx: ctx, u: u, left: m.Limits.Bytes + m.Limits.Bytes/8}
	defer m.sp.close()
	var got []Imported
	if ours(mf) {
		got, err = f.keep(m, familiar, c, mf, cfg, manifest, config)
	} else {
		got, err = f.convert(m, mf, cfg, digest)
	}
	if err != nil {
		return Imported{}, fmt.Errorf("%s: %w", familiar, err)
	}
	got[0].Name = familiar
	return got[0], nil
}

// keep makes an image of layers that are a file system already.
func (f *fetcher) keep(m *importer, name string, c Committed, mf *v1.Manifest, cfg *v1.ConfigFile, manifest, config []byte) ([]Imported, error) {
	compressed := false
	for _, l := range mf.Layers {
		p := f.parts[l.Digest]
		switch {
		case l.MediaType == mediaZstd:
			compressed = true
		case p != nil:
			if err := p.Keep(); err != nil {
				return nil, err
			}
			delete(f.parts, l.Digest)
			p.Close()
		}
	}
	if compressed {
		plain, err := m.inStore(mf, cfg, func(l v1.Descriptor) (io.ReadCloser, error) {
			p := f.parts[l.Digest]
			if p == nil {
				return nil, fmt.Errorf("the layer %s is not there", l.Digest)
			}
			return io.NopCloser(m.progress(io.NewSectionReader(p, 0, p.Have))), nil
		})
		if err != nil {
			return nil, err
		}
		if manifest, err = json.Marshal(plain); err != nil {
			return nil, err
		}
		mf = plain
	}
	got, err := m.keep(name, c, v1.Descriptor{}, mf, cfg, manifest, config)
	if err != nil {
		return nil, err
	}
	for _, p := range f.parts {
		if err := p.Drop(); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// had finds an image that is, or was made of, this manifest, or that says to
// be another on its way.
func had(u *store.Use, digest v1.Hash, plain string) (store.Entry, bool) {
	all, err := u.List()
	if err != nil {
		return store.Entry{}, false
	}
	for _, e := range all {
		im, err := u.Load(e)
		if err != nil {
			continue
		}
		im.Close()
		if e.Digest == digest || e.Digest.String() == plain || im.Manifest.Annotations[sourceAnnotation] == digest.String() {
			return e, true
		}
	}
	return store.Entry{}, false
}

// registryError makes one line of what may be a page.
func registryError(r name.Reference, err error) error {
	var te *transport.Error
	var oe *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &te):
		why := http.StatusText(te.StatusCode)
		if len(te.Errors) > 0 {
			why = strings.ToLower(strings.ReplaceAll(string(te.Errors[0].Code), "_", " "))
			if te.Errors[0].Message != "" {
				why = te.Errors[0].Message
			}
		}
		switch te.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			why += " (credentials come from 'docker login')"
		}
		return fmt.Errorf("%s: the registry says: %s", r.Name(), why)
	case errors.As(err, &oe):
		return fmt.Errorf("%s: %w", r.Name(), oe)
	}
	return fmt.Errorf("%s: %w", r.Name(), err)
}

// fetcher downloads blobs, going on where an earlier download ended, which the
// library does not.
type fetcher struct {
	ctx    context.Context
	repo   name.Repository
	client *http.Client
	u      *store.Use
	o      RegistryOptions
	parts  map[v1.Hash]*store.Partial
}

func newFetcher(ctx context.Context, r name.Reference, u *store.Use, o RegistryOptions) (*fetcher, error) {
	repo := r.Context()
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, repo)
	if err != nil {
		return nil, err
	}
	t, err := transport.NewWithContext(ctx, repo.Registry, auth, remote.DefaultTransport, []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	return &fetcher{ctx, repo, &http.Client{Transport: t}, u, o, map[v1.Hash]*store.Partial{}}, nil
}

func (f *fetcher) close() {
	for _, p := range f.parts {
		p.Close()
	}
}

// A download that breaks off is tried again, as long as it gets further.
const (
	idleTries = 5
	firstWait = 200 * time.Millisecond
	silence   = time.Minute
)

var errSilent = fmt.Errorf("nothing came for %v", silence)

// because prefers the reason for which we ended a connection ourselves.
func because(ctx context.Context, err error) error {
	if context.Cause(ctx) == errSilent {
		return errSilent
	}
	return err
}

// blob downloads one blob and checks it.
func (f *fetcher) blob(d v1.Descriptor, add func(int64)) error {
	if f.parts[d.Digest] != nil {
		add(d.Size) // twice in one image
		return nil
	}
	p, err := f.u.Partial(d.Digest)
	if err != nil {
		return err
	}
	f.parts[d.Digest] = p
	if p.Have > d.Size {
		if err := p.Restart(); err != nil {
			return err
		}
	}
	add(p.Have)
	wait := firstWait
	for idle := 0; p.Have < d.Size; {
		had := p.Have
		err := f.piece(p, d, add)
		if err == nil {
			continue
		}
		var te *transport.Error
		if f.ctx.Err() != nil {
			return f.ctx.Err()
		}
		if errors.As(err, &te) && te.StatusCode < 500 || errors.Is(err, errLocal) {
			return err
		}
		if p.Have > had {
			idle, wait = 0, firstWait
		}
		if idle++; idle >= idleTries {
			return fmt.Errorf("the download broke off at %s of %s (pull again to go on there): %w", Bytes(p.Have), Bytes(d.Size), err)
		}
		select {
		case <-time.After(wait):
		case <-f.ctx.Done():
			return f.ctx.Err()
		}
		wait *= 2
	}
	return p.Check()
}

// errLocal marks errors that trying again does not mend.
var errLocal = errors.New("local")

type localError struct{ error }

func (localError) Is(err error) bool { return err == errLocal }

// piece downloads from where the file ends.
func (f *fetcher) piece(p *store.Partial, d v1.Descriptor, add func(int64)) error {
	// A connection that says nothing any more is as good as broken.
	ctx, cancel := context.WithCancelCause(f.ctx)
	defer cancel(nil)
	silent := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer silent.Stop()
	u := url.URL{Scheme: f.repo.Scheme(), Host: f.repo.RegistryStr(), Path: "/v2/" + f.repo.RepositoryStr() + "/blobs/" + d.Digest.String()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	if p.Have > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(p.Have, 10)+"-")
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return because(ctx, err)
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusOK, http.StatusPartialContent); err != nil {
		return err
	}
	if resp.StatusCode == http.StatusOK && p.Have > 0 || resp.StatusCode == http.StatusPartialContent && !strings.HasPrefix(resp.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(p.Have, 10)+"-") {
		add(-p.Have)
		if err := p.Restart(); err != nil {
			return localError{err}
		}
		if resp.StatusCode != http.StatusOK {
			return errors.New("the registry sent another piece than was asked for")
		}
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := resp.Body.Read(buf)
		silent.Reset(silence)
		if int64(n) > d.Size-p.Have {
			return localError{fmt.Errorf("the registry sent more than the %d bytes of %s", d.Size, d.Digest)}
		}
		if _, werr := p.Write(buf[:n]); werr != nil {
			return localError{werr}
		}
		add(int64(n))
		// What has come already would not tell.
		if f.ctx.Err() != nil {
			return f.ctx.Err()
		}
		if err != nil {
			if errors.Is(err, io.EOF) && p.Have == d.Size {
				return nil
			}
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return because(ctx, err)
		}
	}
}

// convert makes an EROFS image of the layers that were downloaded.
func (f *fetcher) convert(m *importer, mf *v1.Manifest, cfg *v1.ConfigFile, source v1.Hash) ([]Imported, error) {
	if len(cfg.RootFS.DiffIDs) != len(mf.Layers) {
		return nil, fmt.Errorf("the config has %d layers and the manifest %d", len(cfg.RootFS.DiffIDs), len(mf.Layers))
	}
	m.annotations = map[string]string{sourceAnnotation: source.String()}
	var layers []layer
	for i, l := range mf.Layers {
		p := f.parts[l.Digest]
		if p == nil {
			return nil, fmt.Errorf("a layer has the type %s, which is no file system", l.MediaType)
		}
		layers = append(layers, layer{
			name: l.Digest.String(), diff: cfg.RootFS.DiffIDs[i],
			open: func() (io.ReaderAt, int64, io.Closer, error) { return p, p.Have, nothing{}, nil },
		})
	}
	got, err := m.convert("", layers, *cfg)
	if err != nil {
		return nil, err
	}
	for _, p := range f.parts {
		if err := p.Drop(); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// Push sends an image to a registry, leaving out what that has already.
func Push(ctx context.Context, im *store.Image, s *store.Store, ref string, o RegistryOptions) (v1.Hash, error) {
	r, err := o.reference(ref)
	if err != nil {
		return v1.Hash{}, err
	}
	if !o.Tar {
		u, err := s.Begin()
		if err != nil {
			return v1.Hash{}, err
		}
		defer u.Close()
		h, err := pushErofs(ctx, im, u, r, o, !o.Plain)
		if !o.Plain && refusesTypes(err) {
			h, err = pushErofs(ctx, im, u, r, o, false)
		}
		if err != nil {
			return v1.Hash{}, registryError(r, err)
		}
		return h, nil
	}
	img, err := tarImage(im)
	if err != nil {
		return v1.Hash{}, err
	}
	updates := make(chan v1.Update, 16)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		var add func(int64)
		last := int64(0)
		for up := range updates {
			if up.Error != nil || up.Total == 0 {
				continue
			}
			if add == nil {
				add = o.Bars.Bar("push", up.Total)
			}
			add(up.Complete - last)
			last = up.Complete
		}
	}()
	err = remote.Write(r, img, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithProgress(updates))
	<-shown
	if err != nil {
		return v1.Hash{}, registryError(r, err)
	}
	return img.Digest()
}

// tarImage is the image as other engines have it.
func tarImage(im *store.Image) (v1.Image, error) {
	t, err := tree(im)
	if err != nil {
		return nil, err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(WriteTar(w, t)) }()
		return r, nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	cfg := *im.Config
	cfg.RootFS, cfg.History = v1.RootFS{Type: "layers"}, nil
	img, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), &cfg)
	if err != nil {
		return nil, err
	}
	return mutate.Append(img, mutate.Addendum{Layer: l, History: v1.History{CreatedBy: "husk"}, MediaType: types.OCILayer})
}
