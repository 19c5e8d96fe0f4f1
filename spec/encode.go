package spec

import "strconv"

// An encoder appends objects and their members.
type encoder struct{ b []byte }

func (e *encoder) object(o object) {
	e.b = append(e.b, '{')
	for _, m := range o.members(nil) {
		if m.omit && empty(m.value) {
			continue
		}
		e.key(m.name)
		e.value(m.value)
	}
	e.b = append(e.b, '}')
}

// empty says of a member's value whether it is what an absent one means.
func empty(v any) bool {
	switch v := v.(type) {
	case *string:
		return *v == ""
	case *bool:
		return !*v
	case *int:
		return *v == 0
	case *uint64:
		return *v == 0
	case *map[string]string:
		return len(*v) == 0
	case *ConsoleSize:
		return *v == ConsoleSize{}
	case array:
		return v.size() == 0
	case optional:
		return v.get() == nil
	}
	return false
}

func (e *encoder) value(v any) {
	switch v := v.(type) {
	case *string:
		e.quote(*v)
	case *bool:
		e.b = strconv.AppendBool(e.b, *v)
	case *int:
		e.b = strconv.AppendInt(e.b, int64(*v), 10)
	case *uint16:
		e.b = strconv.AppendUint(e.b, uint64(*v), 10)
	case *uint32:
		e.b = strconv.AppendUint(e.b, uint64(*v), 10)
	case *uint64:
		e.b = strconv.AppendUint(e.b, *v, 10)
	case *map[string]string:
		e.b = append(e.b, '{')
		for name, text := range *v {
			e.key(name)
			e.quote(text)
		}
		e.b = append(e.b, '}')
	case object:
		e.object(v)
	case array:
		e.b = append(e.b, '[')
		for i := range v.size() {
			e.comma()
			e.value(v.at(i))
		}
		e.b = append(e.b, ']')
	case optional:
		e.value(v.get())
	}
}

// comma appends one where a member or element came before.
func (e *encoder) comma() {
	if c := e.b[len(e.b)-1]; c != '{' && c != '[' {
		e.b = append(e.b, ',')
	}
}

func (e *encoder) key(name string) {
	e.comma()
	e.quote(name)
	e.b = append(e.b, ':')
}

func (e *encoder) quote(s string) {
	const digits = "0123456789abcdef"
	e.b = append(e.b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			e.b = append(e.b, '\\', c)
		case c >= ' ':
			e.b = append(e.b, c)
		default:
			e.b = append(e.b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	e.b = append(e.b, '"')
}
