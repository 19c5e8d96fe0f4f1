//go:build baremetal

package metal

// GrowStack makes sure that the calling goroutine has 12 KiB of stack left.
// Growing in one step, while the stack is shallow, is far cheaper than in
// several, each of which adjusts all frames.
func GrowStack()

// The main goroutine initialises the packages and boots the kernel.
func init() { GrowStack() }
