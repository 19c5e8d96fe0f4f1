package network

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"husk/host/vmm"
)

// Passt is the program that translates between a machine's frames and sockets
// of this host (https://passt.top): the machine then has the host's own
// network, IPv6 with it, and nobody needs a privilege.
type Passt struct {
	Program string // found by Find
	Args    []string
	process *vmm.Process
}

// Find looks for the program in PATH.
func (p *Passt) Find() error {
	path, err := exec.LookPath("passt")
	if err != nil {
		return errors.New("passt is not in PATH (apt-get install passt; --net user needs none)")
	}
	p.Program = path
	return nil
}

// Start starts it and gives the monitor's end of the socket between the two,
// a stream of frames, each behind its length. passt ends with that socket.
func (p *Passt) Start() (*os.File, error) {
	p.Close()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start passt: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "passt"), os.NewFile(uintptr(fds[1]), "passt")
	defer theirs.Close()
	p.process, err = vmm.Start(p.Program, append([]string{"--quiet", "--foreground", "--fd", "3"}, p.Args...), []*os.File{theirs})
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("start passt: %w", err)
	}
	return ours, nil
}

// Complaint is what passt said when it has ended by itself; "" while it runs.
func (p *Passt) Complaint() string {
	if p.process == nil {
		return ""
	}
	select {
	case <-p.process.Done():
		var said []string
		for _, s := range strings.Split(p.process.Complaint(), "; ") {
			if s = strings.TrimSpace(s); s != "" && !strings.Contains(s, "syslog") {
				said = append(said, s)
			}
		}
		return "passt: " + strings.Join(said, "; ")
	default:
		return ""
	}
}

// Close ends it.
func (p *Passt) Close() {
	if p.process != nil {
		p.process.Kill()
		p.process = nil
	}
}

// Dial connects to a socket that somebody carries frames by.
func Dial(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}
