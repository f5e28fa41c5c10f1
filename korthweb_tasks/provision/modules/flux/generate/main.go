// Makes the manifests that the flux CLI carries inside it. Upstream makes them from release downloads of each
// controller; here they come from the configuration in the controllers' own modules.
//
//	generate FLUX2 NAME=CONTROLLER...
//
// FLUX2 is a writable copy of flux2's module, CONTROLLER the folder of a controller's module.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := generate(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func generate(flux string, controllers []string) error {
	out := filepath.Join(flux, "cmd", "flux", "manifests")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, controller := range controllers {
		name, folder, _ := strings.Cut(controller, "=")
		base := filepath.Join(flux, "manifests", "bases", name)
		if err := takeFrom(base, filepath.Join(folder, "config")); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := build(base, filepath.Join(out, name+".yaml")); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range []string{"rbac", "policies"} {
		if err := build(filepath.Join(flux, "manifests", name), filepath.Join(out, name+".yaml")); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// takeFrom copies a controller's configuration beside a base and makes the base use it instead of what it would download.
func takeFrom(base, config string) error {
	file := filepath.Join(base, "kustomization.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var kustomization map[string]any
	if err := yaml.Unmarshal(text, &kustomization); err != nil {
		return err
	}
	resources := []any{}
	for _, folder := range []string{"crd", "manager"} {
		if err := os.CopyFS(filepath.Join(base, folder), os.DirFS(filepath.Join(config, folder))); err != nil {
			return err
		}
		resources = append(resources, folder)
	}
	listed, _ := kustomization["resources"].([]any)
	for _, resource := range listed {
		if text, _ := resource.(string); !strings.HasPrefix(text, "https://") {
			resources = append(resources, resource)
		}
	}
	kustomization["resources"] = resources
	if text, err = yaml.Marshal(kustomization); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// build writes what kustomize makes of a folder.
func build(folder, file string) error {
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return err
	}
	text, err := made.AsYaml()
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}
