// Package cpython makes suites of CPython's own tests, as Debian ships them in
// libpython3.11-testsuite: one suite a module.
package cpython

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"husk/test/suites"
)

// Python is the interpreter that the tests belong to.
const Python = "/usr/bin/python3.11"

const library = "/usr/lib/python3.11/test"

// Modules are those that exercise a kernel.
var Modules = []string{
	"test_os", "test_subprocess", "test_signal", "test_threading", "test_mmap", "test_fcntl", "test_pty", "test_posix",
	"test_io", "test_fileio", "test_file", "test_bufio", "test_memoryio", "test_tempfile", "test_shutil", "test_glob",
	"test_pathlib", "test_posixpath", "test_genericpath", "test_stat", "test_largefile", "test_filecmp", "test_fileinput",
	"test_time", "test_select", "test_selectors", "test_poll", "test_epoll", "test_resource", "test_threadsignals",
	"test_thread", "test_threadedtempfile", "test_threading_local", "test_queue", "test_sched", "test_wait3", "test_wait4",
	"test_fork1", "test_popen", "test_pipes", "test_openpty", "test_eintr", "test_ioctl", "test_syslog", "test_pwd",
	"test_grp", "test_spwd", "test_locale", "test_gc", "test_faulthandler", "test_crypt", "test_getpass", "test_uuid",
	"test_sys", "test_dbm", "test_dbm_gnu", "test_dbm_ndbm", "test_dbm_dumb", "test_shelve", "test_cmd_line",
	"test_cmd_line_script", "test_site", "test_platform", "test_readline", "test_curses", "test_venv", "test_mailbox",
	"test_zipfile", "test_tarfile", "test_zipimport", "test_import", "test_runpy", "test_ctypes", "test_logging",
	"test_lzma", "test_bz2", "test_gzip", "test_zlib", "test_repl", "test_support", "test_script_helper",
	"test_tracemalloc", "test_contextlib", "test_pdb", "test_regrtest", "test_socket", "test_socketserver",
	"test_asyncio.test_unix_events", "test_asyncio.test_subprocess", "test_asyncio.test_events",
	"test_asyncio.test_selector_events", "test_asyncio.test_base_events", "test_asyncio.test_streams",
	"test_asyncio.test_runners", "test_asyncio.test_threads", "test_asyncio.test_locks", "test_asyncio.test_sendfile",
	"test_asyncio.test_buffered_proto", "test_concurrent_futures", "test_multiprocessing_fork",
	"test_multiprocessing_spawn", "test_multiprocessing_forkserver", "test_multiprocessing_main_handling",
}

// slow are those that take minutes natively.
var slow = map[string]bool{
	"test_multiprocessing_fork": true, "test_multiprocessing_spawn": true, "test_multiprocessing_forkserver": true,
	"test_multiprocessing_main_handling": true, "test_concurrent_futures": true, "test_venv": true, "test_zipfile": true,
	"test_tarfile": true, "test_asyncio.test_events": true, "test_subprocess": true,
}

//go:embed driver.py
var driver []byte

// Installed says whether the tests are there.
func Installed() bool {
	_, err := os.Stat(filepath.Join(library, "test_os.py"))
	return err == nil
}

// Suites makes a suite of each module. What it needs is put into build. With
// only, tests that match none of its patterns are left out.
func Suites(modules []string, build string, only ...string) ([]suites.Suite, error) {
	if !Installed() {
		return nil, fmt.Errorf("CPython's tests: no %s/test_os.py: install libpython3.11-testsuite", library)
	}
	build, err := filepath.Abs(build)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(build, 0o755); err != nil {
		return nil, err
	}
	script := filepath.Join(build, "cpython-driver.py")
	if err := os.WriteFile(script, driver, 0o644); err != nil {
		return nil, err
	}
	var list []suites.Suite
	for _, m := range modules {
		seconds := 1800
		if slow[m] {
			seconds = 5400
		}
		// One test may take a third of its suite's time, so that the others
		// still run when it hangs.
		args := []string{Python, script, m, strconv.Itoa(seconds / 3)}
		for _, o := range only {
			args = append(args, "+"+o)
		}
		list = append(list, suites.Suite{
			Name: "cpython/" + m, Args: args, Dir: "/tmp", Seconds: seconds, Verdicts: Verdicts,
			Without: func(tests []string) []string {
				all := args[:len(args):len(args)]
				for _, t := range tests {
					all = append(all, "-"+t)
				}
				return all
			},
		})
	}
	return list, nil
}

var event = regexp.MustCompile(`(?m)^@@ (start|pass|fail|skip) (\S+) `)

// Verdicts reads what driver.py says. A module that imports another one's tests
// may run one more than once: the worst verdict counts.
func Verdicts(output []byte) map[string]suites.Verdict {
	verdicts := map[string]suites.Verdict{}
	failed := map[string]bool{}
	for _, m := range event.FindAllSubmatch(output, -1) {
		test := string(m[2])
		switch string(m[1]) {
		case "start":
			verdicts[test] = suites.Unfinished
		case "pass":
			verdicts[test] = suites.Pass
		case "skip":
			verdicts[test] = suites.Skip
		default:
			failed[test] = true
		}
	}
	for test := range failed {
		verdicts[test] = suites.Fail
	}
	return verdicts
}
