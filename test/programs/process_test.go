package programs

import (
	"os"
	"strings"
	"testing"
)

func TestProcessCallsBehaveAsOnLinux(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: the programs change their users")
	}
	for _, name := range []string{"sysvipc", "mqueue", "process", "limits"} {
		t.Run(name, func(t *testing.T) {
			program := compile(t, "gcc", name+".c", name, "-O1", "-pthread")
			want := execute(t, "", program)
			got := execute(t, "", tools.husk, "run", "--cpus", "2", "-r", "/", program)
			sameLines(t, got.stdout, want.stdout)
			if got.status != want.status {
				t.Errorf("status %d, natively %d (stderr %q)", got.status, want.status, clip(got.stderr))
			}
		})
	}
}

// sameLines reports the first few lines that differ.
func sameLines(t *testing.T, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i, told := 0, 0; i < max(len(g), len(w)) && told < 5; i++ {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Errorf("line %d: %q, natively %q", i+1, a, b)
			told++
		}
	}
}

// TestNamespacesAreOneOfEachKind enters them as Linux lets one, and leaves none.
func TestNamespacesAreOneOfEachKind(t *testing.T) {
	program := compile(t, "gcc", "namespaces.c", "namespaces")
	const leave = `unshare(CLONE_NEWNS) = -1 EINVAL
unshare(CLONE_NEWNET | CLONE_NEWPID) = -1 EINVAL
unshare(CLONE_NEWUSER) = -1 EINVAL
syscall(SYS_clone, CLONE_NEWUTS | 17, 0, 0, 0, 0) = -1 EINVAL
`
	got := execute(t, "", tools.husk, "run", program, "leave")
	if !strings.HasSuffix(got.stdout, leave) {
		t.Errorf("%q, want an end of %q", got.stdout, leave)
	}
	want := execute(t, "", program)
	if !strings.Contains(want.stdout, "uts\nsetns(f, 0) = 0 \n") {
		t.Skip("we may not enter our own namespaces here")
	}
	sameLines(t, strings.TrimSuffix(got.stdout, leave), want.stdout)
}

// TestFirstProcessIsKeptFromSignalsOfOthers has other processes send process 1
// what would end it: as on Linux it does not see what it has no handler for.
func TestFirstProcessIsKeptFromSignalsOfOthers(t *testing.T) {
	const script = `
sh -c 'kill -TERM 1; kill -KILL 1; kill -STOP 1; kill -HUP -1; kill -TERM -1; kill -QUIT 0' 2>/dev/null
echo alive
trap 'echo caught' TERM
sh -c 'kill -TERM 1'
trap - TERM
kill -TERM $$
`
	o := execute(t, "", tools.husk, "run", "-r", "/", "--", "/bin/bash", "-c", script)
	if o.stdout != "alive\ncaught\n" || o.status != 128+15 {
		t.Errorf("stdout %q, status %d, stderr %q", o.stdout, o.status, clip(o.stderr))
	}
}
