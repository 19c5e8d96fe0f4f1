//go:build baremetal

package metal

// The main goroutine initialises the packages and boots the kernel, which
// takes 16 KiB of stack. Growing to that in one step, while the stack is
// shallow, is far cheaper than in four, each of which adjusts all frames.
func init() { growStack(len(runtimeStack)) }

var runtimeStack [1]byte

//go:noinline
func growStack(n int) byte {
	var room [12 << 10]byte
	room[n] = 1
	return room[n/2]
}
