package programs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDebianPrograms compares programs from the machine's own disk. Those that
// are not installed are skipped by name. A command runs on the host's files.
func TestDebianPrograms(t *testing.T) {
	scratch := filepath.Join(tools.build, "data")
	makeData(t, scratch)
	commands := []string{
		"/usr/bin/true", "/usr/bin/false", "/usr/bin/echo -n hello world", "/usr/bin/printf %05d\\n 42",
		"/usr/bin/ls -la " + scratch, "/usr/bin/ls -R " + scratch, "/usr/bin/cat " + scratch + "/text",
		"/usr/bin/sort " + scratch + "/text", "/usr/bin/sort -rn " + scratch + "/numbers", "/usr/bin/wc " + scratch + "/text",
		"/usr/bin/head -n 3 " + scratch + "/text", "/usr/bin/tail -n 3 " + scratch + "/text", "/usr/bin/uniq -c " + scratch + "/text",
		"/usr/bin/cut -d: -f1 /etc/passwd", "/usr/bin/sha256sum " + scratch + "/blob", "/usr/bin/md5sum " + scratch + "/blob",
		"/usr/bin/od -c " + scratch + "/numbers", "/usr/bin/base64 " + scratch + "/blob", "/usr/bin/stat -c %n,%s,%a,%U,%h " + scratch + "/text",
		"/usr/bin/find " + scratch, "/usr/bin/du -b " + scratch + "/blob", "/usr/bin/realpath " + scratch + "/../data/link", "/usr/bin/readlink " + scratch + "/link",
		"/usr/bin/basename /a/b.c .c", "/usr/bin/dirname /a/b.c", "/usr/bin/seq 1 1000", "/usr/bin/factor 1234567890123", "/usr/bin/expr 6 * 7",
		"/usr/bin/date -u -d @86400", "/usr/bin/env -i A=B /usr/bin/env", "/usr/bin/id -u", "/usr/bin/whoami", "/usr/bin/comm " + scratch + "/text " + scratch + "/text",
		"/usr/bin/join " + scratch + "/text " + scratch + "/text", "/usr/bin/paste " + scratch + "/text " + scratch + "/numbers", "/usr/bin/fold -w 10 " + scratch + "/text",
		"/usr/bin/nl " + scratch + "/text", "/usr/bin/tac " + scratch + "/text", "/usr/bin/shuf -n 0 " + scratch + "/text", "/usr/bin/cksum " + scratch + "/blob",
		"/usr/bin/test -f " + scratch + "/text", "/usr/bin/cat /no/such/file", "/usr/bin/ls /no/such/file",
		"/usr/bin/grep -n e " + scratch + "/text", "/usr/bin/grep -c nothing " + scratch + "/text", "/usr/bin/sed s/e/E/g " + scratch + "/text",
		"/usr/bin/gawk {s+=$1}END{print(s)} " + scratch + "/numbers", "/usr/bin/mawk {s+=$1}END{print(s)} " + scratch + "/numbers",
		"/usr/bin/tar -cf - -C " + scratch + " --sort=name --mtime=@0 --format=ustar .", "/usr/bin/gzip -nc " + scratch + "/blob", "/usr/bin/xz -c " + scratch + "/blob",
		"/usr/bin/zstd -qc " + scratch + "/blob", "/usr/bin/bzip2 -c " + scratch + "/blob", "/usr/bin/file " + scratch + "/text /usr/bin/file",
		"/usr/bin/openssl dgst -sha512 " + scratch + "/blob", "/usr/bin/openssl version", "/usr/bin/diff " + scratch + "/text " + scratch + "/numbers",
		"/usr/bin/perl -MPOSIX -MData::Dumper -e print(floor(3.7),Dumper([1,{a=>2}]))",
		"/usr/bin/python3 -c import(json)", "/usr/bin/lua5.4 -e print(string.format('%5.2f',math.pi))",
		"/usr/bin/busybox uname -s", "/usr/bin/busybox sh -c exit\\ 3", "/bin/busybox sha1sum " + scratch + "/blob", "/usr/bin/node -e console.log([1,2,3].map(x=>x*x))",
		"/usr/bin/getconf PAGE_SIZE", "/usr/bin/locale -a", "/usr/bin/iconv -f utf-8 -t utf-16 " + scratch + "/text", "/usr/bin/tput -T xterm cols",
	}
	for _, command := range commands {
		args := split(command)
		t.Run(strings.ReplaceAll(filepath.Base(args[0])+" "+strings.Join(args[1:], " "), scratch, "DATA"), func(t *testing.T) {
			if _, err := exec.LookPath(args[0]); err != nil {
				t.Skipf("%s is not installed", args[0])
			}
			compare(t, "", []string{"-r", "/", "-e", "TZ=UTC0", "-e", "LANG=C.UTF-8"}, args...)
		})
	}
}

