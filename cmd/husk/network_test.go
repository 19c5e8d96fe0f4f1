package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"husk/host/instance"
	"husk/host/vmm"
	"husk/spec"
)

// networkOf parses flags and applies them.
func networkOf(t *testing.T, args ...string) (*instance.Config, error) {
	t.Helper()
	var n netFlags
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	n.define(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.release)
	c := &instance.Config{Spec: &spec.Spec{}, Machine: vmm.Machine{CPUs: 1}}
	return c, n.apply(c)
}

func TestNoCardUnlessAskedFor(t *testing.T) {
	for _, args := range [][]string{nil, {"--net", "none"}, {"--hostname", "box"}} {
		c, err := networkOf(t, args...)
		if err != nil || len(c.Machine.Cards) != 0 || c.Spec.Network != nil {
			t.Errorf("%q: %+v, %v", args, c.Spec.Network, err)
		}
	}
}

func TestUserNetworkIsLaidOut(t *testing.T) {
	for _, test := range []struct {
		args []string
		user vmm.UserNetwork
		want spec.Interface
		dns  string
	}{
		{
			[]string{"--net", "user"},
			vmm.UserNetwork{Network: "10.0.2.0/24", Guest: "10.0.2.15", Gateway: "10.0.2.2", DNS: "10.0.2.3"},
			spec.Interface{Addresses: []string{"10.0.2.15/24"}, Gateways: []string{"10.0.2.2"}},
			"10.0.2.3",
		},
		{
			[]string{"--net", "user", "--ip", "192.168.7.2/255.255.255.240", "--dns", "9.9.9.9"},
			vmm.UserNetwork{Network: "192.168.7.0/28", Guest: "192.168.7.2", Gateway: "192.168.7.3", DNS: "192.168.7.4"},
			spec.Interface{Addresses: []string{"192.168.7.2/28"}, Gateways: []string{"192.168.7.3"}},
			"9.9.9.9",
		},
		{
			[]string{"--net", "user", "--ip", "10.1.0.9", "--gateway", "10.1.0.254", "--ip", "fd00:1::9", "--mtu", "1280"},
			vmm.UserNetwork{
				Network: "10.1.0.0/24", Guest: "10.1.0.9", Gateway: "10.1.0.254", DNS: "10.1.0.1",
				Network6: "fd00:1::/64", Gateway6: "fd00:1::2", DNS6: "fd00:1::3",
			},
			spec.Interface{Addresses: []string{"10.1.0.9/24", "fd00:1::9/64"}, Gateways: []string{"10.1.0.254", "fd00:1::2"}, MTU: 1280},
			"10.1.0.1",
		},
	} {
		c, err := networkOf(t, test.args...)
		if err != nil {
			t.Errorf("%q: %v", test.args, err)
			continue
		}
		if got := c.Machine.Cards[0].User; !reflect.DeepEqual(*got, test.user) {
			t.Errorf("%q: %+v", test.args, *got)
		}
		if got := c.Spec.Network; !reflect.DeepEqual(got.Interfaces[0], test.want) || len(got.DNS) != 1 || got.DNS[0] != test.dns {
			t.Errorf("%q: %+v", test.args, *got)
		}
	}
}

func TestSeveralCardsHaveNetworksOfTheirOwn(t *testing.T) {
	c, err := networkOf(t, "--net", "user", "--net", "user,mac=02:00:00:00:00:07,mtu=1400", "--mac", "02:00:00:00:00:01")
	if err != nil {
		t.Fatal(err)
	}
	cards, nets := c.Machine.Cards, c.Spec.Network.Interfaces
	if len(cards) != 2 || cards[0].MAC != "02:00:00:00:00:01" || cards[1].MAC != "02:00:00:00:00:07" || cards[1].MTU != 1400 {
		t.Errorf("%+v", cards)
	}
	if nets[1].Addresses[0] != "10.0.3.15/24" || nets[1].Gateways != nil || nets[0].Gateways == nil {
		t.Errorf("%+v", nets)
	}
}

