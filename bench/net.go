package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"husk/bench/linux"
)

// The measurements over the network ("make bench BENCH=-net"): servers in husk
// and in a Linux guest, on the same QEMU with the same card and QEMU's user
// network behind it, under the same load from here. A plugin of QEMU counts
// instructions, of the kernel and of the server, whatever the clock does.

// service is a server and the port that the load goes to.
type service struct {
	name    string
	command []string // in the guests
	port    int
	udp     bool
}

var services = []service{
	{"redis-server", []string{"/usr/bin/redis-server", "/redis.conf"}, 6379, false},
	{"nginx", []string{"/usr/sbin/nginx", "-e", "/dev/null", "-c", "/nginx.conf"}, 80, false},
	{"echo", []string{"/netserve"}, 7, true},
	{"sink", []string{"/netserve"}, 9, false},
	{"source", []string{"/netserve"}, 19, false},
}

const nginxConf = `daemon off; worker_processes 1; user root; error_log /dev/null; pid /tmp/nginx.pid;
events {}
http {
	access_log off; sendfile on; keepalive_requests 10000000;
	client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3; uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;
	server { listen 80 reuseport; root /www; }
}
`

// netMeasurements are the rows of the table: a load that serves n requests.
var netMeasurements = []struct {
	title   string
	service string
	n       int
	load    func(addr string, n int) error
}{
	{"redis GET, one client", "redis-server", 3000, redis(1, "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n")},
	{"redis SET, one client", "redis-server", 3000, redis(1, "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$3\r\nabc\r\n")},
	{"redis GET, 50 clients", "redis-server", 5000, redis(50, "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n")},
	{"redis SET, 50 clients", "redis-server", 5000, redis(50, "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$3\r\nabc\r\n")},
	{"nginx, 1 KiB, kept connection", "nginx", 2000, web(false)},
	{"nginx, 1 KiB, a connection each", "nginx", 1000, web(true)},
	{"UDP echo of 64 bytes", "echo", 3000, udpEcho},
	{"a mebibyte received", "sink", 64, toSink},
	{"a mebibyte sent", "source", 64, fromSource},
}

// guest is a machine with its servers: where they are and what it has executed.
type guest struct {
	addr  map[string]string
	count string // file
}

func (g *guest) executed() (uint64, error) {
	b, err := os.ReadFile(g.count)
	if err != nil || len(b) < 8 {
		return 0, fmt.Errorf("%s: %d bytes: %w", g.count, len(b), err)
	}
	return binary.LittleEndian.Uint64(b), nil
}

// measureNet prints the table.
func measureNet(ctx context.Context, w io.Writer, o options) error {
	ctx, cancel := context.WithTimeout(ctx, 4*timeout)
	defer cancel()
	n, err := prepareNet(ctx, o)
	if err != nil {
		return err
	}
	ours, theirs := map[string]uint64{}, map[string]uint64{}
	if err := n.huskGuests(ctx, o.husk, ours); err != nil {
		return err
	}
	if err := n.linuxGuest(ctx, theirs); err != nil {
		return err
	}
	fmt.Fprintf(w, "| guest instructions a request, over the network | husk | Linux 6.1 | ratio |\n|---|--:|--:|--:|\n")
	for _, m := range netMeasurements {
		a, b := ours[m.title], theirs[m.title]
		fmt.Fprintf(w, "| %s | %d | %d | %.2f |\n", m.title, a, b, float64(a)/float64(max(b, 1)))
	}
	return nil
}

// netBench is what both kinds of guests share.
type netBench struct {
	dir, plugin       string
	netserve, netinit string
	files             map[string]string // by their names in the guest
}

