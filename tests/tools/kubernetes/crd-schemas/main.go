// Makes JSON schemas of CustomResourceDefinitions: `crd-schemas FOLDER METADATA FILE…` writes a file
// `GROUP/KIND_VERSION.json` into FOLDER for each version. METADATA is what `metadata` refers to.
//
// As strict as an API server with strict field validation: a field that the definition does not name is
// an error, unless the definition preserves unknown fields there. What CEL rules say is not in them.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

type definition struct {
	Kind string
	Spec struct {
		Group    string
		Names    struct{ Kind string }
		Versions []struct {
			Name   string
			Schema struct {
				OpenAPIV3Schema map[string]any
			}
		}
	}
}

func main() {
	if len(os.Args) < 4 {
		fail(fmt.Errorf("usage: crd-schemas FOLDER METADATA FILE…"))
	}
	for _, file := range os.Args[3:] {
		if err := convert(os.Args[1], os.Args[2], file); err != nil {
			fail(fmt.Errorf("%s: %w", file, err))
		}
	}
}

func convert(folder, metadata, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var crd definition
	if err := yaml.Unmarshal(text, &crd); err != nil {
		return err
	}
	if crd.Kind != "CustomResourceDefinition" || len(crd.Spec.Versions) == 0 {
		return fmt.Errorf("it is no CustomResourceDefinition with versions")
	}
	group := filepath.Join(folder, crd.Spec.Group)
	if err := os.MkdirAll(group, 0o755); err != nil {
		return err
	}
	for _, version := range crd.Spec.Versions {
		schema := version.Schema.OpenAPIV3Schema
		properties, _ := schema["properties"].(map[string]any)
		if properties == nil {
			return fmt.Errorf("version %s has no properties", version.Name)
		}
		strict(schema)
		properties["apiVersion"] = map[string]any{"const": crd.Spec.Group + "/" + version.Name}
		properties["kind"] = map[string]any{"const": crd.Spec.Names.Kind}
		properties["metadata"] = map[string]any{"$ref": metadata}
		schema["required"] = append(list(schema["required"]), "apiVersion", "kind", "metadata")
		encoded, err := json.Marshal(schema)
		if err != nil {
			return err
		}
		name := strings.ToLower(crd.Spec.Names.Kind) + "_" + version.Name + ".json"
		if err := os.WriteFile(filepath.Join(group, name), encoded, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Closes a structural schema. Fields are named in its structure only, never below `anyOf` and the like,
// which may say no more than what the structure has.
func strict(schema map[string]any) {
	if schema["x-kubernetes-int-or-string"] == true {
		delete(schema, "type")
		schema["type"] = []any{"integer", "string"}
	}
	if schema["nullable"] == true {
		schema["type"] = append(list(schema["type"]), "null")
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, property := range properties {
		strict(property.(map[string]any))
	}
	if items, ok := schema["items"].(map[string]any); ok {
		strict(items)
	}
	if values, ok := schema["additionalProperties"].(map[string]any); ok {
		strict(values)
	}
	_, open := schema["additionalProperties"]
	if schema["type"] == "object" && !open && schema["x-kubernetes-preserve-unknown-fields"] != true {
		schema["additionalProperties"] = false
	}
}

func list(value any) []any {
	switch value := value.(type) {
	case nil:
		return nil
	case []any:
		return value
	default:
		return []any{value}
	}
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "crd-schemas: %v\n", err)
	os.Exit(2)
}
