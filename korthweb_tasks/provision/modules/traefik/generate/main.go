// Leaves out of Traefik what a cluster without a way out has no use for, and what takes most of its compilation: the
// clients of some 150 DNS hosters (for certificates by DNS challenge), Amazon's ECS, and the standard library for
// interpreted plugins. Whoever configures one of them is told so; routing, TLS and Kubernetes are upstream's, untouched.
//
//	generate TRAEFIK
//
// TRAEFIK is a writable copy of Traefik's module.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const left = "github.com/traefik/traefik/v3/pkg/left"

const dns = `// Package left stands in for what this build of Traefik was made without.
package left

import (
	"fmt"
	"reflect"

	"github.com/go-acme/lego/v4/challenge"
)

// Symbols are what interpreted plugins can import: nothing.
var Symbols = map[string]map[string]reflect.Value{}

// NewDNSChallengeProviderByName refuses every name.
func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, fmt.Errorf("this build of Traefik (of a korthweb lab) has no DNS challenge: provider %q", name)
}
`

const ecs = `// Package ecs stands in for the provider of that name, which this build of Traefik was made without.
package ecs

import (
	"errors"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/safe"
)

// Provider refuses to start.
type Provider struct{}

// SetDefaults has nothing to set.
func (p *Provider) SetDefaults() {}

// Init says what is missing.
func (p *Provider) Init() error {
	return errors.New("this build of Traefik (of a korthweb lab) has no provider for ECS")
}

// Provide provides nothing.
func (p *Provider) Provide(chan<- dynamic.Message, *safe.Pool) error { return nil }
`

// file, then pairs of an import and what takes its place
var imports = [][]string{
	{"pkg/provider/acme/provider.go", `"github.com/go-acme/lego/v4/providers/dns"`, `dns "` + left + `"`},
	{
		"pkg/plugins/middlewareyaegi.go",
		`"github.com/traefik/yaegi/stdlib"`, `stdlib "` + left + `"`,
		`"github.com/traefik/yaegi/stdlib/syscall"`, `syscall "` + left + `"`,
		`"github.com/traefik/yaegi/stdlib/unsafe"`, `unsafe "` + left + `"`,
	},
}

func main() {
	if err := generate(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func generate(traefik string) error {
	for _, edit := range imports {
		if err := replace(filepath.Join(traefik, edit[0]), edit[1:]); err != nil {
			return err
		}
	}
	if err := only(filepath.Join(traefik, "pkg", "left"), "left.go", dns); err != nil {
		return err
	}
	return only(filepath.Join(traefik, "pkg", "provider", "ecs"), "ecs.go", ecs)
}

// replace swaps each old text for the new one beside it; a text that is not there once is an error.
func replace(file string, pairs []string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text := string(content)
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(text, pairs[i]) != 1 {
			return fmt.Errorf("%s does not import %s as it did", file, pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// only makes a folder with one file in it, and removes what was there.
func only(folder, name, text string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644)
}
