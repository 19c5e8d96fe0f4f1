package vmm

import (
	"net"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWidenBacklogs hands a socket that listens with a backlog of one to a
// process that accepts nothing.
func TestWidenBacklogs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Listen(int(f.Fd()), 1); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cat")
	cmd.ExtraFiles = []*os.File{f}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("%v", err)
	}
	defer cmd.Wait()
	defer in.Close()
	(&Process{pid: cmd.Process.Pid}).WidenBacklogs()
	// Of a listening socket, this field is how many may wait.
	info, err := unix.GetsockoptTCPInfo(int(f.Fd()), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || info.Sacked <= 1 {
		t.Errorf("%d may wait to be accepted, %v", info.Sacked, err)
	}
}
