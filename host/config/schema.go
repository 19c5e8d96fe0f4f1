package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// SchemaID is the name by which a husk.yaml may refer to its schema; the file
// is docs/husk.schema.json.
const SchemaID = "husk.schema.json"

type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	ID          string             `json:"$id,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        string             `json:"type"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	// Additional is false for an object whose members are all named, else
	// the schema of every member's value.
	Additional any  `json:"additionalProperties,omitempty"`
	Minimum    *int `json:"minimum,omitempty"`
}

// Schema is the JSON schema of husk.yaml, for editors.
func Schema() []byte {
	s := schemaOf(reflect.TypeFor[Config]())
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.ID = SchemaID
	s.Title = "husk.yaml"
	s.Description = "How husk runs a program, and what its image holds. Relative host paths begin at the file's own directory."
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // a schema holds nothing that cannot be written
	}
	return append(b, '\n')
}

func schemaOf(t reflect.Type) *schema {
	switch t.Kind() {
	case reflect.Struct:
		s := &schema{Type: "object", Properties: map[string]*schema{}, Additional: false}
		for _, f := range members(t) {
			p := schemaOf(f.Type)
			p.Description = f.Tag.Get("doc")
			s.Properties[name(f)] = p
		}
		return s
	case reflect.Slice:
		return &schema{Type: "array", Items: schemaOf(t.Elem())}
	case reflect.Map:
		return &schema{Type: "object", Additional: schemaOf(t.Elem())}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Int:
		return &schema{Type: "integer", Minimum: new(int)}
	}
	return &schema{Type: "string"}
}

// members are the fields of a struct that the file has.
func members(t reflect.Type) []reflect.StructField {
	var fields []reflect.StructField
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && name(f) != "-" {
			fields = append(fields, f)
		}
	}
	return fields
}

func name(f reflect.StructField) string {
	n, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return n
}

// Template is a husk.yaml in which all is explained and, but for the program
// and its arguments, left out. What is left out stands in lines that begin
// with # and no single space.
func Template(program string, args []string) []byte {
	var b strings.Builder
	b.WriteString("# How husk runs a program: 'husk run -c husk.yaml', 'husk build -c husk.yaml'.\n" +
		"# Relative paths begin at this file's directory.\n\n")
	for _, f := range members(reflect.TypeFor[Config]()) {
		fmt.Fprintf(&b, "# %s\n", f.Tag.Get("doc"))
		switch n := name(f); {
		case n == "program" && program != "":
			fmt.Fprintf(&b, "program: %s\n", quote(program))
		case n == "args" && len(args) > 0:
			b.WriteString("args:\n")
			for _, a := range args {
				fmt.Fprintf(&b, "  - %s\n", quote(a))
			}
		case f.Type.Kind() == reflect.Struct:
			fmt.Fprintf(&b, "#%s:\n", n)
			for _, m := range members(f.Type) {
				fmt.Fprintf(&b, "#  %s: %s   # %s\n", name(m), example(name(m), m.Type), m.Tag.Get("doc"))
			}
		default:
			fmt.Fprintf(&b, "#%s: %s\n", n, example(n, f.Type))
		}
		b.WriteByte('\n')
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// quote gives a string as YAML; JSON's strings are YAML's.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}

// example is a value that makes sense, for a comment.
func example(name string, t reflect.Type) string {
	if e, ok := map[string]string{
		"program": "./server", "args": "[--port, \"8080\"]", "env": "{MODE: production}", "workdir": "/srv", "user": "\"1000:1000\"",
		"hostname": "husk", "entrypoint": "[/bin/sh, -c]", "files": "[config.json]", "dirs": "[static]",
		"mapdirs": "{\"site/*\": /var/www}", "manifest": "usr.manifest", "sysroot": "/opt/debian", "labels": "{team: web}",
		"tag": "server:1", "memory": "256M", "name": "server", "volumes": "[data:/var/lib/data]", "ports": "[\"8080:80\"]",
		"mode": "user", "ip": "10.0.0.2/24", "netmask": "255.255.255.0", "gateway": "10.0.0.1", "ipv6": "\"fd00::2/64\"",
		"mac": "\"52:54:00:12:34:56\"", "dns": "[10.0.0.1]", "accel": "auto", "strace": "all", "cpus": "1", "gdb": "1234",
	}[name]; ok {
		return e
	}
	if t.Kind() == reflect.Bool {
		return "true"
	}
	return ""
}
