package programs

import (
	"os"
	"testing"
)

func TestInterprocessCommunicationBehavesAsOnLinux(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: the programs change their users")
	}
	for _, name := range []string{"sysvipc", "mqueue"} {
		t.Run(name, func(t *testing.T) {
			compare(t, "", []string{"--cpus", "2"}, compile(t, "gcc", name+".c", name, "-O1", "-pthread"))
		})
	}
}
