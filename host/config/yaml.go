package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
)

func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(b) > maxFile {
		return nil, &Error{File: file, Reason: fmt.Sprintf("is longer than %d bytes", maxFile)}
	}
	return b, nil
}

// maxNesting is how deep a document may nest; husk.yaml needs three levels.
const maxNesting = 32

// parseYAML reads husk's own form. A member that there is not is an error.
func parseYAML(b []byte) (*Config, error) {
	if deep(b) {
		return nil, &Error{Reason: "is nested too deeply"}
	}
	c := new(Config)
	d := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict(), yaml.DisallowUnknownField())
	err := d.Decode(c)
	if errors.Is(err, io.EOF) {
		return c, nil // an empty file leaves everything out
	}
	var bad yaml.Error
	if errors.As(err, &bad) {
		e := &Error{Reason: firstLine(bad.GetMessage())}
		if t := bad.GetToken(); t != nil && t.Position != nil {
			e.Line = t.Position.Line
		}
		return nil, e
	}
	if err != nil {
		return nil, &Error{Reason: firstLine(err.Error())}
	}
	return c, nil
}

// deep reports brackets or indentation beyond reason before they are parsed.
func deep(b []byte) bool {
	open := 0
	for _, c := range b {
		switch c {
		case '[', '{':
			if open++; open > maxNesting {
				return true
			}
		case ']', '}':
			open--
		}
	}
	return false
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
