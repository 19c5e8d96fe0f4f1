package rootfs_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"husk/host/image"
	"husk/host/rootfs"
)

// extract makes a directory of a tree by way of its image.
func extract(t *testing.T, tr *rootfs.Tree) string {
	t.Helper()
	if _, err := exec.LookPath("fsck.erofs"); err != nil {
		t.Skip("fsck.erofs is not installed (erofs-utils)")
	}
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "img"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := image.Write(f, tr, image.Options{}); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "root")
	if msg, err := exec.Command("fsck.erofs", "--extract="+out, f.Name()).CombinedOutput(); err != nil {
		t.Fatalf("fsck.erofs: %v\n%s", err, msg)
	}
	return out
}

// TestProgramsRunInTheirTree runs the machine's own programs in a root
// directory that holds nothing but what was gathered for them.
func TestProgramsRunInTheirTree(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("chroot needs root")
	}
	for _, tc := range []struct {
		args []string
		env  []string
		big  bool
	}{
		{args: []string{"/bin/ls", "-la", "/usr/lib/os-release"}},
		{args: []string{"/usr/bin/id", "root"}},
		{args: []string{"/usr/bin/sort", "-V", "/etc/services"}},
		{args: []string{"/usr/bin/date", "-d", "@0"}, env: []string{"TZ=America/New_York"}},
		{args: []string{"/usr/bin/tput", "colors"}, env: []string{"TERM=xterm-256color"}},
		{args: []string{"/usr/bin/file", "/bin/true-is-not-here", "/etc/passwd"}},
		{args: []string{"/usr/bin/iconv", "-f", "latin1", "-t", "utf-16", "/etc/passwd"}},
		{args: []string{"/usr/bin/openssl", "list", "-providers"}},
		{args: []string{"/usr/bin/openssl", "verify", "-CApath", "/etc/ssl/certs", "/etc/ssl/certs/ISRG_Root_X1.pem"}},
		{args: []string{"/usr/bin/perl", "-MPOSIX", "-MList::Util", "-MJSON::PP", "-MEncode", "-e", "print encode_json([1,2]), floor(2.5)"}},
		{args: []string{"/usr/bin/perl", "-MIO::Socket", "-MData::Dumper", "-MDigest::SHA=sha1_hex", "-e", "print sha1_hex(q(x)), Dumper([getgrnam(q(root))])"}},
		{args: []string{"/usr/bin/python3", "-c", `
import json, ssl, sqlite3, hashlib, threading, zoneinfo, datetime, ctypes, curses, decimal, lzma, bz2, uuid, xml.etree.ElementTree, asyncio, socket, locale
print(ssl.OPENSSL_VERSION, len(ssl.create_default_context().get_ca_certs()) > 0, sqlite3.sqlite_version)
print(datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")), locale.setlocale(locale.LC_ALL, "C.UTF-8"))
print(socket.getservbyname("http"), socket.gethostbyname("localhost"))`}},
		{args: []string{"/usr/bin/lua5.4", "-e", "print(#package.path)"}},
		{args: []string{"/usr/bin/ruby", "-rjson", "-rset", "-ropenssl", "-e", "puts JSON.generate([1])"}},
		{args: []string{"/usr/bin/node", "-p", "require('crypto').createHash('sha1').update('x').digest('hex') + new Intl.NumberFormat('de').format(1e6)"}, big: true},
		{args: []string{"/usr/bin/java", "-XshowSettings:security", "-version"}, big: true},
		{args: []string{"/usr/bin/gawk", "-l", "time", "BEGIN{print length(gettimeofday()) > 0}"}},
		{args: []string{"/usr/bin/bc", "--version"}},
		{args: []string{"/usr/bin/git", "--version"}},
		{args: []string{"/usr/bin/gdb", "--batch", "-ex", "python print(1+1)"}, big: true},
		{args: []string{"/usr/bin/busybox", "sha256sum", "/etc/passwd"}},
	} {
		if _, err := os.Stat(tc.args[0]); err != nil || tc.big && testing.Short() {
			continue
		}
		t.Run(filepath.Base(tc.args[0]), func(t *testing.T) {
			env := append([]string{"PATH=" + rootfs.DefaultPath, "HOME=/root"}, tc.env...)
			tr, err := rootfs.Build(rootfs.Options{Program: tc.args[0], Env: env, Cwd: "/etc"})
			if err != nil {
				t.Fatal(err)
			}
			root := extract(t, tr)
			for name, minor := range map[string]uint32{"null": 3, "random": 8, "urandom": 9} {
				if err := unix.Mknod(filepath.Join(root, "dev", name), unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))); err != nil {
					t.Skip("make devices: ", err)
				}
			}
			// $ORIGIN of a program comes from /proc/self/exe.
			proc := filepath.Join(root, "proc")
			if err := unix.Mount("proc", proc, "proc", 0, ""); err != nil {
				t.Skip("mount proc: ", err)
			}
			defer func() {
				if err := unix.Unmount(proc, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			}()
			run := func(chroot string) (string, string, error) {
				cmd := exec.Command(tc.args[0], tc.args[1:]...)
				cmd.Env, cmd.Dir = env, "/etc"
				cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: chroot}
				var stdout, stderr bytes.Buffer
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				err := cmd.Run()
				return stdout.String(), stderr.String(), err
			}
			want, wantErr, wantStatus := run("")
			got, gotErr, status := run(root)
			if got != want || gotErr != wantErr || (status == nil) != (wantStatus == nil) {
				t.Errorf("in its tree: %v\n%s%s\nnatively: %v\n%s%s", status, got, gotErr, wantStatus, want, wantErr)
			}
		})
	}
}
