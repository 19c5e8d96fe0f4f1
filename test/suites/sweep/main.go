// Command sweep runs the suites natively and in husk and prints where husk
// differs ("make suites").
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"husk/test/suites"
	"husk/test/suites/cpython"
	"husk/test/suites/gostd"
	"husk/test/suites/stressng"
)

func main() {
	r := &suites.Runner{Log: os.Stderr}
	flag.StringVar(&r.Husk, "husk", "bin/husk", "the husk command")
	flag.StringVar(&r.Memory, "m", "1G", "memory of a machine")
	flag.IntVar(&r.CPUs, "cpus", 2, "processors of a machine")
	flag.IntVar(&r.Batch, "batch", 10, "suites a boot")
	flag.IntVar(&r.Repeat, "repeat", 3, "how often to go on behind a test that ends its suite")
	flag.StringVar(&r.Logs, "logs", "", "directory for the outputs")
	flag.StringVar(&r.Known, "native", "", "directory that -logs of an earlier run has filled: what ran natively then is not run again")
	build := flag.String("build", "build/suites", "directory for what is built")
	exceptions := flag.String("exceptions", "test/suites/exceptions.txt", "the tests that need not pass")
	kinds := flag.String("kinds", "go,go-cgo,cpython,stress-ng", "the suites: go, go-cgo, cpython, stress-ng")
	only := flag.String("only", "", "only these suites of each kind, separated by commas: os,os/exec")
	long := flag.Bool("long", false, "long tests as well")
	run := flag.String("run", "", "only tests that match: what go test -run has; for cpython names with wildcards, for stress-ng names, separated by commas")
	stress := stressng.Options{}
	flag.IntVar(&stress.Seconds, "seconds", 5, "how long each of stress-ng's stressors runs")
	flag.Parse()
	stress.Only = patterns(*run)
	ok, err := sweep(r, strings.Split(*kinds, ","), *only, *build, *exceptions,
		gostd.Options{Build: *build, Long: *long, Run: *run}, stress)
	if err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// cgoPackages are those whose tests differ when C takes part.
var cgoPackages = []string{"os", "os/exec", "os/signal", "os/user", "runtime", "syscall", "time", "plugin", "io", "bufio", "internal/poll", "context"}

func sweep(r *suites.Runner, kinds []string, only, build, exceptions string, o gostd.Options, stress stressng.Options) (bool, error) {
	var list []suites.Suite
	for _, kind := range kinds {
		packages := gostd.Packages
		switch kind {
		case "go":
		case "go-cgo":
			o.Cgo, packages = true, cgoPackages
		case "stress-ng":
			packages = stressng.Classes
		case "cpython":
			packages = cpython.Modules
		default:
			return false, fmt.Errorf("no suites of the kind %q", kind)
		}
		if only != "" {
			packages = strings.Split(only, ",")
		}
		var more []suites.Suite
		var err error
		switch kind {
		case "cpython":
			more, err = cpython.Suites(packages, build, patterns(o.Run)...)
		case "stress-ng":
			more, err = stressng.Suites(packages, stress)
		default:
			more, err = gostd.Suites(packages, o)
		}
		if err != nil {
			return false, err
		}
		list = append(list, more...)
	}
	var err error
	if r.Exceptions, err = suites.ReadExceptions(exceptions); err != nil {
		return false, err
	}
	if r.Driver, err = suites.BuildDriver(build); err != nil {
		return false, err
	}
	report, err := r.Run(list)
	if err != nil {
		return false, err
	}
	report.Print(os.Stdout)
	return len(report.Differences) == 0, nil
}

// patterns splits a list at its commas.
func patterns(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}
