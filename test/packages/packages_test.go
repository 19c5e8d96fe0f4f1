// Package packages makes the catalogue's packages, from the mirrors that apt's
// sources on this machine name, and runs each one's smoke test in a machine:
// some small ones always, all with $HUSK_PACKAGES ("make test-packages", where
// $HUSK_PACKAGES may be names). It needs bin/husk, or the command that $HUSK
// names. A mirror that is missing or ill is no failure: it is said.
package packages

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"husk/host/pkgs"
	"husk/test/command"
)

// patience is for one machine: an emulated one on a busy host is slow.
const patience = 5 * time.Minute

// TestMain gives what CI runs a cache that nobody fills but this. All packages
// are too much to be fetched each time.
func TestMain(m *testing.M) {
	if os.Getenv("HUSK_PACKAGES") != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "husk-packages")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("XDG_CACHE_HOME", dir)
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// fetching is how long the mirror may take for everything.
func fetching() time.Duration {
	if os.Getenv("HUSK_PACKAGES") == "" {
		return 4 * time.Minute
	}
	return time.Hour
}

// wanted are the recipes to test.
func wanted(t *testing.T) []pkgs.Recipe {
	t.Helper()
	all, err := pkgs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	which := os.Getenv("HUSK_PACKAGES")
	return slices.DeleteFunc(slices.Clone(all), func(r pkgs.Recipe) bool {
		switch which {
		case "":
			return !r.Test.CI
		case "all":
			return false
		}
		return !slices.Contains(strings.FieldsFunc(which, func(r rune) bool { return strings.ContainsRune(", ", r) }), r.Name)
	})
}

// skipWithoutMirror fetches what the recipes are made of into the command's own
// cache, so that what is tested depends on no network any more.
func skipWithoutMirror(t *testing.T, recipes []pkgs.Recipe) {
	t.Helper()
	sources, err := pkgs.Sources(pkgs.AptDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) == 0 {
		t.Skipf("apt's sources in %s name no mirror", pkgs.AptDir())
	}
	c, err := pkgs.Cache()
	if err != nil {
		t.Fatal(err)
	}
	u, err := c.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	ctx, cancel := context.WithTimeout(context.Background(), fetching())
	defer cancel()
	if ctx, err = pkgs.WithProxies(ctx, pkgs.AptDir()); err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		// In what CI runs, the state of its machine and the mirror's is no
		// failure of ours.
		if err != nil && (errors.Is(err, pkgs.ErrMirror) || ctx.Err() != nil || os.Getenv("HUSK_PACKAGES") == "") {
			t.Skipf("the mirror that apt's sources name is no help: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ix, err := pkgs.Open(ctx, u, pkgs.Options{Sources: sources})
	must(err)
	if p := ix.Find("base-files", ""); os.Getenv("HUSK_PACKAGES") == "" && (p == nil || !strings.HasPrefix(p.Version, "12.")) {
		t.Skipf("recipes are tested with Debian 12, and the mirrors that apt's sources name have %v (%q)", p, ix.Warnings)
	}
	for _, r := range recipes {
		packages := r.Packages
		if len(packages) == 0 {
			packages = []string{r.Name}
		}
		ps, err := (&pkgs.Resolver{Index: ix, Without: r.Without}).Closure(packages)
		if err != nil {
			t.Errorf("%s: %v", r.Name, err)
			continue
		}
		must(pkgs.FetchAll(ctx, u, ps, nil))
	}
}

func TestCatalogue(t *testing.T) {
	bin := command.Quiet(t)
	recipes := wanted(t)
	if len(recipes) == 0 {
		t.Fatal("no recipe has such a name")
	}
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	skipWithoutMirror(t, recipes)
	for _, r := range recipes {
		t.Run(r.Name, func(t *testing.T) {
			began := time.Now()
			out, err := exec.Command(bin, "pkg", "get", r.Name).CombinedOutput()
			if err != nil {
				t.Fatalf("husk pkg get %s: %v\n%s", r.Name, err, out)
			}
			made := time.Since(began)
			if r.Test.Port != 0 {
				serve(t, bin, r)
			} else {
				program(t, bin, r)
			}
			line, _, _ := strings.Cut(string(out), "\n")
			t.Logf("%s; made in %.1f s, tested in %.1f s", line, made.Seconds(), (time.Since(began) - made).Seconds())
			_ = exec.Command(bin, "pkg", "rm", r.Name).Run() // leaves room for the next
		})
	}
}

// A program finds its libraries in packages where the machine has none, or
// others.
func TestProgramFindsItsLibrariesInPackages(t *testing.T) {
	bin := command.Quiet(t)
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	skipWithoutMirror(t, []pkgs.Recipe{{Name: "bc"}})
	base := filepath.Join(t.TempDir(), "base")
	for _, args := range [][]string{{"pkg", "create", "base", "bc"}, {"image", "cp", "deb/base:/", base}} {
		if out, err := exec.Command(bin, args...).CombinedOutput(); err != nil {
			t.Fatalf("husk %q: %v\n%s", args, err, out)
		}
	}
	program := filepath.Join(t.TempDir(), "calculate")
	if err := os.Rename(filepath.Join(base, "usr/bin/bc"), program); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "run", "--sysroot", base, program, "-q")
	cmd.Stdin = strings.NewReader("6*7\n")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "42\n") {
		t.Errorf("%v: %v\n%s", cmd.Args, err, tail(out))
	}
}

