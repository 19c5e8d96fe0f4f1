// Package loader turns an executable file into an address space that is ready
// to run: ELF programs, static and dynamic, position-dependent or not, and
// scripts that name their interpreter after "#!". It maps segments and the
// vDSO and lays out the initial stack with arguments, environment and
// auxiliary vector as Linux does (execve(2), getauxval(3), elf(5)).
//
// It is called by exec and at boot with a fresh address space, which the
// caller drops on failure; it holds no locks and starts no goroutines.
package loader

import (
	"golang.org/x/sys/unix"

	"husk/kernel/cpu"
	"husk/kernel/cred"
	"husk/kernel/mm"
	"husk/kernel/vfs"
)

const (
	pageSize = mm.PageSize
	userMax  = uint64(cpu.UserMax)
	maxAlign = 1 << 30

	// maxScripts is how many interpreters may be chained by "#!" (Linux 5.8:
	// the fifth fails with ELOOP).
	maxScripts = 5
	// scriptHeader is BINPRM_BUF_SIZE: how much of a file decides what it is.
	scriptHeader = 256
)

// Request says what to load.
type Request struct {
	// Caller is the thread that executes; its FS context resolves names.
	Caller vfs.Caller
	// Open opens a file for execution: it checks permission and the file's
	// type and returns a reference (execve(2)'s EACCES, ENOENT …).
	Open func(path string) (*vfs.File, error)
	// File is the executable, Path the name by which it was called. The
	// loader takes its own references.
	File *vfs.File
	Path string
	// Hidden says that nobody can open the file by Path once the program
	// runs: then a script has no way to its interpreter.
	Hidden bool
	// Argv and Envp are the argument and environment strings.
	Argv, Envp []string
	// Cred are the credentials the program will have; Secure is AT_SECURE.
	Cred   *cred.Cred
	Secure bool
	// StackLimit is RLIMIT_STACK in bytes.
	StackLimit uint64
	// NoRandomize places everything at fixed addresses (personality(2)).
	NoRandomize bool
}

// Program is the outcome: where to begin, and what /proc and exec want to know.
type Program struct {
	Entry, SP uint64
	// File is the ELF file that runs, a script's interpreter included, with
	// a reference that the caller owns; Path is AT_EXECFN's.
	File *vfs.File
	Path string
	// Argv is as the program sees it, interpreters of scripts in front.
	Argv []string
	// Addresses of the strings on the stack (/proc/self/cmdline, environ)
	// and of the program's parts (/proc/self/stat).
	ArgStart, ArgEnd, EnvStart, EnvEnd     uint64
	StartCode, EndCode, StartData, EndData uint64
	StartStack, StartBrk                   uint64
	// Auxv is the auxiliary vector as pairs.
	Auxv []uint64
}

// Load fills as with the program. On error the address space is unusable and
// the caller drops it.
func Load(as *mm.AddressSpace, r Request) (*Program, error) {
	target := r
	target.File.Get()
	var head [scriptHeader]byte
	for depth := 0; ; depth++ {
		n, err := readAt(r.Caller, target.File, head[:], 0)
		if err != nil {
			target.File.Put()
			return nil, err
		}
		if n < 2 || head[0] != '#' || head[1] != '!' {
			p, err := loadELF(as, &target, head[:n])
			if err != nil {
				target.File.Put()
			}
			return p, err
		}
		if err := followScript(&target, head[:n], depth); err != nil {
			return nil, err
		}
	}
}

// followScript replaces the script in r by its interpreter. It drops the
// script's reference in every case.
func followScript(r *Request, head []byte, depth int) error {
	script := r.File
	defer script.Put()
	if depth+1 >= maxScripts {
		return unix.ELOOP
	}
	interp, arg, err := parseScript(head)
	if err != nil {
		return err
	}
	if r.Hidden {
		return unix.ENOENT
	}
	file, err := r.Open(interp)
	if err != nil {
		return err
	}
	argv := []string{interp}
	if arg != "" {
		argv = append(argv, arg)
	}
	argv = append(argv, r.Path)
	if len(r.Argv) > 1 {
		argv = append(argv, r.Argv[1:]...)
	}
	r.File, r.Path, r.Argv = file, interp, argv
	return nil
}

// parseScript reads "#! interpreter [argument]" as execve(2), "Interpreter
// scripts": one optional argument that may contain blanks, the line cut at the
// size of the buffer, in which case the interpreter's name must be complete.
func parseScript(head []byte) (interp, arg string, err error) {
	line := head[2:]
	whole := len(head) < scriptHeader
	for i, c := range line {
		if c == '\n' || c == 0 {
			line, whole = line[:i], true
			break
		}
	}
	line = trimBlanks(line)
	end := 0
	for end < len(line) && line[end] != ' ' && line[end] != '\t' {
		end++
	}
	if end == 0 || end == len(line) && !whole {
		return "", "", unix.ENOEXEC
	}
	return string(line[:end]), string(trimBlanks(line[end:])), nil
}

func trimBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// readAt reads up to len(p) bytes of a file at off.
func readAt(c vfs.Caller, f *vfs.File, p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		b := mm.KernelBuffer(p[done:])
		n, err := f.Ops.Read(c, f, &b, off+int64(done))
		if err != nil {
			return done, err
		}
		if n == 0 {
			break
		}
		done += n
	}
	return done, nil
}
