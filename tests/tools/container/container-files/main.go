// Reads container files as container engines do, with their own parsers, and prints JSON:
//
//	container-files dockerfile FILE       the stages with their instructions, and Docker's own warnings
//	container-files context FOLDER        the files that FOLDER's .dockerignore lets into a build
//	container-files compose FILE          the project, checked against the Compose specification's schema
//
// A file that an engine would refuse is an error.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/opencontainers/go-digest"
)

func main() {
	commands := map[string]func(string) (any, error){
		"dockerfile": dockerfile,
		"context":    buildContext,
		"compose":    compose,
	}
	if len(os.Args) != 3 || commands[os.Args[1]] == nil {
		fail(fmt.Errorf("usage: container-files dockerfile|context|compose PATH"))
	}
	read, err := commands[os.Args[1]](os.Args[2])
	if err != nil {
		fail(fmt.Errorf("%s: %w", os.Args[2], err))
	}
	if err := json.NewEncoder(os.Stdout).Encode(read); err != nil {
		fail(err)
	}
}

type instruction struct {
	Name string `json:"name"`
	// As written, without the name where there is a command line.
	Text string `json:"text"`
	// Of a COPY or ADD.
	Sources []string `json:"sources,omitempty"`
	From    string   `json:"from,omitempty"`
	// Of an ENTRYPOINT or CMD: not in exec form.
	Shell bool `json:"shell,omitempty"`
	// Of an ARG or LABEL.
	Values map[string]string `json:"values,omitempty"`
}

type stage struct {
	Name         string        `json:"name"`
	Base         string        `json:"base"`
	Instructions []instruction `json:"instructions"`
}

func dockerfile(path string) (any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	// What `docker build --check` does.
	source := llb.NewSourceMap(nil, path, "Dockerfile", text)
	source.Definition = &llb.Definition{}
	results, err := dockerfile2llb.DockerfileLint(
		context.Background(), text, dockerfile2llb.ConvertOpt{SourceMap: source, MetaResolver: noRegistry{}})
	if err != nil {
		return nil, err
	}
	if results.Error != nil {
		return nil, fmt.Errorf("%s", results.Error.Message)
	}
	warnings := []string{}
	for _, warning := range results.Warnings {
		warnings = append(warnings, warning.RuleName+": "+warning.Detail)
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	read, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, err
	}
	stages := []stage{}
	for _, from := range read {
		found := stage{Name: from.Name, Base: from.BaseName, Instructions: []instruction{}}
		for _, command := range from.Commands {
			found.Instructions = append(found.Instructions, describe(command))
		}
		stages = append(stages, found)
	}
	return map[string]any{"stages": stages, "warnings": warnings}, nil
}

// Knows nothing of base images, so that no registry is asked.
type noRegistry struct{}

func (noRegistry) ResolveImageConfig(
	_ context.Context, reference string, _ sourceresolver.Opt,
) (string, digest.Digest, []byte, error) {
	return reference, "", []byte(`{"architecture": "amd64", "os": "linux", "config": {}}`), nil
}

func describe(command instructions.Command) instruction {
	found := instruction{Name: command.Name(), Text: fmt.Sprint(command)}
	values := func(pairs ...instructions.KeyValuePairOptional) {
		found.Values = map[string]string{}
		for _, pair := range pairs {
			found.Values[pair.Key] = pair.ValueString()
		}
	}
	switch command := command.(type) {
	case *instructions.CopyCommand:
		found.Sources, found.From = command.SourcePaths, command.From
	case *instructions.EntrypointCommand:
		found.Shell = command.PrependShell
	case *instructions.CmdCommand:
		found.Shell = command.PrependShell
	case *instructions.UserCommand:
		found.Text = command.User
	case *instructions.ArgCommand:
		values(command.Args...)
	case *instructions.LabelCommand:
		found.Values = map[string]string{}
		for _, label := range command.Labels {
			found.Values[label.Key] = strings.Trim(label.Value, `"`)
		}
	}
	return found
}

func buildContext(folder string) (any, error) {
	file, err := os.Open(filepath.Join(folder, ".dockerignore"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	patterns, err := ignorefile.ReadAll(file)
	if err != nil {
		return nil, err
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, err
	}
	files := []string{}
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil || name == "." {
			return err
		}
		if entry.IsDir() {
			// Nothing in them is Landfall's, and they are large.
			if name == "target" || name == ".git" || name == ".tools" {
				return filepath.SkipDir
			}
			return nil
		}
		ignored, err := matcher.MatchesOrParentMatches(name)
		if err == nil && !ignored {
			files = append(files, name)
		}
		return err
	})
	return files, err
}

func compose(path string) (any, error) {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithOsEnv, cli.WithProfiles([]string{"*"}))
	if err != nil {
		return nil, err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	text, err := project.MarshalJSON()
	return json.RawMessage(text), err
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "container-files:", err)
	os.Exit(1)
}