// split cuts a command at blanks; a backslash keeps one.
func split(command string) []string {
	parts := strings.Split(strings.ReplaceAll(command, `\ `, "\x00"), " ")
	for i := range parts {
		parts[i] = strings.ReplaceAll(parts[i], "\x00", " ")
	}
	return parts
}

func TestPythonModulesWork(t *testing.T) {
	const script = `
import json, hashlib, threading, sqlite3, ssl, sys, os, time, subprocess, zlib, decimal, datetime, random
print(json.dumps({"a": [1, 2.5, None]}), hashlib.sha256(b"x").hexdigest())
out = []
ts = [threading.Thread(target=lambda i=i: out.append(i * i)) for i in range(10)]
[t.start() for t in ts]; [t.join() for t in ts]
print(sorted(out))
db = sqlite3.connect("/tmp/test.db")
db.execute("create table t(a int, b text)")
db.executemany("insert into t values(?, ?)", [(i, str(i)) for i in range(1000)])
db.commit()
print(db.execute("select sum(a), count(*) from t").fetchone(), ssl.OPENSSL_VERSION)
print(zlib.crc32(b"abc"), decimal.Decimal(1) / 3, datetime.datetime(2020, 1, 1).isoformat())
random.seed(1); print(random.random())
os.unlink("/tmp/test.db")
sys.exit(5)
`
	interpreter := "/usr/bin/python3"
	if _, err := os.Stat(interpreter); err != nil {
		t.Skip(interpreter + " is not installed")
	}
	path := filepath.Join(tools.build, "script.py")
	if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Run("host files", func(t *testing.T) { compare(t, "", []string{"-r", "/"}, interpreter, path) })
	t.Run("as a script of its own", func(t *testing.T) {
		own := filepath.Join(tools.build, "script")
		if err := os.WriteFile(own, []byte("#!"+interpreter+"\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
		compare(t, "", []string{"-m", "512M"}, own)
	})
}

func TestSQLiteInTheOverlay(t *testing.T) {
	if _, err := exec.LookPath("/usr/bin/sqlite3"); err != nil {
		t.Skip("/usr/bin/sqlite3 is not installed")
	}
	const sql = `create table t(a integer primary key, b text);
with recursive n(i) as (select 1 union all select i+1 from n where i < 5000) insert into t select i, 'row ' || i from n;
create index x on t(b);
select count(*), sum(a), max(b) from t;
delete from t where a % 3 = 0;
vacuum;
pragma integrity_check;
select count(*) from t where b like 'row 1%';
`
	database := filepath.Join(t.TempDir(), "test.db")
	want := execute(t, sql, "/usr/bin/sqlite3", database)
	got := execute(t, sql, tools.husk, "run", "/usr/bin/sqlite3", "/tmp/test.db")
	if got.stdout != want.stdout || got.status != want.status {
		t.Errorf("got %q status %d, natively %q %d (stderr %q)", got.stdout, got.status, want.stdout, want.status, got.stderr)
	}
}

func TestStandardInputIsByteExact(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	for _, c := range [][]string{{"/usr/bin/cat"}, {"/usr/bin/sha256sum"}, {"/usr/bin/wc", "-c"}, {"/usr/bin/tr", "a-f", "A-F"}} {
		t.Run(filepath.Base(c[0]), func(t *testing.T) { compare(t, big, nil, c...) })
	}
	t.Run("empty", func(t *testing.T) { compare(t, "", nil, "/usr/bin/cat") })
}

// makeData makes the files that the commands read.
func makeData(t *testing.T, dir string) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "sub", "deeper"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "text"), []byte("the quick\nbrown fox\njumps over\nthe lazy dog\n\täöü\n"), 0o640))
	var numbers, blob strings.Builder
	x := uint32(1)
	for i := range 5000 {
		x = x*1664525 + 1013904223
		if i < 500 {
			numbers.WriteString(strings.Repeat("1", int(x>>28)+1) + "\n")
		}
		blob.WriteByte(byte(x >> 24))
		blob.WriteString("compressible")
	}
	must(os.WriteFile(filepath.Join(dir, "numbers"), []byte(numbers.String()), 0o644))
	must(os.WriteFile(filepath.Join(dir, "blob"), []byte(blob.String()), 0o600))
	must(os.WriteFile(filepath.Join(dir, "sub", "deeper", "empty"), nil, 0o755))
	must(os.Symlink("text", filepath.Join(dir, "link")))
}
