package linux

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// kernelPackage is the metapackage whose newest kernel is used.
const kernelPackage = "linux-image-cloud-amd64"

// Kernel returns the path of Debian's cloud kernel, unpacked below dir from
// the package that apt downloads when it is not there yet.
func Kernel(ctx context.Context, dir string) (string, error) {
	if found, _ := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*")); len(found) > 0 {
		return found[0], nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	depends, err := output(ctx, dir, "apt-cache", "depends", kernelPackage)
	if err != nil {
		return "", err
	}
	image := ""
	for line := range strings.Lines(depends) {
		if _, name, ok := strings.Cut(strings.TrimSpace(line), "Depends: "); ok && strings.HasPrefix(name, "linux-image-") {
			image = name
		}
	}
	if image == "" {
		return "", fmt.Errorf("%s depends on no kernel image: run 'apt-get update'", kernelPackage)
	}
	if _, err := output(ctx, dir, "apt-get", "download", image); err != nil {
		return "", err
	}
	debs, _ := filepath.Glob(filepath.Join(dir, image+"_*.deb"))
	if len(debs) == 0 {
		return "", fmt.Errorf("apt-get download %s left no package in %s", image, dir)
	}
	if _, err := output(ctx, dir, "dpkg-deb", "-x", debs[0], dir); err != nil {
		return "", err
	}
	found, _ := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if len(found) == 0 {
		return "", fmt.Errorf("%s holds no kernel", debs[0])
	}
	return found[0], nil
}

// Initramfs writes an initramfs with the given programs, of which init is the
// first process, and what dynamic ones need, and returns its path.
func Initramfs(dir, init string, programs ...string) (string, error) {
	files, err := collect(init, programs...)
	if err != nil {
		return "", err
	}
	return writeInitramfs(filepath.Join(dir, "initramfs"), files)
}

// collect reads the programs and what dynamic ones need.
func collect(init string, programs ...string) ([]file, error) {
	files := []file{{name: "dev", mode: 0o40755}}
	add := func(name, path string) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files = append(files, file{name, 0o100755, data})
		return nil
	}
	if err := add("init", init); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, p := range programs {
		if err := add(filepath.Base(p), p); err != nil {
			return nil, err
		}
		needs, err := libraries(p)
		if err != nil {
			return nil, err
		}
		for _, path := range needs {
			for i, c := range path[1:] {
				if parent := path[1 : i+1]; c == '/' && !seen[parent] {
					seen[parent] = true
					files = append(files, file{name: parent, mode: 0o40755})
				}
			}
			if seen[path] {
				continue
			}
			seen[path] = true
			if err := add(path[1:], path); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

func writeInitramfs(path string, files []file) (string, error) {
	out, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer out.Close()
	if err := writeCPIO(out, files); err != nil {
		return "", err
	}
	return path, out.Close()
}

// libraries returns what a program links to, and those to others, its
// interpreter first; nothing for a static one.
func libraries(program string) ([]string, error) {
	f, err := elf.Open(program)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	interp := f.Section(".interp")
	if interp == nil {
		return nil, nil
	}
	text, err := interp.Data()
	if err != nil {
		return nil, err
	}
	needs := []string{strings.TrimRight(string(text), "\x00")}
	known := map[string]bool{}
	for queue := []string{program}; len(queue) > 0; queue = queue[1:] {
		names, err := imported(queue[0])
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if known[name] {
				continue
			}
			known[name] = true
			for _, folder := range []string{"/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"} {
				if path := filepath.Join(folder, name); regular(path) {
					needs, queue = append(needs, path), append(queue, path)
					break
				}
			}
		}
	}
	return needs, nil
}

func imported(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ImportedLibraries()
}

func regular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Run boots the kernel and returns what its serial port said.
func Run(ctx context.Context, kernel, initramfs string, extra ...string) (string, error) {
	return output(ctx, "", "qemu-system-x86_64", append(arguments(kernel, initramfs), extra...)...)
}

func arguments(kernel, initramfs string) []string {
	return []string{
		"-M", "q35", "-cpu", "max", "-accel", "tcg", "-m", "512", "-nodefaults", "-no-user-config", "-no-reboot",
		"-display", "none", "-serial", "stdio", "-kernel", kernel, "-initrd", initramfs,
		"-append", "console=ttyS0 quiet panic=-1",
	}
}

func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
