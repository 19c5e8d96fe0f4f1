package trace

// signature is a parsed description of a call.
type signature struct {
	name string
	args []argument
	ret  string
}

// argument is one argument: its direction and type, as calls.txt explains.
type argument struct {
	name string
	// atExit: the call writes it, so it is shown when the call returns.
	atExit bool
	// kind is the type without direction, detail what follows ':' or '/',
	// and array what stands in brackets.
	kind, detail, array string
	pointer             bool // a struct behind a pointer
	// length is the index of the argument that detail or array names, or -1.
	length int
}

// parseSignature reads "fd fd, buf out/count, count size".
func parseSignature(name, args, ret string) *signature {
	s := &signature{name: name, ret: ret}
	for args != "" {
		one := args
		args = ""
		for i := 0; i+1 < len(one); i++ {
			if one[i] == ',' && one[i+1] == ' ' {
				one, args = one[:i], one[i+2:]
				break
			}
		}
		s.args = append(s.args, parseArgument(one))
	}
	for i := range s.args {
		s.args[i].length = s.index(s.args[i].array)
		if s.args[i].length < 0 {
			s.args[i].length = s.index(s.args[i].detail)
		}
	}
	return s
}

func (s *signature) index(name string) int {
	for i := range s.args {
		if name != "" && s.args[i].name == name {
			return i
		}
	}
	return -1
}

func parseArgument(text string) argument {
	var a argument
	name, kind := cut(text, ' ')
	a.name = name
	switch {
	case hasPrefix(kind, "<>"):
		a.pointer, kind = true, kind[2:]
	case hasPrefix(kind, "<"):
		a.pointer, kind = true, kind[1:]
	case hasPrefix(kind, ">"):
		a.pointer, a.atExit, kind = true, true, kind[1:]
	case hasPrefix(kind, "out/"):
		a.atExit = true
	}
	if k, array := cut(kind, '['); array != "" {
		kind, a.array = k, array[:len(array)-1]
	}
	if k, d := cut(kind, '/'); d != "" {
		kind, a.detail = k, d
	} else if k, d := cut(kind, ':'); d != "" {
		kind, a.detail = k, d
	}
	a.kind = kind
	return a
}

func cut(s string, c byte) (before, after string) {
	for i := range len(s) {
		if s[i] == c {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func hasPrefix(s, p string) bool { return len(s) >= len(p) && s[:len(p)] == p }
