package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// debianOf makes a mirror in a directory and sources of apt that name it. The
// packages are NAME/DEPENDS; each but meta has a program of its name.
func debianOf(t *testing.T, packages ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	put := func(name string, b []byte) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	archive := func(name string, content string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		w := tar.NewWriter(z)
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte(content))
		if w.Close() != nil || z.Close() != nil {
			t.Fatal("archive")
		}
		return b.Bytes()
	}
	var index strings.Builder
	for _, p := range packages {
		name, depends, _ := strings.Cut(p, "/")
		file := "./usr/bin/" + name
		if name == "meta" {
			file = "./usr/share/meta"
		}
		b := bytes.NewBufferString("!<arch>\n")
		for _, part := range []struct {
			name string
			b    []byte
		}{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", archive("./control", "Package: "+name+"\n")}, {"data.tar.gz", archive(file, "#!"+name)}} {
			fmt.Fprintf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", part.name, 0, 0, 0, "100644", len(part.b), part.b)
			if len(part.b)%2 == 1 {
				b.WriteByte('\n')
			}
		}
		put("pool/"+name+".deb", b.Bytes())
		fmt.Fprintf(&index, "Package: %s\nVersion: 1.0-1\nArchitecture: all\nMaintainer: Some Body <some@example.org>\nSource: src-%s\nDepends: %s\nFilename: pool/%s.deb\nSize: %d\nSHA256: %x\nDescription: the program %s\n\n",
			name, name, depends, name, b.Len(), sha256.Sum256(b.Bytes()), name)
	}
	put("dists/stable/main/binary-amd64/Packages", []byte(index.String()))
	key, err := openpgp.NewEntity("Test", "", "test@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var public, release bytes.Buffer
	if err := key.Serialize(&public); err != nil {
		t.Fatal(err)
	}
	w, err := clearsign.Encode(&release, key.PrivateKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(w, "Suite: stable\nSHA256:\n %x %d main/binary-amd64/Packages\n", sha256.Sum256([]byte(index.String())), index.Len())
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	put("dists/stable/InRelease", release.Bytes())
	put("apt/key.gpg", public.Bytes())
	put("apt/sources.list", fmt.Appendf(nil, "deb [signed-by=key.gpg] file:%s stable main\n", dir))
	t.Setenv("HUSK_APT", filepath.Join(dir, "apt"))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	return dir
}

func TestPackagesAreFoundMadeShownAndRemoved(t *testing.T) {
	dir := debianOf(t, "tool/libtool1 (>= 1.0)", "libtool1/", "other/missing", "meta/tool")
	want := func(status int, words []string, args ...string) string {
		t.Helper()
		got, out, bad := call(args...)
		if got != status {
			t.Fatalf("%q: status %d\n%s%s", args, got, out, bad)
		}
		for _, w := range words {
			if !strings.Contains(out+bad, w) {
				t.Errorf("%q: no %q in\n%s%s", args, w, out, bad)
			}
		}
		if status != 0 && strings.Count(bad, "\n") != 1 {
			t.Errorf("%q: not one line:\n%s", args, bad)
		}
		return out
	}
	want(0, []string{"redis-server", "NAME"}, "pkg", "list")
	if out := want(0, nil, "pkg", "search", "PROGRAM", "tool"); out != "libtool1 1.0-1 - the program libtool1\ntool 1.0-1 - the program tool\n" {
		t.Errorf("search:\n%s", out)
	}
	if out := want(0, nil, "pkg", "describe", "deb:tool"); out != "libtool1 1.0-1 - the program libtool1\ntool 1.0-1 - the program tool\n" {
		t.Errorf("describe:\n%s", out)
	}
	want(0, []string{"deb/tool:latest\n", "2 packages"}, "pkg", "get", "tool")
	if out := want(0, nil, "pkg", "contents", "tool"); !strings.Contains(out, "\nFile :/usr/bin/libtool1\nFile :/usr/bin/tool\n") || !strings.Contains(out, "Dir :/usr\n") {
		t.Errorf("contents:\n%s", out)
	}
	want(0, []string{`"/usr/bin/tool"`}, "image", "inspect", "deb/tool")
	want(0, []string{`"name": "libtool1"`, `"versionInfo": "1.0-1"`, `"supplier": "Person: Some Body (some@example.org)"`, "pkg:deb/debian/tool@1.0-1?arch=all", "src-tool", `"algorithm": "SHA256"`}, "sbom", "deb/tool")
	want(0, []string{"which program of meta starts is not known", "it has none", "deb/meta:latest"}, "pkg", "get", "meta")
	want(0, []string{"deb/two:latest"}, "pkg", "create", "two", "libtool1", "tool=1.0-1", "--entrypoint", "/usr/bin/tool -x")
	want(0, []string{"two ", "tool "}, "pkg", "list")
	want(0, []string{`"-x"`}, "image", "inspect", "deb/two")
	want(0, []string{"removed"}, "pkg", "rm", "two", "deb:tool")
	// What is made again is the same, and takes nothing of the mirror's.
	if err := os.RemoveAll(filepath.Join(dir, "pool")); err != nil {
		t.Fatal(err)
	}
	want(0, []string{"deb/tool:latest"}, "pkg", "get", "tool")
	want(0, []string{"removed"}, "pkg", "prune")
	want(125, []string{"tool", "no such file"}, "pkg", "get", "tool")
	want(125, []string{"other needs missing, and no mirror has it"}, "pkg", "get", "other")
	want(125, []string{"no mirror has a package nothing"}, "run", "deb:nothing")
	want(125, []string{"deb/two"}, "pkg", "rm", "two")
	want(125, []string{"none of the trusted keys"}, "pkg", "get", "tool", "--refresh", "--mirror", "file:"+dir, "--keyring", otherKey(t))
	want(125, []string{"--mirror"}, "pkg", "get", "tool", "--apt", t.TempDir())
	if status, out, bad := call("image", "verify"); status != 0 {
		t.Errorf("%s%s", out, bad)
	}
}

func TestManyMakeTheSamePackageAtOnce(t *testing.T) {
	debianOf(t, "tool/libtool1", "libtool1/")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if status, out, bad := call("pkg", "get", "tool"); status != 0 || out != "deb/tool:latest\n" {
				t.Errorf("status %d\n%s%s", status, out, bad)
			}
		})
	}
	wg.Wait()
	if status, out, bad := call("image", "verify"); status != 0 || !strings.HasPrefix(out, "1 image, 3 blobs") {
		t.Errorf("status %d\n%s%s", status, out, bad)
	}
}

// otherKey is a keyring that has nothing to do with the mirror.
func otherKey(t *testing.T) string {
	t.Helper()
	key, err := openpgp.NewEntity("Other", "", "other@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := key.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return written(t, b.Bytes(), 0o644)
}