func arguments(r pkgs.Recipe) []string {
	args := []string{"run"}
	if r.Test.Memory != "" {
		args = append(args, "-m", r.Test.Memory)
	}
	if r.Test.Entrypoint != "" {
		args = append(args, "--entrypoint", r.Test.Entrypoint)
	}
	return args
}

// program compares what it prints.
func program(t *testing.T, bin string, r pkgs.Recipe) {
	t.Helper()
	stdin := []byte(r.Test.Stdin)
	if r.Test.Stdin64 != "" {
		var err error
		if stdin, err = base64.StdEncoding.DecodeString(r.Test.Stdin64); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, append(append(arguments(r), "deb:"+r.Name), r.Test.Args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), r.Test.Expect) {
		t.Errorf("%v: %v\n%s\nwant in it: %q", cmd.Args, err, tail(out), r.Test.Expect)
	}
}

// serve starts the server as anybody would, and is its client from outside.
func serve(t *testing.T, bin string, r pkgs.Recipe) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	args := append(append(arguments(r), "-p", port+":"+strconv.Itoa(r.Test.Port), "deb:"+r.Name), r.Test.Args...)
	cmd := exec.CommandContext(ctx, bin, args...)
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// The port takes connections before the machine does, and forwards those
	// after seconds only: new ones are faster. Each is given more time, for
	// all may be slow.
	got, last := "", errors.New("it was never asked")
	for wait := time.Second; got == ""; wait += wait / 2 {
		select {
		case err := <-ended:
			t.Fatalf("%v ended: %v\n%s", cmd.Args, err, tail(printed.Bytes()))
		case <-time.After(100 * time.Millisecond):
		}
		if ctx.Err() != nil {
			break
		}
		var answer string
		if answer, last = ask(ctx, address, r.Test, wait); strings.Contains(answer, r.Test.Expect) {
			got = answer
		} else if last == nil {
			last = fmt.Errorf("it answers %q", answer)
		}
	}
	cancel()
	<-ended
	if got == "" {
		t.Errorf("%v gives no answer with %q: %v\n%s", cmd.Args, r.Test.Expect, last, tail(printed.Bytes()))
	}
}

// ask sends something and reads until there is what is expected, or no more.
func ask(ctx context.Context, address string, s *pkgs.Smoke, wait time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	end, _ := ctx.Deadline()
	if err := c.SetDeadline(end); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, s.Send); err != nil {
		return "", err
	}
	var got []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(got, []byte(s.Expect)) {
		n, err := c.Read(buf)
		got = append(got, buf[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return string(got), err
		}
	}
	return string(got), nil
}

func tail(b []byte) string {
	if len(b) > 3000 {
		b = b[len(b)-3000:]
	}
	return string(b)
}
