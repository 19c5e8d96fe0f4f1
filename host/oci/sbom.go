package oci

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"husk/host/rootfs"
	"husk/host/store"
)

// The bill of materials is SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/):
// Debian packages by dpkg's records in the tree, and Go modules by what the
// Go linker puts into programs. Equal images give equal documents.

type spdxDocument struct {
	Version       string         `json:"spdxVersion"`
	License       string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      spdxCreation   `json:"creationInfo"`
	Packages      []spdxPackage  `json:"packages"`
	Relationships []spdxRelation `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	Name      string         `json:"name"`
	ID        string         `json:"SPDXID"`
	Version   string         `json:"versionInfo,omitempty"`
	Supplier  string         `json:"supplier,omitempty"`
	Location  string         `json:"downloadLocation"`
	Analyzed  bool           `json:"filesAnalyzed"`
	Source    string         `json:"sourceInfo,omitempty"`
	Home      string         `json:"homepage,omitempty"`
	Concluded string         `json:"licenseConcluded"`
	Declared  string         `json:"licenseDeclared"`
	Copyright string         `json:"copyrightText"`
	Summary   string         `json:"summary,omitempty"`
	Refs      []spdxRef      `json:"externalRefs,omitempty"`
	Checksums []spdxChecksum `json:"checksums,omitempty"`
	Purpose   string         `json:"primaryPackagePurpose,omitempty"`
}

type spdxRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxRelation struct {
	From string `json:"spdxElementId"`
	Kind string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

const none = "NOASSERTION"

// SBOM makes an image's bill of materials.
func SBOM(im *store.Image) ([]byte, error) {
	t, err := tree(im)
	if err != nil {
		return nil, err
	}
	created := im.Config.Created.UTC()
	if created.IsZero() {
		created = time.Unix(0, 0).UTC()
	}
	d := spdxDocument{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT",
		Name: im.Title(), Namespace: "urn:husk:sbom:" + im.Digest.String(),
		Creation: spdxCreation{created.Format(time.RFC3339), []string{"Tool: husk"}},
		Packages: []spdxPackage{{
			Name: im.Title(), ID: "SPDXRef-Image", Version: im.Digest.String(), Location: none,
			Concluded: none, Declared: none, Copyright: none, Purpose: "CONTAINER",
			Checksums: []spdxChecksum{{"SHA256", im.Digest.Hex}},
		}},
		Relationships: []spdxRelation{{"SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image"}},
	}
	debs, err := debPackages(t)
	if err != nil {
		return nil, err
	}
	gos, err := goModules(t)
	if err != nil {
		return nil, err
	}
	for _, p := range append(debs, gos...) {
		d.Packages = append(d.Packages, p)
		d.Relationships = append(d.Relationships, spdxRelation{"SPDXRef-Image", "CONTAINS", p.ID})
	}
	b, err := json.MarshalIndent(d, "", "  ")
	return append(b, '\n'), err
}

var notID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

func spdxID(kind string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return "SPDXRef-" + kind + "-" + notID.ReplaceAllString(parts[0], "-") + "-" + hex.EncodeToString(sum[:4])
}

// maxStatus bounds dpkg's records.
const maxStatus = 256 << 20

// debPackages reads /var/lib/dpkg/status, and status.d, where images without
// dpkg keep a file for each package.
func debPackages(t *rootfs.Tree) ([]spdxPackage, error) {
	var files []*rootfs.Node
	if n := t.Lookup("/var/lib/dpkg/status"); n != nil {
		files = append(files, n)
	}
	if d := t.Lookup("/var/lib/dpkg/status.d"); d != nil {
		for _, name := range d.Names() {
			if !strings.HasSuffix(name, ".md5sums") {
				files = append(files, d.Child(name))
			}
		}
	}
	distribution := "debian"
	if n := t.Lookup("/etc/os-release"); n != nil || t.Lookup("/usr/lib/os-release") != nil {
		if n == nil || !n.IsRegular() {
			n = t.Lookup("/usr/lib/os-release")
		}
		if n != nil && n.IsRegular() {
			b, err := read(n, 64<<10)
			if err != nil {
				return nil, err
			}
			for line := range strings.Lines(string(b)) {
				if v, ok := strings.CutPrefix(strings.TrimSpace(line), "ID="); ok {
					distribution = strings.Trim(v, `"'`)
				}
			}
		}
	}
	var out []spdxPackage
	for _, n := range files {
		if !n.IsRegular() {
			continue
		}
		b, err := read(n, maxStatus)
		if err != nil {
			return nil, err
		}
		for _, f := range paragraphs(b) {
			if s, ok := f["Status"]; ok && !strings.HasSuffix(s, " installed") || f["Package"] == "" {
				continue
			}
			p := spdxPackage{
				Name: f["Package"], ID: spdxID("deb", f["Package"], f["Architecture"], f["Version"]), Version: f["Version"],
				Location: none, Concluded: none, Declared: none, Copyright: none, Home: f["Homepage"], Summary: f["Description"],
			}
			if f["Maintainer"] != "" {
				p.Supplier = "Person: " + strings.NewReplacer(" <", " (", ">", ")").Replace(f["Maintainer"])
			}
			if f["SHA256"] != "" { // husk's own records have that of the package's file
				p.Checksums = []spdxChecksum{{"SHA256", f["SHA256"]}}
			}
			if f["Source"] != "" {
				p.Source = "built from the source package " + f["Source"]
			}
			p.Refs = []spdxRef{{"PACKAGE-MANAGER", "purl", fmt.Sprintf("pkg:deb/%s/%s@%s?arch=%s",
				url.PathEscape(distribution), escape(f["Package"]), escape(f["Version"]), escape(f["Architecture"]))}}
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b spdxPackage) int { return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID) })
	return out, nil
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// paragraphs reads the first lines of the fields of deb822 paragraphs.
func paragraphs(b []byte) (out []map[string]string) {
	f := map[string]string{}
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		line := sc.Text()
		if strings.TrimSpace(line) == "" {
			if len(f) > 0 {
				out = append(out, f)
				f = map[string]string{}
			}
			continue
		}
		if k, v, ok := strings.Cut(line, ":"); ok && line[0] != ' ' && line[0] != '\t' && line[0] != '#' {
			f[k] = strings.TrimSpace(v)
		}
	}
	if len(f) > 0 {
		out = append(out, f)
	}
	return out
}

