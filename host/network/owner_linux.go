package network

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Owner says who stands in the way of binding to a port of this host: the
// program and its process, or at least the user. "" is for nobody that can be
// found.
func Owner(protocol string, at netip.AddrPort) string {
	inode, uid, ok := holder(protocol, at)
	if !ok {
		return ""
	}
	if name, pid := process(inode); pid != 0 {
		return fmt.Sprintf("%s (process %d)", name, pid)
	}
	return "a process of user " + uid
}

// holder finds the socket in the tables of /proc/net (proc_net_tcp.txt of
// Linux's documentation).
func holder(protocol string, at netip.AddrPort) (inode, uid string, ok bool) {
	for _, table := range []string{protocol, protocol + "6"} {
		f, err := os.Open("/proc/net/" + table)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(f)
		lines.Scan() // the titles
		for lines.Scan() {
			field := strings.Fields(lines.Text())
			if len(field) < 10 || protocol == "tcp" && field[3] != "0A" { // TCP_LISTEN
				continue
			}
			local, ok := kernelAddr(field[1])
			if ok && local.Port() == at.Port() && (local.Addr() == at.Addr() || local.Addr().IsUnspecified() || at.Addr().IsUnspecified()) {
				f.Close()
				return field[9], field[7], true
			}
		}
		f.Close()
	}
	return "", "", false
}

// kernelAddr reads "0100007F:1F90": words of the machine's byte order, which
// is little-endian on all that husk runs on.
func kernelAddr(s string) (netip.AddrPort, bool) {
	a, p, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(a)
	port, err2 := strconv.ParseUint(p, 16, 16)
	if err != nil || err2 != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	ip, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), ok
}

// process finds who has the socket open; of several the first.
func process(inode string) (name string, pid int) {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, l := range links {
		if to, err := os.Readlink(l); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		dir := filepath.Dir(filepath.Dir(l))
		pid, _ = strconv.Atoi(filepath.Base(dir))
		comm, _ := os.ReadFile(dir + "/comm")
		return strings.TrimSpace(string(comm)), pid
	}
	return "", 0
}
