package pkgs

import (
	"iter"
	"strings"
)

// Paragraph is one stanza of a deb822 file, as it stands there.
type Paragraph string

// Paragraphs gives the stanzas of a deb822 file. Lines that begin with # are
// comments, which only files of the machine have.
func Paragraphs(s string) iter.Seq[Paragraph] {
	return func(yield func(Paragraph) bool) {
		for s != "" {
			s = strings.TrimLeft(s, "\n")
			end := strings.Index(s, "\n\n")
			p := s
			if end >= 0 {
				p, s = s[:end+1], s[end+2:]
			} else {
				s = ""
			}
			if strings.TrimSpace(p) != "" && !yield(Paragraph(p)) {
				return
			}
		}
	}
}

// Fields gives names and values; lines that go on are kept with their line
// breaks.
func (p Paragraph) Fields() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		s := string(p)
		for s != "" {
			end := 0
			for {
				i := strings.IndexByte(s[end:], '\n')
				if i < 0 {
					end = len(s)
					break
				}
				end += i + 1
				if end >= len(s) || s[end] != ' ' && s[end] != '\t' {
					break
				}
			}
			field := s[:end]
			s = s[end:]
			if field[0] == '#' {
				continue
			}
			name, value, ok := strings.Cut(field, ":")
			if !ok || name == "" || strings.ContainsAny(name, " \t\n") {
				continue
			}
			if !yield(name, strings.TrimSpace(value)) {
				return
			}
		}
	}
}

// Get is a field's value, or "".
func (p Paragraph) Get(name string) string {
	for k, v := range p.Fields() {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}
