package pkgs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"husk/host/oci"
)

// The form of a package is deb(5): an ar(5) of debian-binary, control.tar and
// data.tar. No library for ar that was looked at bears damaged headers.

const arMagic = "!<arch>\n"

// member is a part of an ar.
type member struct {
	name      string
	off, size int64
}

// members lists an ar's parts.
func members(r io.ReaderAt, size int64) ([]member, error) {
	magic := make([]byte, len(arMagic))
	if _, err := r.ReadAt(magic, 0); err != nil || string(magic) != arMagic {
		return nil, errors.New("it is no Debian package")
	}
	var all []member
	for off := int64(len(arMagic)); off < size; {
		var h [60]byte
		if _, err := r.ReadAt(h[:], off); err != nil || string(h[58:]) != "`\n" {
			return nil, fmt.Errorf("the package is damaged at byte %d", off)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
		if off += int64(len(h)); err != nil || n < 0 || n > size-off {
			return nil, fmt.Errorf("the package is cut off or damaged at byte %d", off)
		}
		if len(all) == 64 {
			return nil, errors.New("the package has too many parts")
		}
		all = append(all, member{strings.TrimSuffix(strings.TrimSpace(string(h[:16])), "/"), off, n})
		off += n + n%2
	}
	return all, nil
}

// part opens control.tar or data.tar, whatever its compression.
func part(r io.ReaderAt, size int64, name string) (io.ReadCloser, error) {
	ms, err := members(r, size)
	if err != nil {
		return nil, err
	}
	if len(ms) == 0 || ms[0].name != "debian-binary" || ms[0].size < 2 {
		return nil, errors.New("it is no Debian package")
	}
	v := make([]byte, 2)
	if _, err := r.ReadAt(v, ms[0].off); err != nil || string(v) != "2." {
		return nil, errors.New("it is a Debian package of another version than 2")
	}
	for _, m := range ms[1:] {
		if m.name == name || strings.HasPrefix(m.name, name+".") {
			return oci.Decompress(io.NewSectionReader(r, m.off, m.size))
		}
	}
	return nil, fmt.Errorf("the package has no %s", name)
}

// maxControl bounds control.tar: Debian's largest are some megabytes of
// checksums.
const maxControl = 64 << 20

// Control gives the files of control.tar by name.
func Control(r io.ReaderAt, size int64) (map[string]string, error) {
	d, err := part(r, size, "control.tar")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	files := map[string]string{}
	tr := tar.NewReader(io.LimitReader(d, maxControl))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("control.tar: %w", err)
		}
		if h.Typeflag != tar.TypeReg || len(files) > 1000 {
			continue
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			return nil, fmt.Errorf("control.tar: %w", err)
		}
		files[path.Clean("/" + h.Name)[1:]] = string(b)
	}
}

// dropped is what a machine of one program never reads.
var dropped = []string{
	"usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/doc-base", "usr/share/lintian", "usr/share/bug",
	"usr/share/menu", "usr/share/locale", "usr/share/help", "usr/share/gtk-doc", "usr/share/bash-completion",
	"usr/share/zsh", "usr/share/fish", "usr/share/initramfs-tools", "usr/share/apport", "usr/share/linda",
	"etc/init.d", "etc/init", "etc/rc0.d", "etc/rc1.d", "etc/rc2.d", "etc/rc3.d", "etc/rc4.d", "etc/rc5.d", "etc/rc6.d", "etc/rcS.d",
	"etc/cron.d", "etc/cron.daily", "etc/cron.hourly", "etc/cron.weekly", "etc/cron.monthly", "etc/logrotate.d",
	"etc/apparmor.d", "etc/bash_completion.d", "etc/ufw", "usr/lib/systemd/system", "usr/lib/systemd/user",
}

func isDropped(p string) bool {
	return slices.ContainsFunc(dropped, func(d string) bool { return p == d || strings.HasPrefix(p, d+"/") }) ||
		strings.HasPrefix(p, "usr/lib/locale/") && !strings.HasPrefix(p, "usr/lib/locale/C.")
}

// merged are the directories that are links into /usr.
var merged = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// inUsr is where a package's path stands in a system whose /bin and the like
// are links into /usr.
func inUsr(p string) string {
	first, _, _ := strings.Cut(p, "/")
	if slices.Contains(merged, first) {
		return "usr/" + p
	}
	return p
}

// data copies data.tar, with its paths put into /usr and without what is
// dropped, and tells which files it took. Nothing is judged here but names: that is for who unpacks.
func data(w io.Writer, r io.Reader, keepDocs bool, took func(p string)) error {
	tr, tw := tar.NewReader(r), tar.NewWriter(w)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return tw.Close()
		}
		if err != nil {
			return fmt.Errorf("data.tar: %w", err)
		}
		p, ok := plainPath(h.Name)
		if strings.HasPrefix(path.Base(p), ".wh.") {
			return fmt.Errorf("refused: the entry %q has the name of a whiteout", h.Name)
		}
		if !ok {
			return fmt.Errorf("refused: the entry %q leads out of the package", h.Name)
		}
		if p == "" || h.Typeflag != tar.TypeDir && slices.Contains(merged, p) || !keepDocs && isDropped(inUsr(p)) {
			continue
		}
		if h.Name = inUsr(p); h.Typeflag == tar.TypeDir {
			h.Name += "/"
		} else {
			took("/" + h.Name)
		}
		if h.Typeflag == tar.TypeLink {
			if l, ok := plainPath(h.Linkname); ok {
				h.Linkname = inUsr(l)
			}
		}
		h.Format = tar.FormatPAX
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("data.tar: %w", err)
		}
		if _, err := io.Copy(tw, tr); err != nil {
			return fmt.Errorf("data.tar: %w", err)
		}
	}
}

// plainPath takes ./ and / off the ends of a path; it is false for one that
// leads up or begins at the root.
func plainPath(p string) (string, bool) {
	if strings.HasPrefix(p, "/") || slices.Contains(strings.Split(p, "/"), "..") {
		return p, false
	}
	return strings.TrimPrefix(path.Clean("/"+p), "/"), true
}

// unpack puts a package into layers.
func unpack(l *oci.Layers, r io.ReaderAt, size int64, name string, keepDocs bool, took func(p string)) error {
	d, err := part(r, size, "data.tar")
	if err != nil {
		return err
	}
	defer d.Close()
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pw.CloseWithError(data(pw, d, keepDocs, took))
	}()
	err = l.Apply(pr, name)
	pr.CloseWithError(io.ErrClosedPipe)
	<-done
	return err
}