func read(n *rootfs.Node, limit int64) ([]byte, error) {
	r, err := n.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errors.New("a record is too long")
	}
	return b, err
}

// maxInline bounds what is read into memory to be looked at at random.
const maxInline = 1 << 20

// at gives random access to a file in an image.
func at(n *rootfs.Node) (io.ReaderAt, error) {
	if s, ok := n.Content.(rootfs.Section); ok {
		return io.NewSectionReader(s.R, s.Off, s.N), nil
	}
	b, err := read(n, maxInline)
	return bytes.NewReader(b), err
}

// goModules reads the build information of every Go program.
func goModules(t *rootfs.Tree) ([]spdxPackage, error) {
	var out []spdxPackage
	seen := map[string]bool{}
	module := func(name, version, sum, main, file string) {
		id := spdxID("go", name, version)
		if name == "" || seen[id] {
			return
		}
		seen[id] = true
		p := spdxPackage{
			Name: name, ID: id, Version: version, Location: none, Concluded: none, Declared: none, Copyright: none,
			Source: "in the program " + file,
		}
		if main != "" {
			p.Summary = main
		}
		if sum != "" {
			p.Source += ", with the module hash " + sum
		}
		p.Refs = []spdxRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + name + "@" + escape(version)}}
		out = append(out, p)
	}
	done := map[*rootfs.Node]bool{}
	err := t.Walk(func(p string, n *rootfs.Node) error {
		if !n.IsRegular() || n.Mode&0o111 == 0 || n.Size < 4096 || done[n] {
			return nil
		}
		done[n] = true
		r, err := at(n)
		if err != nil {
			return nil // too long to be looked at, and not in one piece
		}
		var magic [4]byte
		if _, err := r.ReadAt(magic[:], 0); err != nil || string(magic[:]) != "\x7fELF" {
			return nil
		}
		info, err := buildinfo.Read(r)
		if err != nil {
			return nil // not a Go program
		}
		version := info.Main.Version
		if version == "" {
			version = "(devel)"
		}
		name := info.Main.Path
		if name == "" {
			name = path.Base(p)
		}
		module(name, version, info.Main.Sum, "Go program "+p, p)
		module("std", strings.TrimPrefix(info.GoVersion, "go"), "", "Go standard library", p)
		for _, d := range info.Deps {
			if d.Replace != nil {
				d = d.Replace
			}
			module(d.Path, d.Version, d.Sum, "", p)
		}
		return nil
	})
	slices.SortFunc(out, func(a, b spdxPackage) int { return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID) })
	return out, err
}
