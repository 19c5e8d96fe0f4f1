package apps

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// slimmed runs a script over this machine's files, has husk slim make an image
// of what it used, and runs that: all three print the same.
func slimmed(t *testing.T, memory string, files map[string]string, need ...string) {
	t.Helper()
	bin := husk(t)
	for _, p := range need {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
	// Not below /tmp: a machine has one of its own.
	dir, err := os.MkdirTemp("/var/tmp", "husk-slim")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	store := t.TempDir()
	run := func(args ...string) (string, string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		var out, msg bytes.Buffer
		cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &msg, dir
		cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "XDG_DATA_HOME=" + store, "XDG_CACHE_HOME=" + store}
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %v\n%s%s", args, err, tail(out.String()), tail(msg.String()))
		}
		return out.String(), msg.String()
	}
	want, _ := run("/bin/sh", "test.sh")
	t.Logf("%q", want)
	if got, msg := run(bin, "slim", "-m", memory, "--tag", "slim-test", "/bin/sh", "test.sh"); got != want {
		t.Errorf("while it is slimmed it prints\n%swant\n%s%s", got, want, tail(msg))
	} else if m := regexp.MustCompile(`slim-test:latest: (.*)`).FindStringSubmatch(msg); m != nil {
		t.Log(m[1])
	}
	if got, msg := run(bin, "run", "-m", memory, "image:slim-test"); got != want {
		t.Errorf("the slim image prints\n%swant\n%s%s", got, want, tail(msg))
	}
	if out, _ := run(bin, "image", "verify"); !strings.HasSuffix(out, " 0 problems\n") {
		t.Error(out)
	}
}

func TestSlimPython(t *testing.T) {
	slimmed(t, "512M", map[string]string{"test.sh": "exec /usr/bin/python3 test.py\n", "test.py": `
import hashlib, json, sqlite3, ssl
c = sqlite3.connect(":memory:")
c.execute("create table t (a)")
c.execute("insert into t values (?)", (json.dumps({"a": [1, 2]}),))
print(c.execute("select a from t").fetchone(), ssl.create_default_context().verify_mode, hashlib.sha256(b"a").hexdigest())
`}, "/usr/bin/python3")
}

func TestSlimNginx(t *testing.T) {
	heavy(t)
	slimmed(t, "512M", map[string]string{"test.sh": `
set -e
dir=$(pwd)
mkdir -p /tmp/n && cd /tmp/n
if [ ! -e $dir/key ]; then openssl req -x509 -newkey rsa:2048 -nodes -keyout $dir/key -out $dir/cert -days 30 -subj /CN=localhost 2>/dev/null; fi
sed "s|@|$dir|g" $dir/conf > conf
nginx -c /tmp/n/conf 2>/dev/null
curl -sS --cacert $dir/cert https://localhost:18443/page
curl -sS -o /dev/null -w '%{http_code} %{ssl_verify_result} %{content_type}\n' --cacert $dir/cert https://localhost:18443/none
nginx -c /tmp/n/conf -s quit 2>/dev/null
`, "page": "a page\n", "conf": `
error_log stderr; user root; pid /tmp/n/pid;
events { worker_connections 64; }
http {
	include /etc/nginx/mime.types; access_log off;
	client_body_temp_path /tmp/n/b; proxy_temp_path /tmp/n/p; fastcgi_temp_path /tmp/n/f; uwsgi_temp_path /tmp/n/u; scgi_temp_path /tmp/n/s;
	server { listen 127.0.0.1:18443 ssl; ssl_certificate @/cert; ssl_certificate_key @/key; root @; }
}
`}, "nginx", "curl", "openssl")
}

func TestSlimNode(t *testing.T) {
	heavy(t)
	slimmed(t, "1G", map[string]string{"test.sh": "exec node test.js\n", "test.js": `
const crypto = require('crypto'), http = require('http'), zlib = require('zlib')
const server = http.createServer((q, r) => r.end(zlib.gzipSync('hello ' + q.url)))
server.listen(0, '127.0.0.1', () => http.get({host: '127.0.0.1', port: server.address().port, path: '/x'}, r => {
	const all = []
	r.on('data', d => all.push(d))
	r.on('end', () => {
		console.log(zlib.gunzipSync(Buffer.concat(all)).toString(), crypto.createHash('sha256').update('a').digest('hex'),
			new Intl.NumberFormat('de').format(1234.5))
		server.close()
	})
}))
`}, "node")
}

func TestSlimJava(t *testing.T) {
	heavy(t)
	slimmed(t, "1G", map[string]string{"test.sh": `
[ -e T.class ] || javac T.java
exec java -cp . T
`, "T.java": `
import com.sun.net.httpserver.*;
import java.net.*;
import java.net.http.*;
import java.util.stream.*;

public class T {
	public static void main(String[] a) throws Exception {
		var s = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
		s.createContext("/", x -> { x.sendResponseHeaders(200, 2); x.getResponseBody().write("ok".getBytes()); x.close(); });
		s.start();
		var r = HttpClient.newHttpClient().send(HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + s.getAddress().getPort() + "/")).build(), HttpResponse.BodyHandlers.ofString());
		System.out.println(r.statusCode() + r.body() + IntStream.range(0, 100).parallel().sum() + javax.net.ssl.SSLContext.getDefault().getProtocol());
		System.exit(0);
	}
}
`}, "java", "javac")
}
