// Package lint checks what the compiler cannot: that the code of metal which
// runs without a goroutine reaches nothing of the runtime but a few leaf
// functions, that it fits its stacks, and that the toolchain still does what
// metal takes for granted. Its tests disassemble the kernel; "make lint" runs
// them.
package lint
