package pkgs

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

func TestProxiesAreApts(t *testing.T) {
	for _, v := range []string{"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"} {
		t.Setenv(v, "")
	}
	for _, c := range []struct{ name, conf, address, want string }{
		{"none", ``, "http://m.test/a", ""},
		{"a line", `Acquire::http::Proxy "http://p.test:3128";`, "http://m.test/a", "http://p.test:3128"},
		{"without quotes", `acquire::HTTP::proxy http://p.test:3128/;`, "http://m.test/a", "http://p.test:3128/"},
		{"scopes", "// comment\nAcquire {\n  Retries \"3\";\n  http { /* x */ Proxy \"http://p.test:1\"; Timeout 5; };\n};\nAPT { Get { Assume-Yes \"true\"; } }", "http://m.test/a", "http://p.test:1"},
		{"https goes through http's", `Acquire::http::Proxy "http://p.test:1";`, "https://m.test/a", "http://p.test:1"},
		{"but for its own", "Acquire::http::Proxy \"http://p.test:1\";\nAcquire::https::Proxy \"DIRECT\";", "https://m.test/a", ""},
		{"one host is reached directly", "Acquire::http::Proxy \"http://p.test:1\";\nAcquire::http::Proxy::m.test \"DIRECT\";", "http://m.test/a", ""},
		{"commented out", "#Acquire::http::Proxy \"http://p.test:1\";\n", "http://m.test/a", ""},
		{"no address", `Acquire::http::Proxy "nonsense";`, "http://m.test/a", "!"},
	} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "apt.conf.d"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"90proxy": c.conf, "99proxy.bak": `Acquire::http::Proxy "http://old.test";`} {
			if err := os.WriteFile(filepath.Join(dir, "apt.conf.d", name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		ctx, err := WithProxies(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.address, nil)
		if err != nil {
			t.Fatal(err)
		}
		u, err := proxyOf(r)
		got := ""
		switch {
		case err != nil:
			got = "!"
		case u != nil:
			got = u.String()
		}
		if got != c.want {
			t.Errorf("%s: %q (%v), want %q", c.name, got, err, c.want)
		}
	}
}

func FuzzConf(f *testing.F) {
	f.Add("Acquire::http { Proxy \"x\"; };")
	f.Fuzz(func(_ *testing.T, s string) { parseConf(s, func(string, string) {}) })
}
