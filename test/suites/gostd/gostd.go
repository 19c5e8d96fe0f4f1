// Package gostd makes suites of the tests of Go's standard library, compiled
// from the local GOROOT.
package gostd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"husk/test/suites"
)

// Packages are those whose tests exercise a kernel, without the network.
var Packages = []string{
	"os", "os/exec", "os/signal", "os/user", "syscall", "time", "internal/poll", "internal/syscall/unix",
	"internal/testenv", "path/filepath", "io", "io/fs", "io/ioutil", "bufio", "sync", "sync/atomic", "context",
	"runtime", "runtime/debug", "runtime/pprof", "runtime/trace", "testing", "testing/fstest", "log", "log/slog",
	"debug/buildinfo", "debug/dwarf", "debug/elf", "debug/gosym", "debug/macho", "debug/pe", "debug/plan9obj",
	"mime", "mime/multipart", "embed", "expvar", "flag", "plugin", "text/template", "html/template",
	"encoding/binary", "encoding/json", "encoding/gob", "encoding/csv", "encoding/hex", "encoding/xml",
	"encoding/base64", "hash", "hash/crc32", "hash/maphash", "sort", "strings", "bytes", "strconv", "unicode/utf8",
	"archive/tar", "archive/zip", "compress/gzip", "compress/flate", "compress/bzip2", "compress/lzw",
	"crypto/sha256", "crypto/sha512", "crypto/md5", "crypto/aes", "crypto/rand", "crypto/ed25519", "math", "math/big",
	"math/rand", "math/bits", "slices", "maps", "unique", "weak", "iter", "reflect", "errors", "fmt", "regexp",
	"container/list", "go/parser", "go/token", "image/png", "index/suffixarray", "container/heap",
}

// Options say how the tests are built and run.
type Options struct {
	Build string // directory for the binaries
	Long  bool   // not only the short tests
	Cgo   bool
	Run   string // -test.run
}

// Suites compiles the tests of packages.
func Suites(packages []string, o Options) ([]suites.Suite, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	goroot := strings.TrimSpace(string(root))
	build, err := filepath.Abs(o.Build)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(build, 0o755); err != nil {
		return nil, err
	}
	var list []suites.Suite
	for _, p := range packages {
		cgo := "0"
		name := "go/" + p
		if o.Cgo {
			cgo, name = "1", "go-cgo/"+p
		}
		dir := filepath.Join(goroot, "src", p)
		binary := filepath.Join(build, strings.ReplaceAll(name, "/", "_")+".test")
		cmd := exec.Command("go", "test", "-c", "-o", binary, p)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo, "GOFLAGS=")
		if text, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go test -c %s: %w: %s", p, err, text)
		}
		if _, err := os.Stat(binary); err != nil {
			continue // no tests
		}
		args := []string{binary, "-test.v=test2json", "-test.timeout=0", "-test.paniconexit0"}
		seconds := 900
		if o.Long {
			seconds = 1800
		} else {
			args = append(args, "-test.short")
		}
		if o.Run != "" {
			args = append(args, "-test.run="+o.Run)
		}
		list = append(list, suites.Suite{
			Name: name, Args: args, Dir: dir, Seconds: seconds, Verdicts: Verdicts,
			Env: []string{"GOROOT=" + goroot, "PATH=" + goroot + "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Without: func(tests []string) []string {
				return append(args[:len(args):len(args)], "-test.skip="+pattern(tests))
			},
		})
	}
	return list, nil
}

// pattern is the -test.skip that leaves out tests, subtests with all of theirs
// beside them: the flag has one pattern a level.
func pattern(tests []string) string {
	var names []string
	for _, t := range tests {
		top, _, _ := strings.Cut(t, "/")
		names = append(names, strings.ReplaceAll(regexp.QuoteMeta(top), `\*`, ".*"))
	}
	return "^(" + strings.Join(names, "|") + ")$"
}

// In its mode for test2json a test binary puts ^V before what it says itself,
// wherever in a line that is.
var event = regexp.MustCompile(`\x16 *(?:--- (PASS|FAIL|SKIP): (\S+)|=== RUN +(\S+))`)

// Verdicts reads the output of a test binary.
func Verdicts(output []byte) map[string]suites.Verdict {
	verdicts := map[string]suites.Verdict{}
	for _, m := range event.FindAllSubmatch(output, -1) {
		switch string(m[1]) {
		case "PASS":
			verdicts[string(m[2])] = suites.Pass
		case "FAIL":
			verdicts[string(m[2])] = suites.Fail
		case "SKIP":
			verdicts[string(m[2])] = suites.Skip
		default:
			verdicts[string(m[3])] = suites.Unfinished
		}
	}
	return verdicts
}
