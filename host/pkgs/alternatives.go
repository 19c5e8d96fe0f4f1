package pkgs

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// alternative is what a package's script would have told update-alternatives.
type alternative struct {
	link, target string
	priority     int
}

// alternatives reads those calls of update-alternatives in a script that say
// everything in plain words, or in variables and loops over plain words: the
// script itself is never run.
func alternatives(script string) []alternative {
	lines := strings.Split(strings.ReplaceAll(script, "\\\n", " "), "\n")
	r := &scriptReader{left: maxScriptLines}
	r.read(lines, constants(lines))
	return r.all
}

// maxScriptLines bounds the lines that loops are read as.
const maxScriptLines = 20000

var (
	assignment = regexp.MustCompile(`^\s*(?:local\s+|readonly\s+|export\s+)?([A-Za-z_]\w*)=(.*)$`)
	loop       = regexp.MustCompile(`^\s*for\s+([A-Za-z_]\w*)\s+in\s+([^;]*?)\s*(?:;\s*do\b.*)?$`)
	loopBegins = regexp.MustCompile(`(^|[\s;])do(\s|;|$)`)
	loopEnds   = regexp.MustCompile(`(^|[\s;])done(\s|;|$)`)
	variable   = regexp.MustCompile(`\$(\w+|\{\w+\})`)
)

// constants are the variables that get a value once, and a plain one.
func constants(lines []string) map[string]string {
	values, times := map[string]string{}, map[string]int{}
	for _, l := range lines {
		if m := assignment.FindStringSubmatch(l); m != nil {
			times[m[1]]++
			v := strings.TrimSpace(m[2])
			if n := len(v); n > 1 && (v[0] == '"' || v[0] == '\'') && v[n-1] == v[0] {
				v = v[1 : n-1]
			} else if strings.ContainsAny(v, " \t;&|") {
				continue
			}
			values[m[1]] = v
		}
	}
	maps.DeleteFunc(values, func(k, v string) bool { return times[k] > 1 || strings.ContainsAny(v, "$`\"'\\") })
	return values
}

type scriptReader struct {
	all  []alternative
	left int
}

// read goes through lines once for every word of a loop around them.
func (r *scriptReader) read(lines []string, vars map[string]string) {
	for i := 0; i < len(lines); i++ {
		if r.left--; r.left < 0 {
			return
		}
		line := substitute(lines[i], vars)
		if m := loop.FindStringSubmatch(line); m != nil {
			end, depth, begun := i, 0, false
			for ; end < len(lines); end++ {
				if loopBegins.MatchString(lines[end]) {
					depth, begun = depth+1, true
				}
				if loopEnds.MatchString(lines[end]) {
					depth--
				}
				if begun && depth <= 0 {
					break
				}
			}
			if end == len(lines) || end == i {
				continue
			}
			for _, word := range strings.Fields(m[2]) {
				inner := maps.Clone(vars)
				inner[m[1]] = strings.Trim(word, `"'`)
				r.read(lines[i+1:end], inner)
			}
			i = end
			continue
		}
		if _, rest, ok := strings.Cut(line, "update-alternatives"); ok {
			r.install(rest)
		}
	}
}

func substitute(line string, vars map[string]string) string {
	return variable.ReplaceAllStringFunc(line, func(s string) string {
		if v, ok := vars[strings.Trim(s, "${}")]; ok {
			return v
		}
		return s
	})
}

// install reads the arguments of --install.
func (r *scriptReader) install(arguments string) {
	f := strings.Fields(strings.NewReplacer(`"`, "", `'`, "").Replace(arguments))
	i := slices.Index(f, "--install")
	if i < 0 || len(f) < i+5 {
		return
	}
	n, err := strconv.Atoi(strings.TrimRight(f[i+4], ";"))
	a := alternative{f[i+1], f[i+3], n}
	if err == nil && plainAbsolute(a.link) && plainAbsolute(a.target) {
		r.all = append(r.all, a)
	}
}

func plainAbsolute(p string) bool {
	return strings.HasPrefix(p, "/") && path.Clean(p) == p && !strings.ContainsAny(p, "$`*?;")
}
