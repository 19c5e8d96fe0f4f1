package pkgs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// proxies are what apt.conf(5) says of them, by the names of its tree in lower
// case: acquire::http::proxy, and below that one for a host alone.
type proxies map[string]string

type proxiesKey struct{}

// WithProxies has downloads go through the proxies that apt's configuration
// below dir names, before those of the environment.
func WithProxies(ctx context.Context, dir string) (context.Context, error) {
	files := []string{}
	parts, err := os.ReadDir(filepath.Join(dir, "apt.conf.d"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return ctx, err
	}
	for _, e := range parts {
		// As apt does: other endings are editors' and packagers' remains.
		if ext := filepath.Ext(e.Name()); ext == "" || ext == ".conf" {
			files = append(files, filepath.Join(dir, "apt.conf.d", e.Name()))
		}
	}
	p := proxies{}
	for _, f := range append(files, filepath.Join(dir, "apt.conf")) {
		b, err := os.ReadFile(f)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			continue
		}
		if err != nil {
			return ctx, err
		}
		parseConf(string(b), func(name, value string) {
			if name = strings.ToLower(name); strings.HasPrefix(name, "acquire::http") && strings.Contains(name, "::proxy") {
				p[name] = value
			}
		})
	}
	return context.WithValue(ctx, proxiesKey{}, p), nil
}

// proxyOf is the proxy for a request.
func proxyOf(r *http.Request) (*url.URL, error) {
	p, _ := r.Context().Value(proxiesKey{}).(proxies)
	names := []string{"acquire::" + r.URL.Scheme + "::proxy"}
	if r.URL.Scheme == "https" {
		names = append(names, "acquire::http::proxy")
	}
	for _, n := range names {
		for _, name := range []string{n + "::" + strings.ToLower(r.URL.Hostname()), n} {
			v, ok := p[name]
			if !ok || v == "" {
				continue
			}
			if strings.EqualFold(v, "DIRECT") {
				return nil, nil
			}
			u, err := url.Parse(v)
			if err != nil || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) || u.Host == "" {
				return nil, fmt.Errorf("apt's proxy %q is no address of one", v)
			}
			return u, nil
		}
	}
	return http.ProxyFromEnvironment(r)
}

// parseConf reads apt.conf(5): names of a tree with :: between, values in
// quotes or not, scopes in braces. What cannot be read is passed over: apt has
// more in these files than is of use here.
func parseConf(s string, set func(name, value string)) {
	var scopes []string
	name := ""
	join := func(n string) string { return strings.Join(append(slices.Clone(scopes), n), "::") }
	var words []string
	end := func() {
		if len(words) >= 2 {
			set(join(words[0]), words[1])
		}
		words = nil
	}
	for s != "" {
		switch {
		case strings.HasPrefix(s, "//"), s[0] == '#':
			_, s, _ = strings.Cut(s, "\n")
			continue
		case strings.HasPrefix(s, "/*"):
			_, s, _ = strings.Cut(s[2:], "*/")
			continue
		case strings.ContainsRune(" \t\r\n", rune(s[0])):
		case s[0] == ';':
			end()
		case s[0] == '{':
			name = ""
			if len(words) > 0 {
				name = words[0]
			}
			scopes, words = append(scopes, name), nil
		case s[0] == '}':
			end()
			if len(scopes) > 0 {
				scopes = scopes[:len(scopes)-1]
			}
		case s[0] == '"':
			var v string
			v, s, _ = strings.Cut(s[1:], `"`)
			words = append(words, v)
			continue
		default:
			n := strings.IndexAny(s, " \t\r\n;{}\"")
			if n < 0 {
				n = len(s)
			}
			words, s = append(words, s[:n]), s[n:]
			continue
		}
		s = s[1:]
	}
}
