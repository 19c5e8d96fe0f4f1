package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func fullSpec() *Spec {
	umask := uint32(0o22)
	return &Spec{
		OCIVersion: "1.2.0",
		Process: Process{
			Terminal:    true,
			ConsoleSize: ConsoleSize{Height: 24, Width: 80},
			User: User{
				UID: 1000, GID: 1<<32 - 1, Umask: &umask,
				AdditionalGids: []uint32{4, 24}, Username: "bob",
			},
			Args:            []string{"/bin/echo", "", "a \"b\" \\ \n\t\x01", "žluť 😀"},
			Env:             []string{"PATH=/bin", "X="},
			Cwd:             "/tmp",
			Rlimits:         []Rlimit{{"RLIMIT_NOFILE", 1024, 1<<64 - 1}, {"RLIMIT_CORE", 0, 0}},
			NoNewPrivileges: true,
		},
		Root:     Root{Path: "erofs:0", Readonly: true},
		Hostname: "husk",
		Mounts: []Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/data", Type: "9p", Source: "9p:data", Options: []string{"ro", "nosuid"}},
		},
		Annotations: map[string]string{AnnotationStrace: "all"},
	}
}

func fullMessage() *Message {
	return &Message{
		Type: TypeExit, Signal: -1, Winsize: &ConsoleSize{1, 2}, Bytes: 1 << 40, Text: "x",
		Exit: &Exit{
			Code: 127, Signal: 11, Error: "ENOENT", Stdout: 1<<64 - 1, Stderr: 2, Trace: 3,
			Crash: &Crash{
				Signal: 11, Code: 1, Addr: 0xffffffffff600000, PID: 1, TID: 2, Command: "c", Reason: "r",
				Frames: []Frame{{PC: 1, File: "/bin/c", Offset: 0x1000}, {PC: 2}}, Registers: "rax=0",
			},
		},
	}
}

func TestSpecSurvivesTheRoundTripAndIsPlainJSON(t *testing.T) {
	want := fullSpec()
	b := AppendSpec(nil, want)
	got, err := ParseSpec(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ParseSpec(%s) = %+v, %v", b, got, err)
	}
	var ref Spec
	if err := json.Unmarshal(b, &ref); err != nil || !reflect.DeepEqual(&ref, want) {
		t.Errorf("encoding/json reads %+v, %v", ref, err)
	}
	b, _ = json.Marshal(want)
	if got, err := ParseSpec(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("of encoding/json's: %+v, %v", got, err)
	}
}

func TestMessageSurvivesTheRoundTripAndIsOneLine(t *testing.T) {
	for _, want := range []*Message{fullMessage(), {Type: TypeReady}, {Type: TypeExit, Exit: &Exit{}}} {
		b := AppendMessage([]byte("before"), want)[len("before"):]
		if n := bytes.IndexByte(b, '\n'); n != len(b)-1 {
			t.Errorf("newline at %d of %d", n, len(b))
		}
		if got, err := ParseMessage(b); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParseMessage(%s) = %+v, %v", b, got, err)
		}
		var ref Message
		if err := json.Unmarshal(b, &ref); err != nil || !reflect.DeepEqual(&ref, want) {
			t.Errorf("encoding/json reads %+v, %v", ref, err)
		}
	}
}

func TestArgumentsAreBytesNotText(t *testing.T) {
	want := &Spec{Process: Process{Args: []string{"\xff\xfe\x80", "a\xc3"}}}
	got, err := ParseSpec(AppendSpec(nil, want))
	if err != nil || !reflect.DeepEqual(got.Process.Args, want.Process.Args) {
		t.Errorf("%q, %v", got.Process.Args, err)
	}
}

