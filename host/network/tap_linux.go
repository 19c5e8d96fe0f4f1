package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// OpenTap opens the tap device name, and makes it if there is none; "" is a
// new one under a name of its own. With bridge it becomes a port of that
// bridge and takes its MTU over. queues is how many queue pairs are wanted,
// mtu what the device's shall be, 0 to leave that alone.
func OpenTap(name, bridge string, queues, mtu int) (*Tap, error) {
	what := "tap device " + name
	if name == "" {
		what = "a tap device"
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", what, err)
	}
	defer unix.Close(s)
	if bridge != "" {
		n, err := deviceMTU(s, bridge)
		if err != nil {
			return nil, noBridge(bridge)
		}
		if mtu == 0 {
			mtu = n
		}
	}
	t, err := attach(name, queues)
	if err != nil {
		return nil, tapError(what, name, err)
	}
	if err := t.enable(s, bridge, mtu); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// attach opens the queues. A device that is there already may be of one
// queue, or of several, and has to be opened as it is.
func attach(name string, queues int) (*Tap, error) {
	if name == "" {
		name = "husk%d"
	}
	t, err := attachAs(name, max(queues, 1), queues > 1)
	if errors.Is(err, unix.EINVAL) {
		if queues > 1 {
			return attachAs(name, 1, false)
		}
		return attachAs(name, 1, true)
	}
	return t, err
}

func attachAs(name string, queues int, multi bool) (*Tap, error) {
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if multi {
		flags |= unix.IFF_MULTI_QUEUE
	}
	t := &Tap{Name: name}
	for range queues {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Close()
			return nil, err
		}
		r, err := unix.NewIfreq(t.Name)
		if err == nil {
			r.SetUint16(flags)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
		}
		if err != nil {
			unix.Close(fd)
			t.Close()
			return nil, err
		}
		t.Name = r.Name()
		t.Files = append(t.Files, os.NewFile(uintptr(fd), t.Name))
	}
	return t, nil
}

// tapError says what to do about an error.
func tapError(what, name string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		if name == "" {
			name = "NAME"
		}
		return fmt.Errorf("open %s: it takes root, or a device of yours (as root, once: ip tuntap add dev %s mode tap user $USER)", what, name)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("open %s: it is in use already", what)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("open %s: this host has no /dev/net/tun (modprobe tun)", what)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("open %s: it is no tap device or has no such name", what)
	}
	return fmt.Errorf("open %s: %w", what, err)
}

// enable sets MTU and bridge and turns the device on, as far as that is not
// so already: the owner of a device need not be root.
func (t *Tap) enable(s int, bridge string, mtu int) error {
	now, err := deviceMTU(s, t.Name)
	if err != nil {
		return fmt.Errorf("tap device %s: %w", t.Name, err)
	}
	if bridge != "" {
		index, err := deviceIndex(s, t.Name)
		if err == nil {
			var r *unix.Ifreq
			if r, err = unix.NewIfreq(bridge); err == nil {
				r.SetUint32(index)
				err = unix.IoctlIfreq(s, unix.SIOCBRADDIF, r)
			}
		}
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
			return noBridge(bridge)
		}
		if err != nil {
			return fmt.Errorf("make tap device %s a port of bridge %s: %w", t.Name, bridge, err)
		}
	}
	t.MTU = now
	if mtu != 0 && mtu != now {
		r, _ := unix.NewIfreq(t.Name)
		r.SetUint32(uint32(mtu))
		if err := unix.IoctlIfreq(s, unix.SIOCSIFMTU, r); err != nil {
			return fmt.Errorf("set the MTU of tap device %s to %d: %w", t.Name, mtu, err)
		}
		t.MTU = mtu
	}
	r, _ := unix.NewIfreq(t.Name)
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, r); err != nil {
		return fmt.Errorf("tap device %s: %w", t.Name, err)
	}
	if flags := r.Uint16(); flags&unix.IFF_UP == 0 {
		r.SetUint16(flags | unix.IFF_UP)
		if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r); err != nil {
			return fmt.Errorf("turn tap device %s on: %w (as root: ip link set %s up)", t.Name, err, t.Name)
		}
	}
	return nil
}

func noBridge(name string) error {
	return fmt.Errorf("there is no bridge %s here (as root: ip link add %s type bridge)", name, name)
}

func deviceMTU(s int, name string) (int, error) {
	r, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(s, unix.SIOCGIFMTU, r)
	}
	if err != nil {
		return 0, err
	}
	return int(r.Uint32()), nil
}

func deviceIndex(s int, name string) (uint32, error) {
	r, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(s, unix.SIOCGIFINDEX, r)
	}
	if err != nil {
		return 0, err
	}
	return r.Uint32(), nil
}

// Assign gives the host's end of a tap an IPv4 address.
func (t *Tap) Assign(p netip.Prefix) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	mask := ^uint32(0) << (32 - p.Bits())
	ip := p.Addr().As4()
	for _, x := range []struct {
		request uint
		value   [4]byte
	}{
		{unix.SIOCSIFADDR, ip},
		{unix.SIOCSIFNETMASK, [4]byte{byte(mask >> 24), byte(mask >> 16), byte(mask >> 8), byte(mask)}},
	} {
		r, _ := unix.NewIfreq(t.Name)
		if err := r.SetInet4Addr(x.value[:]); err == nil {
			err = unix.IoctlIfreq(s, x.request, r)
			if err != nil {
				return fmt.Errorf("give tap device %s the address %s: %w", t.Name, p, err)
			}
		}
	}
	return nil
}
