// Command compat is the compatibility sweep ("make compat"): it runs every ELF
// executable of the given directories with a safe argument, natively and in
// husk, many programs a boot, compares output and status byte for byte, and
// prints the score and the list of differences.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"husk/test/compat/job"
)

func main() {
	husk := flag.String("husk", "bin/husk", "the husk command")
	driver := flag.String("driver", "build/compat-driver", "the driver, a static binary")
	dirs := flag.String("dirs", "/usr/bin,/usr/sbin", "directories to sweep, separated by commas")
	batch := flag.Int("batch", 100, "programs a boot")
	only := flag.String("only", "", "only programs whose path contains this")
	minimum := flag.Float64("min", 0, "fail below this score in percent")
	flag.Parse()
	s := &sweep{husk: *husk, driver: *driver, batch: *batch}
	score, err := s.run(strings.Split(*dirs, ","), *only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		os.Exit(1)
	}
	if score < *minimum {
		fmt.Fprintf(os.Stderr, "compat: the score is below %.1f %%\n", *minimum)
		os.Exit(1)
	}
}

// run sweeps the directories and returns the score in percent.
func (s *sweep) run(dirs []string, only string) (float64, error) {
	programs, err := executables(dirs, only)
	if err != nil {
		return 0, err
	}
	baseline, skipped, err := s.baseline(programs)
	if err != nil {
		return 0, err
	}
	fmt.Printf("%d executables, %d of them answer natively, each time the same\n", len(programs), len(baseline))
	got, err := s.inHusk(baseline)
	if err != nil {
		return 0, err
	}
	return report(os.Stdout, baseline, got, skipped), nil
}

// program is one executable with the argument that it answers natively.
type program struct {
	args   []string
	native job.Result
	forks  bool // it starts other processes
}

// unsafe are programs that are not run whatever the argument: they act on the
// machine, and some take any argument for consent.
var unsafe = map[string]bool{
	"halt": true, "poweroff": true, "reboot": true, "shutdown": true, "init": true, "telinit": true, "runlevel": true,
	"kexec": true, "qemu-system-x86_64": true, "qemu-system-i386": true, "fsfreeze": true, "blkdiscard": true,
	"systemctl": true, "dpkg-reconfigure": true, "start-stop-daemon": true, "killall5": true, "wall": true, "write": true,
}

// executables lists the ELF executables of the directories, each file once.
func executables(dirs []string, only string) ([]string, error) {
	seen := map[string]bool{}
	var list []string
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if unsafe[e.Name()] || !strings.Contains(path, only) {
				continue
			}
			real, err := filepath.EvalSymlinks(path)
			if err != nil || seen[real] || !isProgram(real) {
				continue
			}
			seen[real] = true
			list = append(list, path)
		}
	}
	sort.Strings(list)
	return list, nil
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	magic := make([]byte, 4)
	_, err = f.Read(magic)
	return err == nil && bytes.Equal(magic, []byte("\x7fELF"))
}
