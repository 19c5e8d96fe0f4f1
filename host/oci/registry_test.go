package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"husk/host/rootfs"
	"husk/host/store"
)

// startRegistry starts a real registry on loopback, or plays one where none
// is installed. Files go in and out by HTTP at the host that it gives.
func startRegistry(t *testing.T) string {
	t.Helper()
	// Nothing of the user's own credentials.
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	// The port is free when it is asked for; another may take it before the
	// registry does, and then the next is tried.
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close()
		dir := t.TempDir()
		config := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n", dir, addr)
		file := filepath.Join(dir, "config.yml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "serve", file)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		t.Cleanup(func() { cmd.Process.Kill(); <-ended })
		for up := false; !up; {
			resp, err := http.Get("http://" + addr + "/v2/")
			if err == nil {
				resp.Body.Close()
				return addr
			}
			select {
			case <-ended:
				up = true
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	t.Fatal("no registry came up")
	return ""
}

// noise is a tree that does not compress.
func noise(t *testing.T, size int) *rootfs.Tree {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	tree, err := unpack(DefaultLimits, makeTar(t, tar.Header{Name: "bin/x", Mode: 0o755}))
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.WriteFile("/noise", b, 0o644); err != nil {
		t.Fatal(err)
	}
	return tree
}

// committed is a named image in a store of its own.
func committed(t *testing.T, tree *rootfs.Tree) (*store.Use, *store.Image) {
	t.Helper()
	u := testUse(t)
	cfg := (&importer{}).config()
	cfg.Config.Entrypoint = []string{"/bin/x"}
	c, err := Commit(context.Background(), u, tree, cfg, CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Tag("image:1", c.Descriptor); err != nil {
		t.Fatal(err)
	}
	im, err := u.Find("image:1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return u, im
}

func verified(t *testing.T, u *store.Use) {
	t.Helper()
	if v, err := u.Verify(context.Background()); err != nil || len(v.Problems) > 0 {
		t.Errorf("the store has problems: %v (%v)", v.Problems, err)
	}
}

func TestPushedImagesComeBack(t *testing.T) {
	host := startRegistry(t)
	u, im := committed(t, noise(t, 1<<20))
	ctx := context.Background()
	want, err := Tree(im)
	if err != nil {
		t.Fatal(err)
	}
	for _, asTar := range []bool{false, true} {
		ref := fmt.Sprintf("%s/test/image:%v", host, asTar)
		h, err := Push(ctx, im, u.Store, ref, RegistryOptions{Tar: asTar, Plain: true})
		if err != nil {
			t.Fatal(err)
		}
		if !asTar && h != im.Digest {
			t.Errorf("pushed %v, the image is %v", h, im.Digest)
		}
		// Once more: everything is there.
		if _, err := Push(ctx, im, u.Store, ref, RegistryOptions{Tar: asTar}); err != nil {
			t.Fatal(err)
		}
		other := testUse(t)
		for range 2 {
			got, err := Pull(ctx, other, ref, ImportOptions{}, RegistryOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if !asTar && got.Digest != im.Digest {
				t.Errorf("pulled %v, pushed was %v", got.Digest, im.Digest)
			}
			if err := other.Tag(got.Name, got.Descriptor); err != nil {
				t.Fatal(err)
			}
		}
		back, err := other.Find(ref)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := Tree(back)
		if err != nil {
			t.Fatal(err)
		}
		if diff, err := Diff(want, tree); err != nil || len(diff) > 0 {
			t.Errorf("tar %v: %v (%v)", asTar, diff, err)
		}
		if e := back.Config.Config.Entrypoint; len(e) != 1 || e[0] != "/bin/x" {
			t.Errorf("entrypoint %v", e)
		}
		back.Close()
		verified(t, other)
		if ents, _ := os.ReadDir(filepath.Join(other.Dir, "partial")); len(ents) > 0 {
			t.Errorf("downloads are left: %v", ents)
		}
	}
}

func TestRegistryErrorsAreOneLine(t *testing.T) {
	host := startRegistry(t)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	for _, ref := range []string{host + "/no/such:image", dead.Addr().String() + "/no/body:there", "No/%"} {
		_, err := Pull(context.Background(), testUse(t), ref, ImportOptions{}, RegistryOptions{})
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v", ref, err)
		}
		t.Log(err)
	}
}

// cutter is a proxy that breaks connections off in the middle of blobs.
type cutter struct {
	proxy  *httputil.ReverseProxy
	after  int64 // bytes of a blob until it breaks; 0 is never
	ranges atomic.Int64
	served atomic.Int64
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.URL.Path, "/blobs/") || c.after == 0 {
		c.proxy.ServeHTTP(w, r)
		return
	}
	if r.Header.Get("Range") != "" {
		c.ranges.Add(1)
	}
	c.proxy.ServeHTTP(&cutWriter{w, c, c.after}, r)
}

type cutWriter struct {
	http.ResponseWriter
	c    *cutter
	left int64
}

func (w *cutWriter) Write(b []byte) (int, error) {
	w.c.served.Add(int64(len(b)))
	if w.left -= int64(len(b)); w.left < 0 {
		panic(http.ErrAbortHandler)
	}
	n, err := w.ResponseWriter.Write(b)
	w.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

func startCutter(t *testing.T, host string, after int64) (*cutter, string) {
	t.Helper()
	c := &cutter{proxy: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: host}), after: after}
	c.proxy.ErrorLog = log.New(io.Discard, "", 0)
	s := httptest.NewUnstartedServer(c)
	s.Config.ErrorLog = c.proxy.ErrorLog
	s.Start()
	t.Cleanup(s.Close)
	return c, strings.TrimPrefix(s.URL, "http://")
}

func TestPullGoesOnAfterBreaks(t *testing.T) {
	if _, err := exec.LookPath("docker-registry"); err != nil {
		t.Skip("docker-registry is not installed")
	}
	host := startRegistry(t)
	const size = 4 << 20
	u, im := committed(t, noise(t, size))
	ctx := context.Background()
	for _, asTar := range []bool{false, true} {
		name := fmt.Sprintf("cut/image:%v", asTar)
		if _, err := Push(ctx, im, u.Store, host+"/"+name, RegistryOptions{Tar: asTar}); err != nil {
			t.Fatal(err)
		}
		c, proxy := startCutter(t, host, 600<<10)
		other := testUse(t)
		got, err := Pull(ctx, other, proxy+"/"+name, ImportOptions{}, RegistryOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if c.ranges.Load() < 5 || c.served.Load() > 2*size {
			t.Errorf("%d requests for the rest, %d bytes served", c.ranges.Load(), c.served.Load())
		}
		if err := other.Tag(got.Name, got.Descriptor); err != nil {
			t.Fatal(err)
		}
		verified(t, other)
	}
}

func TestPullGoesOnWhereAnInterruptedOneEnded(t *testing.T) {
	if _, err := exec.LookPath("docker-registry"); err != nil {
		t.Skip("docker-registry is not installed")
	}
	host := startRegistry(t)
	const size = 4 << 20
	u, im := committed(t, noise(t, size))
	if _, err := Push(context.Background(), im, u.Store, host+"/stop/image:1", RegistryOptions{}); err != nil {
		t.Fatal(err)
	}
	c, proxy := startCutter(t, host, 1<<40)
	other := testUse(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if _, err := Pull(ctx, other, proxy+"/stop/image:1", ImportOptions{}, RegistryOptions{Bars: stopAfter{size / 2, cancel}}); err == nil {
		t.Fatal("it was not interrupted")
	}
	verified(t, other)
	if all, _ := other.List(); len(all) > 0 {
		t.Errorf("a half-pulled image has a name: %v", all)
	}
	ents, err := os.ReadDir(filepath.Join(other.Dir, "partial"))
	if err != nil || len(ents) != 1 {
		t.Fatalf("downloads: %v (%v)", ents, err)
	}
	c.served.Store(0)
	got, err := Pull(context.Background(), other, proxy+"/stop/image:1", ImportOptions{}, RegistryOptions{})
	if err != nil || got.Digest != im.Digest {
		t.Fatalf("%v (%v)", got, err)
	}
	if c.ranges.Load() != 1 || c.served.Load() > size*3/4 {
		t.Errorf("%d requests for the rest, %d bytes served", c.ranges.Load(), c.served.Load())
	}
	verified(t, other)
}

// stopAfter is a progress bar that pulls the plug.
type stopAfter struct {
	n    int64
	stop func()
}

func (s stopAfter) Bar(string, int64) func(int64) {
	have := int64(0)
	return func(n int64) {
		if have += n; have >= s.n {
			s.stop()
		}
	}
}

func TestPullChecksDigests(t *testing.T) {
	host := startRegistry(t)
	u, im := committed(t, noise(t, 100<<10))
	for _, plain := range []bool{false, true} {
		name := fmt.Sprintf("/bad/image:%v", plain)
		if _, err := Push(context.Background(), im, u.Store, host+name, RegistryOptions{Plain: plain}); err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: host})
		proxy.ModifyResponse = func(r *http.Response) error {
			if strings.Contains(r.Request.URL.Path, "/blobs/") && r.ContentLength > 50<<10 {
				b, err := io.ReadAll(r.Body)
				if err != nil {
					return err
				}
				b[len(b)/2]++
				r.Body = io.NopCloser(bytes.NewReader(b))
			}
			return nil
		}
		s := httptest.NewServer(proxy)
		defer s.Close()
		other := testUse(t)
		_, err := Pull(context.Background(), other, strings.TrimPrefix(s.URL, "http://")+name, ImportOptions{}, RegistryOptions{})
		if err == nil || !strings.Contains(err.Error(), "digest") {
			t.Errorf("plain %v: error %v", plain, err)
		}
		verified(t, other)
	}
}

// counted is a registry's proxy that counts the bodies of requests, and may
// refuse manifests.
type counted struct {
	sent   atomic.Int64
	refuse atomic.Bool // manifests that speak of zstd
}

func startCounted(t *testing.T, host string) (*counted, string) {
	c := &counted{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: host})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		c.sent.Add(int64(len(b)))
		if c.refuse.Load() && strings.Contains(r.URL.Path, "/manifests/") && bytes.Contains(b, []byte("+zstd")) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_INVALID","message":"unknown media type"}]}`)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return c, strings.TrimPrefix(s.URL, "http://")
}

func TestLayersAreCompressedOnTheirWay(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	c, host := startCounted(t, startRegistry(t))
	u, ctx := testUse(t), context.Background()
	const files, size = 8, 256 << 10
	build := func(tag string, seed int) *store.Image {
		t.Helper()
		tree := rootfs.NewTree()
		for i := range files {
			text := bytes.Repeat([]byte(fmt.Sprintf("%08d %08d\n", i, seed*(i/(files-1)))), size/18)
			if err := tree.WriteFile(fmt.Sprintf("/file%d", i), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Commit(ctx, u, tree, v1.ConfigFile{}, CommitOptions{splitSize: size})
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Tag(tag, got.Descriptor); err != nil {
			t.Fatal(err)
		}
		im, err := u.Find(tag)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { im.Close() })
		return im
	}
	one, two := build("text:1", 1), build("text:2", 2)
	if len(one.Manifest.Layers) < 4 {
		t.Fatalf("%d layers", len(one.Manifest.Layers))
	}
	push := func(im *store.Image) int64 {
		t.Helper()
		c.sent.Store(0)
		h, err := Push(ctx, im, u.Store, host+"/"+im.Name, RegistryOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if d, err := remote.Head(parse(t, host+"/"+im.Name)); err != nil || d.Digest != h {
			t.Fatalf("pushed %v, there is %v (%v)", h, d, err)
		}
		return c.sent.Load()
	}
	first := push(one)
	if first > files*size/20 {
		t.Errorf("%d bytes were sent of %d", first, files*size)
	}
	if second := push(two); second > first*3/4 {
		t.Errorf("%d bytes were sent of an image with one file changed, %d of all", second, first)
	}
	other := testUse(t)
	for i, im := range []*store.Image{one, two, two} {
		got, err := Pull(ctx, other, host+"/"+im.Name, ImportOptions{}, RegistryOptions{})
		if err != nil || got.Digest != im.Digest {
			t.Fatalf("pulled %v, built %v (%v)", got.Digest, im.Digest, err)
		}
		if i == 1 && got.Reused < 2 {
			t.Errorf("%d layers were there", got.Reused)
		}
		if err := other.Tag(got.Name, got.Descriptor); err != nil {
			t.Fatal(err)
		}
	}
	verified(t, other)

	// What another tool copied out of the registry.
	remoteImage, err := remote.Image(parse(t, host+"/"+one.Name))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "layout")
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendImage(remoteImage); err != nil {
		t.Fatal(err)
	}
	third := testUse(t)
	got, err := Import(ctx, third, dir, nil, ImportOptions{})
	if err != nil || got[0].Digest != one.Digest {
		t.Errorf("imported %v (%v)", got, err)
	}
	if _, err := Import(ctx, testUse(t), dir, nil, ImportOptions{Limits: Limits{Bytes: size, Files: 100}}); err == nil || !strings.Contains(err.Error(), "--max-size") {
		t.Errorf("too much: %v", err)
	}

	// A registry that knows no such type gets the layers as they are.
	c.refuse.Store(true)
	one.Name = "plain/text:1"
	if sent := push(one); sent < files*size {
		t.Errorf("only %d bytes were sent", sent)
	}
	if got, err := Pull(ctx, testUse(t), host+"/"+one.Name, ImportOptions{}, RegistryOptions{}); err != nil || got.Digest != one.Digest {
		t.Errorf("pulled %v (%v)", got, err)
	}
}

func parse(t *testing.T, ref string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCredentialsOfDockerAreUsed(t *testing.T) {
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	u, im := committed(t, noise(t, 10<<10))
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	ref := host + "/private/image:1"
	_, err := Push(context.Background(), im, u.Store, ref, RegistryOptions{})
	if err == nil || !strings.Contains(err.Error(), "docker login") || strings.Contains(err.Error(), "\n") {
		t.Errorf("without credentials: %v", err)
	}
	config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte("me:secret")))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Push(context.Background(), im, u.Store, ref, RegistryOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err := Pull(context.Background(), testUse(t), ref, ImportOptions{}, RegistryOptions{})
	if err != nil || got.Digest != im.Digest {
		t.Errorf("%v (%v)", got, err)
	}
}

func TestPullChoosesThePlatform(t *testing.T) {
	host := startRegistry(t)
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range []string{"arm64", "amd64"} {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(makeTar(t, tar.Header{Name: arch}))), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers"}})
		if err == nil {
			img, err = mutate.AppendLayers(img, l)
		}
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	ref, err := name.ParseReference(host + "/both/image:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"", "amd64", "arm64", "s390x"} {
		o := ImportOptions{}
		if arch != "" {
			o.Platform = v1.Platform{OS: "linux", Architecture: arch}
		}
		u := testUse(t)
		got, err := Pull(context.Background(), u, ref.Name(), o, RegistryOptions{})
		if arch == "s390x" {
			if err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", arch, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		im, err := u.Load(store.Entry{Digest: got.Digest, Desc: got.Descriptor})
		if err != nil {
			t.Fatal(err)
		}
		tree, err := Tree(im)
		if err != nil {
			t.Fatal(err)
		}
		if arch == "" {
			arch = "amd64"
		}
		if p := paths(tree); p != "/"+arch || im.Config.Architecture != arch {
			t.Errorf("%s: files %s, config %s", arch, p, im.Config.Architecture)
		}
		im.Close()
	}
}
