// Command guest is the program that the tests of the network run in machines
// and, where they need a peer, on the host. Its arguments are steps; each
// prints one line, and the first that fails ends it.
//
//	tcp:PORT udp:PORT      echo on this port from now on
//	source:ADDR            the own address with which ADDR would be reached
//	send:tcp:ADDR:PORT:N   send N bytes there and compare what comes back
//	send:udp:ADDR:PORT:N   the same in N datagrams, each sent until it comes back
//	lookup:NAME            resolve a name as /etc/resolv.conf says
//	lookup:NAME@ADDR:PORT  ask this server instead
//	file:PATH              print a file, its lines joined by "; "
//	tell:ADDR:PORT         tell the guest there to end
//	until:PATH:TEXT        wait until the file has the text
//	hostname               print the name of the machine
//	until-told             wait for a connection to one of the ports that says "end"
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// patience bounds each step: a machine under emulation on a busy host is slow.
var patience = 60 * time.Second

// told is closed by a connection that says so.
var told = make(chan struct{}, 16)

func main() {
	if os.Getenv("HUSK_NIGHTLY") != "" {
		patience *= 10
	}
	for _, step := range os.Args[1:] {
		text, err := run(step)
		if err != nil {
			fmt.Printf("%s: %v\n", step, err)
			os.Exit(1)
		}
		fmt.Println(text)
	}
}

func run(step string) (string, error) {
	verb, rest, _ := strings.Cut(step, ":")
	switch verb {
	case "tcp":
		l, err := net.Listen("tcp", ":"+rest)
		if err != nil {
			return "", err
		}
		go serve(l)
		return "listening", nil
	case "udp":
		c, err := net.ListenPacket("udp", ":"+rest)
		if err != nil {
			return "", err
		}
		go reflect(c)
		return "listening", nil
	case "source":
		c, err := net.Dial("udp", net.JoinHostPort(rest, "9"))
		if err != nil {
			return "", err
		}
		defer c.Close()
		host, _, _ := net.SplitHostPort(c.LocalAddr().String())
		return host, nil
	case "send":
		protocol, rest, _ := strings.Cut(rest, ":")
		i := strings.LastIndexByte(rest, ':')
		n, err := strconv.Atoi(rest[i+1:])
		if err != nil {
			return "", err
		}
		if protocol == "udp" {
			return "same", datagrams(rest[:i], n)
		}
		return "same", stream(rest[:i], n)
	case "lookup":
		return lookup(rest)
	case "file":
		b, err := os.ReadFile(rest)
		return strings.Join(strings.Split(strings.TrimSpace(string(b)), "\n"), "; "), err
	case "until":
		path, want, _ := strings.Cut(rest, ":")
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if b, err := os.ReadFile(path); err != nil || strings.Contains(string(b), want) {
				return "there", err
			}
		}
		return "", os.ErrDeadlineExceeded
	case "hostname":
		return os.Hostname()
	case "tell":
		c, err := net.DialTimeout("tcp", rest, patience)
		if err != nil {
			return "", err
		}
		defer c.Close()
		_, err = c.Write([]byte("end"))
		return "told", err
	case "until-told":
		select {
		case <-told:
			return "told", nil
		case <-time.After(patience):
			return "", os.ErrDeadlineExceeded
		}
	}
	return "", fmt.Errorf("no such step")
}

func serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			var first [3]byte
			if n, err := io.ReadFull(c, first[:]); err != nil || string(first[:]) == "end" {
				if err == nil {
					told <- struct{}{}
					return
				}
				_, _ = c.Write(first[:n])
				return
			}
			_, _ = c.Write(first[:])
			_, _ = io.Copy(c, c)
		}()
	}
}

func reflect(c net.PacketConn) {
	p := make([]byte, 65536)
	for {
		n, from, err := c.ReadFrom(p)
		if err != nil {
			return
		}
		_, _ = c.WriteTo(p[:n], from)
	}
}

// stream sends n bytes while it reads them back, and compares.
func stream(to string, n int) error {
	c, err := net.DialTimeout("tcp", to, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	data := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(data)
	done := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		if err == nil {
			err = c.(*net.TCPConn).CloseWrite()
		}
		done <- err
	}()
	back, err := io.ReadAll(c)
	if err != nil {
		return fmt.Errorf("after %d bytes: %w", len(back), err)
	}
	if !bytes.Equal(back, data) {
		return fmt.Errorf("%d bytes came back for %d, not the same", len(back), n)
	}
	return <-done
}

// datagrams sends each of n datagrams again until its echo is there.
func datagrams(to string, n int) error {
	c, err := net.Dial("udp", to)
	if err != nil {
		return err
	}
	defer c.Close()
	end := time.Now().Add(patience)
	p := make([]byte, 65536)
	for i := range n {
		text := fmt.Sprintf("datagram %d", i)
		for got := ""; got != text; {
			if time.Now().After(end) {
				return os.ErrDeadlineExceeded
			}
			if _, err := c.Write([]byte(text)); err != nil {
				return err
			}
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			if k, err := c.Read(p); err == nil {
				got = string(p[:k])
			}
		}
	}
	return nil
}

func lookup(rest string) (string, error) {
	name, server, at := strings.Cut(rest, "@")
	r := &net.Resolver{PreferGo: true}
	if at {
		r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := r.LookupIP(ctx, "ip4", name)
	if err != nil {
		return "", err
	}
	var all []string
	for _, a := range list {
		all = append(all, a.String())
	}
	return strings.Join(all, " "), nil
}