func TestPortsArePublished(t *testing.T) {
	p := freePort(t)
	for _, test := range []struct {
		text string
		want []vmm.Forward
	}{
		{fmt.Sprintf("%d:80", p), []vmm.Forward{{Protocol: "tcp", Addr: "127.0.0.1", Host: p, GuestPort: 80}}},
		{fmt.Sprintf("0.0.0.0:%d:53/udp", p), []vmm.Forward{{Protocol: "udp", Addr: "0.0.0.0", Host: p, GuestPort: 53}}},
	} {
		c, err := networkOf(t, "-p", test.text)
		if err != nil || !reflect.DeepEqual(c.Machine.Cards[0].User.Forward, test.want) {
			t.Errorf("%s: %+v, %v", test.text, c.Machine.Cards, err)
		}
	}
	list, err := parsePublish("9000-9002:80-82")
	if err != nil || len(list) != 3 || list[2].Host != 9002 || list[2].GuestPort != 82 {
		t.Errorf("%+v, %v", list, err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestNetworkThatCannotBe has one line for each mistake.
func TestNetworkThatCannotBe(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--net", "wifi"}, "--net wifi: not one of user, "},
		{[]string{"--net", "bridge"}, "--net bridge: which?"},
		{[]string{"--net", "user=x"}, "not one of"},
		{[]string{"--net", "none", "--net", "user"}, "--net none: there are other cards"},
		{[]string{"--net", "none,mtu=1400"}, "--net none,mtu=1400: there are other cards"},
		{[]string{"--net", "none", "-p", "8080:80"}, "-p needs a network"},
		{[]string{"--ip", "10.0.0.1"}, "--ip needs a network"},
		{[]string{"--net", "user,speed=9"}, `--net user,speed=9: "speed" is not one of`},
		{[]string{"--net", "tap=far/away"}, "not the name of a device"},
		{[]string{"--net", "user", "--ip", "10.0.0.256"}, "--ip 10.0.0.256: not the address"},
		{[]string{"--net", "user", "--ip", "10.0.0.0/24"}, "--ip 10.0.0.0/24: not the address"},
		{[]string{"--net", "user", "--ip", "10.0.0.255"}, "--ip 10.0.0.255: not the address"},
		{[]string{"--net", "user", "--ip", "10.0.0.1/31"}, "/4 to /29"},
		{[]string{"--net", "user", "--ip", "10.0.0.5", "--ip", "10.0.0.6"}, "one IPv4 address"},
		{[]string{"--net", "user", "--ip", "fd00::5/48"}, "one IPv6 address"},
		{[]string{"--net", "user", "--gateway", "10.9.0.1"}, "--gateway 10.9.0.1: not another address of 10.0.2.0/24"},
		{[]string{"--net", "user", "--gateway", "10.0.2.15"}, "--gateway 10.0.2.15: not another address"},
		{[]string{"--net", "user", "--mac", "01:00:00:00:00:00"}, "--mac 01:00:00:00:00:00: not the MAC"},
		{[]string{"--net", "user", "--mtu", "9000"}, "--mtu 9000: an MTU is"},
		{[]string{"--net", "user", "--dns", "example.org"}, "--dns example.org: not an address"},
		{[]string{"--net", "socket=/no/such/socket"}, "--net socket=/no/such/socket: there is no socket"},
		{[]string{"--hostname", "a b"}, `--hostname "a b": not the name`},
		{[]string{"-p", "80"}, "-p 80: it takes"},
		{[]string{"-p", "80:80/sctp"}, `-p 80:80/sctp: protocol "sctp"`},
		{[]string{"-p", "host:80:80"}, `"host" is not an IPv4 address`},
		{[]string{"-p", "80-82:80-81"}, "not of one length"},
		{[]string{"-p", "0:80"}, `"0" is not a port`},
		{[]string{"-p", "192.0.2.99:8080:80"}, "port 8080/tcp of 192.0.2.99 cannot be had"},
	} {
		_, err := networkOf(t, test.args...)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", test.args, err)
		}
	}
	p := strconv.Itoa(freePort(t))
	if _, err := networkOf(t, "-p", p+":80", "-p", p+":81"); err == nil || !strings.Contains(err.Error(), "led elsewhere") {
		t.Error(err)
	}
}

func TestPortInUseIsNamedWithItsOwner(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("found in /proc")
	}
	me := fmt.Sprintf("(process %d)", os.Getpid())
	name, _ := os.ReadFile("/proc/self/comm")
	for _, at := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Log(err)
			continue
		}
		text := fmt.Sprintf("127.0.0.1:%d:80", l.Addr().(*net.TCPAddr).Port)
		_, err = networkOf(t, "-p", text)
		if err == nil || !strings.HasPrefix(err.Error(), "-p "+text) || !strings.HasSuffix(err.Error(), "in use by "+strings.TrimSpace(string(name))+" "+me) {
			t.Errorf("%s: %v", at, err)
		}
		l.Close()
	}
	u, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := networkOf(t, "-p", fmt.Sprintf("%d:53/udp", u.LocalAddr().(*net.UDPAddr).Port)); err == nil || !strings.HasSuffix(err.Error(), me) {
		t.Error(err)
	}
}

func TestSocketCardIsConnectedAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	c, err := networkOf(t, "--net", "socket="+path, "--ip", "10.0.0.1", "--gateway", "10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	i := c.Spec.Network.Interfaces[0]
	if i.Auto || i.Addresses[0] != "10.0.0.1/24" || i.Gateways[0] != "10.0.0.2" {
		t.Errorf("%+v", i)
	}
	if runtime.GOOS == "linux" {
		f, err := c.Machine.Cards[0].Connect()
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if c, err = networkOf(t, "--net", "socket="+path); err != nil || !c.Spec.Network.Interfaces[0].Auto {
		t.Errorf("%+v, %v", c.Spec.Network, err)
	}
	if _, err = networkOf(t, "--net", "socket="+path, "-p", strconv.Itoa(freePort(t))+":80"); err == nil || !strings.Contains(err.Error(), "-p leads through") {
		t.Error(err)
	}
}
