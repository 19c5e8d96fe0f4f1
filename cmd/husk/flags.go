package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// parseSize reads a size as docker does: a number, perhaps with a fraction,
// and b, k, m, g or t of either case, perhaps followed by b or ib.
func parseSize(s string) (int64, error) {
	number := strings.ToLower(strings.TrimSpace(s))
	number = strings.TrimSuffix(number, "b")
	number = strings.TrimSuffix(number, "i")
	shift := 0
	if n := len(number); n > 0 {
		if i := strings.IndexByte("kmgt", number[n-1]); i >= 0 {
			shift = 10 * (i + 1)
			number = number[:n-1]
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(v >= 0) || strings.ContainsAny(number, "xp_in") {
		return 0, fmt.Errorf("%q is no size (as in 64M or 2G)", s)
	}
	if v *= float64(int64(1) << shift); v >= 1<<62 {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return int64(v), nil
}

// sizeFlag is a flag that holds a size in bytes.
type sizeFlag int64

func (f *sizeFlag) Type() string   { return "SIZE" }
func (f *sizeFlag) String() string { return formatSize(int64(*f)) }

func (f *sizeFlag) Set(s string) error {
	v, err := parseSize(s)
	if err != nil {
		return err
	}
	if v == 0 {
		return errors.New("a machine needs memory")
	}
	*f = sizeFlag(v)
	return nil
}

// formatSize writes whole units where it can.
func formatSize(n int64) string {
	for i, unit := range "GMK" {
		if size := int64(1) << (30 - 10*i); n >= size && n%size == 0 {
			return strconv.FormatInt(n/size, 10) + string(unit)
		}
	}
	return strconv.FormatInt(n, 10)
}

// environment makes the program's environment: what every program expects,
// the user's language and time zone, and then the flags in their order.
// K=V sets, K alone takes the value from here.
func environment(home string, terminal bool, flags []string, lookup func(string) (string, bool)) []string {
	env := []string{"PATH=" + defaultPath, "HOME=" + home}
	set := func(k, v string) {
		for i, e := range env {
			if strings.HasPrefix(e, k+"=") {
				env[i] = k + "=" + v
				return
			}
		}
		env = append(env, k+"="+v)
	}
	inherited := []string{
		"LANG", "LANGUAGE", "LC_ALL", "LC_ADDRESS", "LC_COLLATE", "LC_CTYPE", "LC_IDENTIFICATION", "LC_MEASUREMENT",
		"LC_MESSAGES", "LC_MONETARY", "LC_NAME", "LC_NUMERIC", "LC_PAPER", "LC_TELEPHONE", "LC_TIME", "TZ",
	}
	if terminal {
		set("TERM", "xterm")
		inherited = append(inherited, "TERM")
	}
	for _, k := range inherited {
		if v, ok := lookup(k); ok {
			set(k, v)
		}
	}
	for _, e := range flags {
		k, v, ok := strings.Cut(e, "=")
		if !ok {
			if v, ok = lookup(k); !ok {
				continue
			}
		}
		set(k, v)
	}
	return env
}

// defaultPath is where programs are looked for inside a machine.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
