// Package qemu starts machines under QEMU. It turns a vmm.Machine into the
// shortest command line that will do; everything else about the process is
// host/vmm's. Nothing here has a name on disk: kernel, run specification and
// streams are inherited descriptors.
package qemu

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"husk/host/vmm"
)

// Program is the QEMU for guests of this architecture.
const Program = "qemu-system-x86_64"

// ExitPort is the port of the isa-debug-exit device: a write of v ends QEMU
// with status v<<1|1.
const ExitPort = 0xf4

// ErrMissing is wrapped by the error of a machine without QEMU.
var ErrMissing = errors.New("not found in PATH: install it, with 'apt-get install qemu-system-x86', 'dnf install qemu-system-x86' or 'brew install qemu'")

// Find gives the path of QEMU: $HUSK_QEMU, or the one in PATH.
func Find() (string, error) {
	name := Program
	if s := os.Getenv("HUSK_QEMU"); s != "" {
		name = s
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("start a machine: %s: %w", name, ErrMissing)
	}
	return path, nil
}

// Start starts the machine.
func Start(m *vmm.Machine) (*vmm.Process, error) {
	path, err := Find()
	if err != nil {
		return nil, err
	}
	m, done, err := join(m)
	if err != nil {
		return nil, err
	}
	defer done()
	m, hangUp, err := connect(m)
	if err != nil {
		return nil, err
	}
	defer hangUp()
	args, files := Command(m)
	p, err := vmm.Start(path, args, files)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

// connect opens the sockets behind network cards.
func connect(m *vmm.Machine) (*vmm.Machine, func(), error) {
	connected := *m
	connected.Cards = slices.Clone(m.Cards)
	hangUp := func() {
		for i := range connected.Cards {
			if f := connected.Cards[i].Stream; f != nil {
				f.Close()
			}
		}
	}
	for i := range connected.Cards {
		c := &connected.Cards[i]
		if c.Connect == nil {
			continue
		}
		f, err := c.Connect()
		if err != nil {
			hangUp()
			return nil, nil, err
		}
		c.Stream = f
	}
	return &connected, hangUp, nil
}

// Command gives the arguments for m and the files that become descriptors 3, 4, ….
func Command(m *vmm.Machine) (args []string, files []*os.File) {
	b := builder{pci: m.Type == "q35"}
	// What is not there need not be set up: on microvm without ACPI tables
	// and option ROMs QEMU and its firmware start 4 ms faster, and the
	// virtio-mmio devices stand on the kernel's command line. The PIT stays
	// for the calibration of the TSC, the clock chip for the time of day.
	machine := "microvm,x-option-roms=off,acpi=off"
	if b.pci {
		machine = "q35,smbus=off,sata=off,usb=off,vmport=off,hpet=off"
	}
	accel, cpu := "tcg,thread=multi", "max"
	if m.Accel != "tcg" {
		accel, cpu = m.Accel, "host"
	}
	if m.ICount {
		accel = "tcg,thread=single"
		b.add("-icount", "shift=0,sleep=off")
	}
	b.add("-M", machine)
	b.add("-accel", accel)
	b.add("-cpu", cpu)
	b.add("-smp", strconv.Itoa(m.CPUs))
	b.add("-m", strconv.FormatInt((m.Memory+1023)/1024, 10)+"k")
	if m.ICount {
		// Idle time is not real then: drivers shall not go to sleep.
		b.add("-append", "husk.poll")
	} else {
		b.add("-append", "husk.launch_ns="+strconv.FormatInt(time.Now().UnixNano(), 10))
	}
	b.add("-nodefaults", "-no-user-config", "-no-reboot")
	if !b.pci {
		b.add("-global", "virtio-mmio.force-legacy=false") // registers of virtio 1, not those from before it
	}
	b.add("-display", "none")
	if runtime.GOOS == "linux" { // the sandbox is seccomp's
		b.add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
	}
	b.add("-kernel", b.path(m.Kernel))
	b.add("-initrd", b.path(m.Spec))
	b.add("-device", "isa-debug-exit,iobase="+strconv.Itoa(ExitPort)+",iosize=4")
	b.add("-chardev", b.socket("serial", m.Serial))
	b.add("-serial", "chardev:serial")
	b.virtio("virtio-serial", "max_ports="+strconv.Itoa(len(m.Ports)+1))
	for i, p := range m.Ports {
		id := "port" + strconv.Itoa(i)
		b.add("-chardev", b.socket(id, p.File))
		b.add("-device", "virtserialport,chardev="+id+",name="+comma(p.Name))
	}
	for i, d := range m.Disks {
		id := "disk" + strconv.Itoa(i)
		readonly := ""
		if d.Readonly {
			// Nobody else writes it either: images are never changed in place.
			readonly = ",read-only=on,file.locking=off"
		}
		file, format := comma(d.Path), "raw"
		if len(d.Parts) > 0 {
			format = "vmdk"
		}
		if d.File != nil {
			file = b.path(d.File)
		}
		b.add("-drive", "if=none,format="+format+",id="+id+",file="+file+readonly)
		b.virtio("virtio-blk", "drive="+id)
	}
	for i, s := range m.Shares {
		id := "share" + strconv.Itoa(i)
		readonly := ""
		if s.Readonly {
			readonly = ",readonly=on"
		}
		b.add("-fsdev", "local,security_model=none,multidevs=remap,id="+id+",path="+comma(s.Path)+readonly)
		b.virtio("virtio-9p", "fsdev="+id+",mount_tag="+comma(s.Tag))
	}
	for i := range m.Cards {
		b.card("net"+strconv.Itoa(i), &m.Cards[i])
	}
	b.virtio("virtio-rng", "")
	if m.GDB != 0 {
		b.add("-gdb", "tcp:127.0.0.1:"+strconv.Itoa(m.GDB), "-S")
	}
	return b.args, b.files
}

type builder struct {
	pci   bool
	args  []string
	files []*os.File
}

func (b *builder) add(args ...string) { b.args = append(b.args, args...) }

// fd makes f inherited and gives its number there.
func (b *builder) fd(f *os.File) string {
	b.files = append(b.files, f)
	return strconv.Itoa(2 + len(b.files))
}

func (b *builder) path(f *os.File) string { return "/dev/fd/" + b.fd(f) }

func (b *builder) socket(id string, f *os.File) string {
	return "socket,id=" + id + ",fd=" + b.fd(f)
}

// virtio adds a device on the bus that the machine has.
func (b *builder) virtio(device, options string) {
	if b.pci {
		device += "-pci,disable-legacy=on"
	} else {
		device += "-device"
	}
	if options != "" {
		device += "," + options
	}
	b.add("-device", device)
}

// card adds a network card and the network behind it.
func (b *builder) card(id string, c *vmm.Card) {
	options := "netdev=" + id
	switch {
	case c.User != nil:
		b.add("-netdev", userNetwork(id, c.User))
	case c.Stream != nil:
		// Not "stream", which QEMU has since 7.2 alone.
		b.add("-netdev", "socket,id="+id+",fd="+b.fd(c.Stream))
	case len(c.Tap) == 1:
		b.add("-netdev", "tap,id="+id+",fd="+b.fd(c.Tap[0]))
	default:
		fds := make([]string, len(c.Tap))
		for i, f := range c.Tap {
			fds[i] = b.fd(f)
		}
		b.add("-netdev", "tap,id="+id+",fds="+strings.Join(fds, ":"))
		options += ",mq=on"
	}
	if c.MAC != "" {
		options += ",mac=" + c.MAC
	}
	if c.MTU != 0 {
		options += ",host_mtu=" + strconv.Itoa(c.MTU)
	}
	if b.pci {
		options += ",romfile=" // nobody boots from it
	}
	b.virtio("virtio-net", options)
}

func userNetwork(id string, u *vmm.UserNetwork) string {
	net := "user,id=" + id + ",net=" + u.Network + ",host=" + u.Gateway + ",dns=" + u.DNS + ",dhcpstart=" + u.Guest
	if u.Network6 == "" {
		net += ",ipv6=off"
	} else {
		net += ",ipv6-net=" + u.Network6 + ",ipv6-host=" + u.Gateway6 + ",ipv6-dns=" + u.DNS6
	}
	for _, f := range u.Forward {
		net += ",hostfwd=" + f.Protocol + ":" + f.Addr + ":" + strconv.Itoa(f.Host) + "-" + u.Guest + ":" + strconv.Itoa(f.GuestPort)
	}
	return net
}

// comma doubles commas, which separate QEMU's options.
func comma(s string) string { return strings.ReplaceAll(s, ",", ",,") }
