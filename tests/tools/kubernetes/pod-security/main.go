// Evaluates the pods of manifests against the restricted Pod Security Standard, by Kubernetes' own
// evaluator: `pod-security VERSION[,VERSION…] FILE…`, a version such as 1.34 or latest.
//
// Prints each violation as one line, and at last how many pods it looked at. Exit codes: 0 no violation,
// 1 violations, 2 it could not look.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

// Where each kind that makes pods has them.
var templates = map[string][]string{
	"Pod":                   {},
	"PodTemplate":           {"template"},
	"CronJob":               {"spec", "jobTemplate", "spec", "template"},
	"DaemonSet":             {"spec", "template"},
	"Deployment":            {"spec", "template"},
	"Job":                   {"spec", "template"},
	"ReplicaSet":            {"spec", "template"},
	"ReplicationController": {"spec", "template"},
	"StatefulSet":           {"spec", "template"},
}

type pod struct {
	file, name string
	template   corev1.PodTemplateSpec
}

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: pod-security VERSION[,VERSION…] FILE…"))
	}
	var levels []api.LevelVersion
	for _, text := range strings.Split(os.Args[1], ",") {
		if text != "latest" {
			text = "v" + text
		}
		version, err := api.ParseVersion(text)
		if err != nil {
			fail(err)
		}
		levels = append(levels, api.LevelVersion{Level: api.LevelRestricted, Version: version})
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		fail(err)
	}
	var pods []pod
	for _, file := range os.Args[2:] {
		found, err := podsOf(file)
		if err != nil {
			fail(fmt.Errorf("%s: %w", file, err))
		}
		pods = append(pods, found...)
	}
	violations := 0
	for _, pod := range pods {
		for _, level := range levels {
			results := evaluator.EvaluatePod(level, &pod.template.ObjectMeta, &pod.template.Spec)
			for _, result := range results {
				if !result.Allowed {
					violations++
					fmt.Printf("%s: %s: %s: %s: %s\n",
						pod.file, pod.name, level, result.ForbiddenReason, result.ForbiddenDetail)
				}
			}
		}
	}
	fmt.Printf("%d pods\n", len(pods))
	if violations > 0 {
		os.Exit(1)
	}
}

func podsOf(file string) ([]pod, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var pods []pod
	for _, document := range bytes.Split(append([]byte("\n"), text...), []byte("\n---")) {
		var object map[string]any
		if err := yaml.Unmarshal(document, &object); err != nil {
			return nil, err
		}
		kind, _ := object["kind"].(string)
		path, makesPods := templates[kind]
		if !makesPods {
			continue
		}
		metadata, _ := object["metadata"].(map[string]any)
		found := pod{file: file, name: fmt.Sprintf("%s %v", kind, metadata["name"])}
		for _, key := range path {
			object, _ = object[key].(map[string]any)
		}
		if object == nil {
			return nil, fmt.Errorf("%s has no %s", found.name, strings.Join(path, "."))
		}
		// A pod and its template have the same fields where it matters.
		encoded, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(encoded, &found.template); err != nil {
			return nil, fmt.Errorf("%s: %w", found.name, err)
		}
		pods = append(pods, found)
	}
	return pods, nil
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "pod-security: %v\n", err)
	os.Exit(2)
}
