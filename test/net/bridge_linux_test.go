package net

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace takes the test's goroutine to a network namespace of its own,
// where it may make what devices it likes; what it starts and what sockets it
// opens are there as well. All is gone with the goroutine's thread.
func namespace(t *testing.T) {
	t.Helper()
	husk(t)
	guest(t) // with the network that the go command may want
	if os.Getuid() != 0 {
		t.Skip("only root can make network namespaces, taps and bridges")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("there is no ip command to make a bridge with (apt-get install iproute2)")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("this host has no tap devices: ", err)
	}
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skip("no network namespace: ", err)
	}
	for _, what := range []string{"tuntap add dev probe0 mode tap", "link add probe1 type bridge", "link set probe0 master probe1"} {
		if out, err := exec.Command("ip", strings.Fields(what)...).CombinedOutput(); err != nil {
			t.Skipf("no taps or bridges in a network namespace: %v: %s", err, out)
		}
	}
	ip(t, "link del probe0")
	ip(t, "link del probe1")
	ip(t, "link set lo up")
}

func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// trains counts the frames on all devices of the namespace that are longer
// than one of a cable can be: those that a machine sent, and those that were
// given to one.
func trains(t *testing.T, mtu int) (sent, received *atomic.Int32) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0x0300)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	// The goroutine looks up now and then whether it is still wanted.
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100000})
	sent, received = new(atomic.Int32), new(atomic.Int32)
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		p := make([]byte, 1)
		for {
			select {
			case <-quit:
				unix.Close(fd)
				return
			default:
			}
			n, from, err := unix.Recvfrom(fd, p, unix.MSG_TRUNC)
			if ll, ok := from.(*unix.SockaddrLinklayer); err == nil && ok && n > mtu+14 {
				if ll.Pkttype == unix.PACKET_OUTGOING {
					received.Add(1)
				} else {
					sent.Add(1)
				}
			}
		}
	}()
	t.Cleanup(func() { close(quit); <-ended })
	return sent, received
}

func TestMachinesTalkAcrossABridge(t *testing.T) {
	namespace(t)
	ip(t, "link add br0 type bridge")
	ip(t, "addr add 10.7.0.1/24 dev br0")
	ip(t, "link set br0 up")
	for _, mtu := range []int{1280, 9000} {
		ip(t, fmt.Sprintf("link set br0 mtu %d", mtu))
		sent, received := trains(t, mtu)
		a := start(t, []string{"--net", "bridge=br0", "--ip", "10.7.0.2", "--cpus", "2"}, "tcp:9", "udp:9", "file:/sys/class/net/eth0/mtu", "until-told")
		if !a.expect("listening", "listening", fmt.Sprint(mtu)) {
			return
		}
		b := start(t, []string{"--net", "bridge=br0", "--ip", "10.7.0.3/24", "--cpus", "2", "--machine", "q35"},
			fmt.Sprintf("send:tcp:10.7.0.2:9:%d", size(2<<20, 24<<20)), "send:udp:10.7.0.2:9:3", "tell:10.7.0.2:9")
		b.expect("same", "same", "told")
		b.end()
		a.expect("told")
		a.end()
		if sent.Load() == 0 || received.Load() == 0 {
			t.Errorf("MTU %d: %d trains of frames were sent and %d received: there is no segmentation offload", mtu, sent.Load(), received.Load())
		}
	}
	if list, err := net.Interfaces(); err != nil || len(list) != 2 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

func TestTapReachesTheHost(t *testing.T) {
	namespace(t)
	l, err := net.Listen("tcp4", "0.0.0.0:7")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go serveEcho(l)
	b := start(t, []string{"--net", "tap", "--ip", "10.8.0.2", "--gateway", "10.8.0.1"}, "send:tcp:10.8.0.1:7:1000000", "source:192.0.2.1")
	b.expect("same", "10.8.0.2")
	b.end()
}

func TestAddressOutsideTheBridgesNetwork(t *testing.T) {
	namespace(t)
	ip(t, "link add br0 type bridge")
	ip(t, "addr add 10.7.0.1/24 dev br0")
	for _, test := range []struct{ flags, want string }{
		{"--net bridge=br0 --ip 10.9.0.2", "husk: --ip 10.9.0.2/24: outside the network of br0 (10.7.0.0/24)\n"},
		{"--net bridge=br0 --ip 10.7.0.1", "husk: --ip 10.7.0.1: br0 has this address itself\n"},
		{"--net bridge=lo --ip 10.7.0.1", "husk: --net bridge=lo: there is no bridge lo here (as root: ip link add lo type bridge)\n"},
	} {
		cmd := exec.Command(husk(t), append(append([]string{"run"}, strings.Fields(test.flags)...), "true")...)
		out, _ := cmd.CombinedOutput()
		if string(out) != test.want || cmd.ProcessState.ExitCode() != 125 {
			t.Errorf("%s: %v: %s", test.flags, cmd.ProcessState, out)
		}
	}
	if list, err := net.Interfaces(); err != nil || len(list) != 2 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}