func TestUnknownMembersAreIgnored(t *testing.T) {
	s, err := ParseSpec([]byte(`{"linux":{"a":[1,-2.5e+3,null,true,false,{"b":"\u00e9\ud83d\ude00"}]},"HOSTNAME":"no",
		"process":{"args":["a"],"capabilities":{},"cwd":null},"annotations":{"k":"v"}, "mounts":[]}`))
	if err != nil || s.Process.Args[0] != "a" || s.Hostname != "" || s.Annotations["k"] != "v" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestBadJSONIsRefused(t *testing.T) {
	for _, in := range []string{
		``, ` `, `{`, `}`, `[]`, `1`, `"a"`, `{}x`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{"a":1 "b":2}`,
		`{"hostname":1}`, `{"hostname":"a`, `{"hostname":"\x"}`, `{"hostname":"\u12g4"}`, `{"hostname":"\u12`, `{"hostname":"\`,
		"{\"hostname\":\"\n\"}", "{\"hostname\":\"\\n\n\"}", `{"hostname":nul}`, `{"a":tru}`, `{"a":+1}`, `{"a":01}`, `{"a":1.}`,
		`{"a":.5}`, `{"a":1e}`, `{"a":-}`, `{"a":[1,]}`, `{"a":[1 2]}`, `{"process":[]}`, `{"mounts":{}}`, `{"process":{"args":"x"}}`,
		`{"process":{"terminal":1}}`, `{"process":{"consoleSize":{"height":65536}}}`, `{"process":{"user":{"uid":-1}}}`,
		`{"process":{"user":{"uid":4294967296}}}`, `{"process":{"user":{"uid":1.0}}}`, `{"process":{"user":{"uid":1e2}}}`,
		`{"process":{"rlimits":[{"soft":18446744073709551616}]}}`, `{"hostname":"a","hostname":"b"}`,
		`{"annotations":{"a":1}}`, `{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`,
	} {
		s, err := ParseSpec([]byte(in))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || s != nil || syntax.Offset > len(in) {
			t.Errorf("%s: %+v, %v", in, s, err)
		}
	}
	if _, err := ParseMessage([]byte(`{"signal":9223372036854775808}`)); err == nil {
		t.Error("int overflow accepted")
	}
	if m, err := ParseMessage([]byte(`{"signal":-9223372036854775808}`)); err != nil || m.Signal != -1<<63 {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := ParseMessage(make([]byte, MaxMessage+1)); err == nil {
		t.Error("long message accepted")
	}
}

// mustAgree tells whether encoding/json and this package must agree on in:
// not where names differ in case only or occur twice, or bytes are not text.
func mustAgree(in []byte) bool {
	if !utf8.Valid(in) {
		return false
	}
	known := map[string]string{}
	var collect func(t reflect.Type)
	collect = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice:
			collect(t.Elem())
		case reflect.Struct:
			for i := range t.NumField() {
				name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
				known[strings.ToLower(name)] = name
				collect(t.Field(i).Type)
			}
		}
	}
	collect(reflect.TypeFor[Spec]())
	collect(reflect.TypeFor[Message]())
	dec := json.NewDecoder(bytes.NewReader(in))
	dec.UseNumber()
	for {
		tok, err := dec.Token()
		if err != nil {
			return true
		}
		if s, ok := tok.(string); ok {
			// encoding/json folds names the Unicode way.
			for lower, name := range known {
				if strings.EqualFold(s, lower) && s != name {
					return false
				}
			}
		}
	}
}

func fuzz[T any](f *testing.F, parse func([]byte) (*T, error), app func([]byte, *T) []byte) {
	f.Add(AppendSpec(nil, fullSpec()))
	f.Add(AppendMessage(nil, fullMessage()))
	f.Add([]byte(`{"annotations":{"a":"\ud800"},"x":[1e9,{"y":null}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := parse(in)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset > len(in) {
				t.Fatalf("error %v", err)
			}
		} else {
			if utf8.Valid(in) && !json.Valid(in) {
				t.Fatalf("accepts what is not JSON: %q", in)
			}
			again, err := parse(app(nil, got))
			// nil and empty arrays are one and the same here.
			if err != nil || len(app(nil, again)) != len(app(nil, got)) {
				t.Fatalf("%+v came back as %+v, %v", got, again, err)
			}
		}
		if !mustAgree(in) {
			return
		}
		if err != nil {
			if reason := err.(*SyntaxError).Reason; reason == "member given twice" || reason == "nested too deeply" {
				return
			}
		}
		var ref T
		refErr := json.Unmarshal(in, &ref)
		if top := bytes.TrimLeft(in, " \t\r\n"); refErr == nil && len(top) > 0 && top[0] == 'n' {
			return
		}
		if (err == nil) != (refErr == nil) {
			t.Fatalf("%q: error %v, encoding/json %v", in, err, refErr)
		}
		if err != nil {
			return
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(&ref)
		a, b = bytes.ReplaceAll(a, []byte(":null"), []byte(":[]")), bytes.ReplaceAll(b, []byte(":null"), []byte(":[]"))
		if !bytes.Equal(a, b) {
			t.Fatalf("%q\n got %s\nwant %s", in, a, b)
		}
	})
}

func FuzzParseSpec(f *testing.F)    { fuzz(f, ParseSpec, AppendSpec) }
func FuzzParseMessage(f *testing.F) { fuzz(f, ParseMessage, AppendMessage) }

// The result, its string and the list of members are allocated.
func TestParsingAllocatesLittle(t *testing.T) {
	in := []byte(`{"type":"signal","signal":15}`)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := ParseMessage(in); err != nil {
			t.Fatal(err)
		}
	}); n > 3 {
		t.Errorf("%v allocations", n)
	}
}
