package pkgs

import (
	_ "embed"
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"husk/host/rootfs"
)

// Recipe tells how packages become something that starts.
type Recipe struct {
	Name     string            `yaml:"name"`
	Summary  string            `yaml:"summary"`
	Packages []string          `yaml:"packages"` // default: Name
	Without  []string          `yaml:"without"`  // dependencies that only installing needs
	Command  []string          `yaml:"command"`
	Args     []string          `yaml:"args"` // unless others are given
	Env      map[string]string `yaml:"env"`
	User     string            `yaml:"user"`
	Ports    []string          `yaml:"ports"`
	Users    []User            `yaml:"users"`
	Dirs     []Dir             `yaml:"dirs"`
	Files    map[string]string `yaml:"files"` // content by path
	Links    map[string]string `yaml:"links"` // target by path
	Test     *Smoke            `yaml:"test"`
}

// User is one that a package's script would have made.
type User struct {
	Name string `yaml:"name"`
	Home string `yaml:"home"`
}

// Dir is a directory that a package's script would have made.
type Dir struct {
	Path  string `yaml:"path"`
	Owner string `yaml:"owner"`
}

// Smoke is how to see that a recipe works: what the program prints for these
// arguments and this input has Expect in it; or as a server it answers Send with
// that on Port.
type Smoke struct {
	Entrypoint string   `yaml:"entrypoint"`
	Args       []string `yaml:"args"`
	Stdin      string   `yaml:"stdin"`
	Stdin64    string   `yaml:"stdin64"` // where it is no text
	Port       int      `yaml:"port"`
	Send       string   `yaml:"send"`
	Expect     string   `yaml:"expect"`
	Memory     string   `yaml:"memory"`
	CI         bool     `yaml:"ci"` // small enough for every run
}

//go:embed catalogue.yaml
var catalogue []byte

// Catalogue is the list of recipes, by name.
var Catalogue = sync.OnceValues(func() ([]Recipe, error) {
	var c struct {
		Recipes []Recipe `yaml:"recipes"`
	}
	if err := yaml.UnmarshalWithOptions(catalogue, &c, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("catalogue of packages: %w", err)
	}
	return c.Recipes, nil
})

// FindRecipe gives the recipe of a name; there may be none.
func FindRecipe(name string) (*Recipe, error) {
	all, err := Catalogue()
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Name == name {
			r := all[i]
			if len(r.Packages) == 0 {
				r.Packages = []string{name}
			}
			return &r, nil
		}
	}
	return nil, nil
}

// apply adds the recipe's files and links.
func (r *Recipe) apply(t *rootfs.Tree) error {
	for p, content := range r.Files {
		perm := uint32(0o644)
		if strings.HasPrefix(content, "#!") {
			perm = 0o755
		}
		if err := t.WriteFile(p, []byte(content), perm); err != nil {
			return err
		}
	}
	for p, target := range r.Links {
		if err := t.Symlink(target, p); err != nil {
			return err
		}
	}
	return nil
}

// programDirs are where programs for users are.
var programDirs = []string{"/usr/bin", "/usr/sbin", "/usr/games"}

// Program guesses what to start of a package without a recipe: a program of
// its name, or without what follows the name's last dash, or the only one it
// has. It gives "" where it cannot tell.
func Program(t *rootfs.Tree, name string, programs []string) string {
	short := name
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		short = name[:i]
	}
	for _, n := range []string{name, short, short + "d"} {
		for _, dir := range programDirs {
			if f := t.Lookup(path.Join(dir, n)); f != nil && !f.IsDir() {
				return path.Join(dir, n)
			}
		}
	}
	if len(programs) == 1 {
		return programs[0]
	}
	return ""
}
