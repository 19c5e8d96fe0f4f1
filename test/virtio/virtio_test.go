// Package virtio boots the test kernel of kernel/virtio/machinetest under
// QEMU and plays the host for it: disk, shared directory, streams, control.
package virtio

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"husk/spec"
)

const stdinBytes = 64<<20 + 12345

// build makes the bootable test kernel.
func build(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(name string, args ...string) {
		cmd := exec.Command(name, args...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		if name == "go" && args[0] == "test" {
			cmd.Env = append(cmd.Env, "GOEXPERIMENT=norandomizedheapbase64")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
	}
	run("go", "test", "-c", "-tags", "baremetal", "-trimpath",
		"-ldflags", "-T -2145382400 -E husk/kernel/metal.entry", "-o", dir+"/test", "./kernel/virtio/machinetest")
	run("go", "run", "./cmd/mkkernel", "-o", dir+"/test.elf", dir+"/test")
	return dir + "/test.elf"
}

// fill makes the directory that is shared.
func fill(t *testing.T, dir string) {
	t.Helper()
	write := func(name string, data []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("dir/sub/file", []byte("contents\n"))
	for n := range 500 {
		write(fmt.Sprintf("many/module%d.py", n), fmt.Appendf(nil, "module %d\n", n))
	}
	large := make([]byte, 20<<20+77)
	rand.New(rand.NewSource(1)).Read(large)
	write("large", large)
	h := fnv.New64a()
	h.Write(large)
	write("large.sum", fmt.Appendf(nil, "%d %x", len(large), h.Sum64()))
	if err := os.Symlink("dir/sub/file", dir+"/link"); err != nil {
		t.Fatal(err)
	}
}

func disk(t *testing.T) string {
	var b bytes.Buffer
	for n := range 16 << 20 / 512 {
		sector := make([]byte, 512)
		copy(sector, fmt.Sprintf("sector %d\n", n))
		b.Write(sector)
	}
	path := t.TempDir() + "/disk"
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDevices(t *testing.T) {
	if testing.Short() {
		t.Skip("boots machines")
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip(err)
	}
	kernel, image := build(t), disk(t)
	shared := t.TempDir()
	fill(t, shared)
	for _, m := range []struct {
		name string
		cpus int
	}{{"microvm", 1}, {"microvm", 2}, {"q35", 1}} {
		t.Run(fmt.Sprint(m.name, " ", m.cpus), func(t *testing.T) { boot(t, kernel, image, shared, m.name, m.cpus) })
	}
}

// boot runs the test kernel once.
func boot(t *testing.T, kernel, image, shared, machine string, cpus int) {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	sockets, err := os.MkdirTemp("", "husk") // short: a socket's path is limited
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(sockets)
	args := []string{
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", fmt.Sprint(cpus), "-m", "128M",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=4",
		"-kernel", kernel, "-append", "-test.v -test.timeout=80s",
	}
	bus := "-pci,disable-legacy=on"
	if machine == "microvm" {
		bus = "-device"
		args = append(args, "-M", "microvm,x-option-roms=off,acpi=off,pic=off", "-global", "virtio-mmio.force-legacy=false")
	} else {
		args = append(args, "-M", "q35")
	}
	args = append(args, "-device", "virtio-serial"+bus+",max_ports=6")
	ports := map[string]net.Conn{}
	var listeners []net.Listener
	names := []string{spec.PortControl, spec.PortStdin, spec.PortStdout, spec.PortStderr}
	for i, name := range names {
		path := fmt.Sprintf("%s/%d", sockets, i)
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		listeners = append(listeners, l)
		args = append(args, "-chardev", fmt.Sprintf("socket,id=p%d,path=%s", i, path),
			"-device", fmt.Sprintf("virtserialport,chardev=p%d,name=%s", i, name))
	}
	args = append(args, "-drive", "if=none,format=raw,id=d,read-only=on,file="+image, "-device", "virtio-blk"+bus+",drive=d",
		"-fsdev", "local,security_model=none,multidevs=remap,readonly=on,id=s,path="+shared, "-device", "virtio-9p"+bus+",fsdev=s,mount_tag=share",
		"-device", "virtio-rng"+bus)
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for i, l := range listeners {
		_ = l.(*net.UnixListener).SetDeadline(time.Now().Add(20 * time.Second))
		c, err := l.Accept()
		if err != nil {
			cancel()
			_ = cmd.Wait()
			t.Fatalf("%v\n%s", err, log.String())
		}
		defer c.Close()
		ports[names[i]] = c
	}
	data := make([]byte, stdinBytes)
	rand.New(rand.NewSource(2)).Read(data)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := ports[spec.PortStdin].Write(data); err != nil {
			t.Errorf("stdin: %v", err)
		}
		_, _ = ports[spec.PortControl].Write(spec.AppendMessage(nil, &spec.Message{Type: spec.TypeStdinEnd, Bytes: uint64(len(data))}))
	})
	var stdout, stderr []byte
	wg.Go(func() { stdout, _ = io.ReadAll(ports[spec.PortStdout]) })
	wg.Go(func() { stderr, _ = io.ReadAll(ports[spec.PortStderr]) })
	var exit *spec.Exit
	ready := false
	wg.Go(func() {
		in := bufio.NewScanner(ports[spec.PortControl])
		for in.Scan() {
			m, err := spec.ParseMessage(in.Bytes())
			if err != nil {
				t.Errorf("control: %v", err)
				continue
			}
			ready = ready || m.Type == spec.TypeReady
			if m.Exit != nil {
				exit = m.Exit
			}
		}
	})
	err = cmd.Wait()
	for _, c := range ports {
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
	}
	wg.Wait()
	t.Logf("%v\n%s", err, log.String())
	if !strings.Contains(log.String(), "\nPASS") || strings.Contains(log.String(), "problem:") {
		t.Error("the guest's tests failed")
	}
	if !bytes.Equal(stdout, data) {
		t.Errorf("%d bytes came back, %d were sent", len(stdout), len(data))
	}
	if want := strings.Repeat("a line of output\n", 1000); string(stderr) != want {
		t.Errorf("%d bytes of stderr, not %d", len(stderr), len(want))
	}
	if !ready || exit == nil || exit.Code != 0 || exit.Stdout != uint64(len(data)) || exit.Stderr != uint64(len(stderr)) {
		t.Errorf("ready %v, exit report %+v", ready, exit)
	}
}
