//go:build baremetal

package machinetest

import "runtime/debug"

func debugFree() { debug.FreeOSMemory() }