func prepareNet(ctx context.Context, o options) (*netBench, error) {
	dir, err := filepath.Abs(o.build)
	if err != nil {
		return nil, err
	}
	n := &netBench{dir: dir, plugin: filepath.Join(dir, "count.so"), netserve: filepath.Join(dir, "netserve"), netinit: filepath.Join(dir, "netinit")}
	for _, s := range services[:2] {
		if _, err := os.Stat(s.command[0]); err != nil {
			return nil, fmt.Errorf("%s: %w (install nginx-light and redis-server)", s.name, err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, c := range [][]string{
		{"-shared", "-fPIC", "-o", n.plugin, "bench/programs/count.c"},
		{"-static", "-o", n.netserve, "bench/programs/netserve.c"},
		{"-static", "-o", n.netinit, "bench/programs/netinit.c"},
	} {
		cmd := exec.CommandContext(ctx, "gcc", append([]string{"-O2"}, c...)...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("gcc: %w", err)
		}
	}
	conf, page := filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "page")
	redisConf := filepath.Join(dir, "redis.conf")
	n.files = map[string]string{"/nginx.conf": conf, "/redis.conf": redisConf, "/www/page": page, "/etc/passwd": filepath.Join(dir, "passwd"), "/etc/group": filepath.Join(dir, "group")}
	for name, text := range map[string]string{
		conf: nginxConf, redisConf: "save \"\"\nprotected-mode no\nbind 0.0.0.0\n", page: strings.Repeat("x", 1023) + "\n",
		filepath.Join(dir, "passwd"): "root:x:0:0:root:/:/bin/sh\n", filepath.Join(dir, "group"): "root:x:0:\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// counter makes the file that the plugin counts in.
func (n *netBench) counter(name string) (string, error) {
	path := filepath.Join(n.dir, name+".count")
	return path, os.WriteFile(path, make([]byte, 8), 0o644)
}

// huskGuests runs each server in a machine of its own.
func (n *netBench) huskGuests(ctx context.Context, husk string, results map[string]uint64) error {
	husk, err := filepath.Abs(husk)
	if err != nil {
		return err
	}
	for _, s := range services {
		count, err := n.counter(s.name)
		if err != nil {
			return err
		}
		wrapper := filepath.Join(n.dir, "qemu-count")
		script := fmt.Sprintf("#!/bin/sh\nexec qemu-system-x86_64 \"$@\" -plugin %s,count=%s\n", n.plugin, count)
		if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
			return err
		}
		port, err := freePort(s.udp)
		if err != nil {
			return err
		}
		publish := fmt.Sprintf("%d:%d", port, s.port)
		if s.udp {
			publish += "/udp"
		}
		var yaml strings.Builder
		program := s.command[0]
		if program == "/netserve" {
			program = n.netserve
		}
		fmt.Fprintf(&yaml, "program: %s\nmemory: 512M\nmapdirs:\n", program)
		root := filepath.Join(n.dir, "root")
		for name, path := range n.files {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			to := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(to, data, 0o644); err != nil {
				return err
			}
		}
		fmt.Fprintf(&yaml, "  %q: /\n", root+"/*")
		config := filepath.Join(n.dir, s.name+".yaml")
		if err := os.WriteFile(config, []byte(yaml.String()), 0o644); err != nil {
			return err
		}
		args := append([]string{"run", "--accel", "tcg", "--machine", "q35", "-c", config, "-p", publish, program}, s.command[1:]...)
		cmd := exec.CommandContext(ctx, husk, args...)
		cmd.Env = append(os.Environ(), "HUSK_QEMU="+wrapper)
		cmd.Stderr = os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		if err := cmd.Start(); err != nil {
			return err
		}
		g := &guest{addr: map[string]string{s.name: fmt.Sprintf("127.0.0.1:%d", port)}, count: count}
		err = g.measure(ctx, s, results)
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if err != nil {
			return fmt.Errorf("husk, %s: %w", s.name, err)
		}
	}
	return nil
}

// linuxGuest runs all servers in one machine, in which all but one are idle.
func (n *netBench) linuxGuest(ctx context.Context, results map[string]uint64) error {
	kernel, err := linux.Kernel(ctx, filepath.Join(n.dir, "linux"))
	if err != nil {
		return err
	}
	count, err := n.counter("linux")
	if err != nil {
		return err
	}
	files := map[string]string{"/usr/bin/redis-server": services[0].command[0], "/usr/sbin/nginx": services[1].command[0], "/netserve": n.netserve}
	for name, path := range n.files {
		files[name] = path
	}
	initramfs, err := linux.NetInitramfs(n.dir, kernel, n.netinit,
		[]string{"/usr/bin/redis-server /redis.conf", "/usr/sbin/nginx -e /dev/null -c /nginx.conf", "/netserve"},
		files, services[0].command[0], services[1].command[0])
	if err != nil {
		return err
	}
	g := &guest{addr: map[string]string{}, count: count}
	forward := ""
	for _, s := range services {
		port, err := freePort(s.udp)
		if err != nil {
			return err
		}
		protocol := "tcp"
		if s.udp {
			protocol = "udp"
		}
		g.addr[s.name] = fmt.Sprintf("127.0.0.1:%d", port)
		forward += fmt.Sprintf(",hostfwd=%s:%s-10.0.2.15:%d", protocol, g.addr[s.name], s.port)
	}
	cmd, err := linux.Start(ctx, kernel, initramfs, forward, "-plugin", n.plugin+",count="+count)
	if err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for _, s := range services {
		if err := g.measure(ctx, s, results); err != nil {
			return fmt.Errorf("in Linux, %s: %w", s.name, err)
		}
	}
	return nil
}

// measure puts the loads on a server once it answers.
func (g *guest) measure(ctx context.Context, s service, results map[string]uint64) error {
	addr := g.addr[s.name]
	for _, m := range netMeasurements {
		if m.service != s.name {
			continue
		}
		var err error
		for range 60 { // until it has booted
			if err = m.load(addr, max(m.n/50, 1)); err == nil || ctx.Err() != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.title, err)
		}
		before, err := g.executed()
		if err != nil {
			return err
		}
		if err := m.load(addr, m.n); err != nil {
			return fmt.Errorf("%s: %w", m.title, err)
		}
		after, err := g.executed()
		if err != nil {
			return err
		}
		results[m.title] = (after - before) / uint64(m.n)
		fmt.Fprintf(os.Stderr, "%s: %d\n", m.title, results[m.title]) // it takes minutes
	}
	return nil
}

func freePort(udp bool) (int, error) {
	if udp {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).Port, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// patience bounds one connection's work.
const patience = time.Minute

func dial(network, addr string) (net.Conn, error) {
	c, err := net.DialTimeout(network, addr, 10*time.Second)
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	return c, err
}

// redis returns a load of one command by several clients.
func redis(clients int, command string) func(string, int) error {
	return func(addr string, n int) error {
		// One connection after the other: QEMU's user network has a backlog of
		// one, and what it drops comes again after seconds.
		all := make([]*redisClient, clients)
		for i := range all {
			c, err := dial("tcp", addr)
			if err != nil {
				return err
			}
			defer c.Close()
			all[i] = &redisClient{c, bufio.NewReader(c)}
			if err := all[i].ask(command); err != nil {
				return err
			}
		}
		var wg sync.WaitGroup
		errs := make([]error, clients)
		for i, c := range all {
			wg.Go(func() {
				for range n/clients - 1 {
					if errs[i] = c.ask(command); errs[i] != nil {
						return
					}
				}
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	}
}

type redisClient struct {
	c net.Conn
	r *bufio.Reader
}

func (c *redisClient) ask(command string) error {
	if _, err := io.WriteString(c.c, command); err != nil {
		return err
	}
	line, err := c.r.ReadString('\n')
	if err == nil && line[0] == '$' && line[1] != '-' {
		_, err = c.r.ReadString('\n')
	}
	return err
}

// web returns a load of requests for a page of 1 KiB.
func web(close bool) func(string, int) error {
	return func(addr string, n int) error {
		client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: close, DisableCompression: true}}
		defer client.CloseIdleConnections()
		for range n {
			r, err := client.Get("http://" + addr + "/page")
			if err != nil {
				return err
			}
			k, err := io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
			if err != nil || k != 1024 {
				return fmt.Errorf("%s, %d bytes: %w", r.Status, k, err)
			}
		}
		return nil
	}
}

func udpEcho(addr string, n int) error {
	c, err := dial("udp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	var b [64]byte
	for range n {
		if _, err := c.Write(b[:]); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, err := c.Read(b[:]); err != nil {
			return err
		}
	}
	return nil
}

func toSink(addr string, n int) error {
	c, err := dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	b := make([]byte, 1<<20)
	for range n {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	if k, err := c.Read(b); k != 1 {
		return fmt.Errorf("no answer: %w", err)
	}
	return nil
}

func fromSource(addr string, n int) error {
	c, err := dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte{byte(n)}); err != nil {
		return err
	}
	k, err := io.Copy(io.Discard, c)
	if err != nil || k != int64(n)<<20 {
		return fmt.Errorf("%d bytes: %w", k, err)
	}
	return nil
}
