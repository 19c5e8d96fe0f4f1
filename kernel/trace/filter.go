package trace

import "errors"

// Filter is a set of system call numbers. Its zero value selects none.
type Filter struct {
	bits    [8]uint64
	unknown bool // numbers past the table
}

// Has reports whether a call is shown.
func (f *Filter) Has(nr uint64) bool {
	if nr >= 512 {
		return f.unknown
	}
	return f.bits[nr/64]>>(nr%64)&1 != 0
}

// ParseFilter reads the list of strace's -e trace=: names and classes
// ("file" or "%file") separated by commas, "all", "none", and a leading "!"
// that inverts the whole.
func ParseFilter(list string, describe Describe) (Filter, error) {
	var f Filter
	invert := hasPrefix(list, "!")
	if invert {
		list = list[1:]
	}
	if list == "" {
		list = "all"
	}
	for list != "" {
		var word string
		word, list = cut(list, ',')
		if err := f.add(word, describe); err != nil {
			return f, err
		}
	}
	if invert {
		for i := range f.bits {
			f.bits[i] = ^f.bits[i]
		}
		f.unknown = !f.unknown
	}
	return f, nil
}

func (f *Filter) add(word string, describe Describe) error {
	switch word {
	case "all":
		for i := range f.bits {
			f.bits[i] = ^uint64(0)
		}
		f.unknown = true
		return nil
	case "none", "":
		return nil
	}
	class := word
	if hasPrefix(class, "%") {
		class = class[1:]
	}
	found := false
	for nr := range uint64(512) {
		name, _, _, classes := describe(nr)
		if name != "" && (name == word || hasWord(classes, class)) {
			f.bits[nr/64] |= 1 << (nr % 64)
			found = true
		}
	}
	if !found {
		return errors.New("no system call or class \"" + word + "\"")
	}
	return nil
}

func hasWord(list, word string) bool {
	for list != "" {
		var one string
		one, list = cut(list, ' ')
		if one == word {
			return true
		}
	}
	return false
}
