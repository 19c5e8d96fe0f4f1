// Package syscalls is the Linux system call ABI of amd64: number to method.
//
// A call is a method of Thread that bears the call's name, in a file named
// for its family as section 2 of the manual groups them (read.go, mmap.go,
// futex.go …):
//
//	func (t Thread) lseek(fd int32, offset int64, whence int32) (int64, error)
//
// Parameters are integers or mm.Addr and are converted from the argument
// registers; a method takes as many of the call's arguments as it uses.
// Results are error alone or (integer, error); the error is a unix.Errno, or
// one of abi's restart errors. Methods whose names would collide with Go
// words or builtins end in an underscore (select_).
//
// calls.txt describes every call once. "go generate ./kernel/syscalls" makes
// table_gen.go of it: the dispatch table, the conversion of arguments and the
// descriptions for package trace. Calls without a method answer ENOSYS, are
// counted, and are named once in the verbose log.
package syscalls

//go:generate go run ./gen
