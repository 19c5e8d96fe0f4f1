package pkgs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"husk/host/oci"
	"husk/host/store"
)

var (
	// ErrMirror is wrapped by the error of a mirror that is out of reach,
	// ill, or without what its index promises.
	ErrMirror = errors.New("the mirror does not serve")

	errGone    = fmt.Errorf("%w it: no such file", ErrMirror)
	errStalled = fmt.Errorf("%w: it has sent nothing for too long", ErrMirror)
)

// mirrorError is any error that a mirror, or the way to it, is to blame for.
type mirrorError struct{ error }

func (mirrorError) Is(err error) bool { return err == ErrMirror }
func (e mirrorError) Unwrap() error   { return e.error }

// Times of a download; tests shorten them.
var (
	stall     = 60 * time.Second // without a byte
	firstWait = 200 * time.Millisecond
)

// idleTries are how often a download that gets no further is tried.
const idleTries = 4

// client waits for ever: open is who bounds that.
var client = &http.Client{Transport: &http.Transport{
	Proxy: proxyOf, TLSHandshakeTimeout: 30 * time.Second, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
}}

// answer is a body that ends when nothing comes for too long.
type answer struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	t      *time.Timer
}

func (a *answer) Read(b []byte) (int, error) {
	n, err := a.ReadCloser.Read(b)
	if n > 0 {
		a.t.Reset(stall)
	}
	return n, mirrorFault(a.ctx, err)
}

func (a *answer) Close() error {
	a.t.Stop()
	a.cancel(nil)
	return a.ReadCloser.Close()
}

// mirrorFault tells whose fault an error is, except for the user's own
// interruption.
func mirrorFault(ctx context.Context, err error) error {
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return err
	case errors.Is(context.Cause(ctx), errStalled):
		return errStalled
	case ctx.Err() != nil:
		return err
	}
	return mirrorError{err}
}

// open asks for a file from an offset on; have is where the answer begins.
func open(ctx context.Context, address string, from int64) (body io.ReadCloser, have int64, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, 0, err
	}
	if u.Scheme == "file" {
		f, err := os.Open(u.Path)
		if errors.Is(err, os.ErrNotExist) {
			return nil, 0, fmt.Errorf("%s: %w", address, errGone)
		}
		if err != nil {
			return nil, 0, mirrorError{err}
		}
		if _, err := f.Seek(from, io.SeekStart); err != nil {
			f.Close()
			return nil, 0, mirrorError{err}
		}
		return f, from, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	t := time.AfterFunc(stall, func() { cancel(errStalled) })
	defer func() {
		if err != nil {
			t.Stop()
			cancel(nil)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("User-Agent", "husk")
	if from > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(from, 10)+"-")
	}
	r, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		if errors.Is(err, io.EOF) {
			err = errors.New("the mirror closed the connection")
		}
		return nil, 0, fmt.Errorf("%s: %w", address, mirrorFault(ctx, err))
	}
	switch r.StatusCode {
	case http.StatusOK:
		return &answer{r.Body, ctx, cancel, t}, 0, nil
	case http.StatusPartialContent:
		var start int64
		if _, err := fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-", &start); err == nil && start == from {
			return &answer{r.Body, ctx, cancel, t}, from, nil
		}
		err = mirrorError{fmt.Errorf("%s: the mirror sent another part than it was asked for", address)}
	case http.StatusRequestedRangeNotSatisfiable:
		err = mirrorError{fmt.Errorf("%s: it ended after %d bytes", address, from)}
	case http.StatusNotFound, http.StatusGone, http.StatusForbidden:
		err = fmt.Errorf("%s: %w", address, errGone)
	default:
		err = mirrorError{fmt.Errorf("%s: the mirror answers %s", address, r.Status)}
	}
	r.Body.Close()
	return nil, 0, err
}

// download gets the file with this digest and size into the cache, from where
// it ended the last time, and gives its place there. It appears whole and
// checked or not at all.
func download(ctx context.Context, u *store.Use, address, sum string, size int64, bars oci.Bars, label string) (string, error) {
	h, err := v1.NewHash("sha256:" + sum)
	if err != nil {
		return "", fmt.Errorf("%s: %w", address, err)
	}
	if u.Has(h, size) {
		u.Touch(h)
		return u.Path(h), nil
	}
	p, err := u.Partial(h)
	if err != nil {
		return "", err
	}
	defer p.Close()
	if u.Has(h, size) {
		return u.Path(h), p.Drop()
	}
	if p.Have > size {
		if err := p.Restart(); err != nil {
			return "", err
		}
	}
	add := func(int64) {}
	if bars != nil {
		add = bars.Bar(label, size)
		add(p.Have)
	}
	wait := firstWait
	for idle := 0; p.Have < size; {
		before := p.Have
		err := more(ctx, p, address, size, add)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if errors.Is(err, errGone) || !errors.Is(err, ErrMirror) {
			return "", err
		}
		if p.Have > before {
			idle, wait = 0, firstWait
		}
		if idle++; idle == idleTries {
			return "", err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return "", ctx.Err()
		}
		wait *= 2
	}
	if err := p.Check(); err != nil {
		return "", fmt.Errorf("%s: %w", address, err)
	}
	return u.Path(h), p.Keep()
}

// more appends what is missing.
func more(ctx context.Context, p *store.Partial, address string, size int64, add func(int64)) error {
	body, have, err := open(ctx, address, p.Have)
	if err != nil {
		return err
	}
	defer body.Close()
	if have != p.Have {
		add(-p.Have)
		if err := p.Restart(); err != nil {
			return err
		}
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		if int64(n) > size-p.Have {
			return errors.Join(fmt.Errorf("%s: it is longer than the %d bytes of the index", address, size), p.Restart())
		}
		if _, err := p.Write(buf[:n]); err != nil {
			return err
		}
		add(int64(n))
		switch {
		case errors.Is(err, io.EOF) && p.Have == size:
			return nil
		case errors.Is(err, io.EOF):
			return mirrorError{fmt.Errorf("%s: it ended after %d of %d bytes", address, p.Have, size)}
		case err != nil:
			return fmt.Errorf("%s: %w", address, err)
		}
	}
}

// together is how many packages are fetched at a time.
const together = 4

// FetchAll gets the files of all packages into the cache; the first failure
// ends the others.
func FetchAll(ctx context.Context, u *store.Use, ps []*Package, bars oci.Bars) error {
	_, err := fetchAll(ctx, u, ps, bars)
	return err
}

func fetchAll(ctx context.Context, u *store.Use, ps []*Package, bars oci.Bars) ([]string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	files := make([]string, len(ps))
	free := make(chan struct{}, together)
	var wg sync.WaitGroup
	for i, p := range ps {
		wg.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			if ctx.Err() != nil {
				return
			}
			f, err := p.Fetch(ctx, u, bars)
			if err != nil {
				cancel(err)
			}
			files[i] = f
		})
	}
	wg.Wait()
	return files, context.Cause(ctx)
}
