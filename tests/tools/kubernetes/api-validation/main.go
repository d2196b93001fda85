// Does with manifests what Kubernetes' API server does, by its own code: decodes them strictly, sets
// defaults, and validates: `api-validation create FILE…`, or updates what has the same name:
// `api-validation update OLD NEW`.
//
// Prints each fault as one line, and at last how many objects it looked at. Kinds that are not
// Kubernetes' own are left out, and at an update what Helm makes anew, its hooks. Exit codes: 0 no
// fault, 1 faults, 2 it could not look.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/yaml"

	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	core "k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
)

type strategy interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
}

var strategies = map[string]strategy{
	"ConfigMap":               configmap.Strategy,
	"Deployment":              deployment.Strategy,
	"HorizontalPodAutoscaler": horizontalpodautoscaler.Strategy,
	"NetworkPolicy":           networkpolicy.Strategy,
	"Pod":                     pod.Strategy,
	"PodDisruptionBudget":     poddisruptionbudget.Strategy,
	"Service":                 service.Strategy,
	"ServiceAccount":          serviceaccount.Strategy,
	"StatefulSet":             statefulset.Strategy,
}

var decoder = serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDecoder()

// Where the release is; an API server takes it from the request.
const namespace = "release"

type object struct {
	group, version, kind, name string
	hook                       bool
	document                   []byte
}

func main() {
	if len(os.Args) < 3 || (os.Args[1] == "update" && len(os.Args) != 4) {
		fail(fmt.Errorf("usage: api-validation create FILE… | api-validation update OLD NEW"))
	}
	switch os.Args[1] {
	case "create":
		looked := 0
		for _, file := range os.Args[2:] {
			for _, object := range read(file) {
				looked++
				created(file, object)
			}
		}
		end(looked)
	case "update":
		old := map[string]object{}
		for _, object := range read(os.Args[2]) {
			old[object.kind+" "+object.name] = object
		}
		looked := 0
		for _, object := range read(os.Args[3]) {
			if object.hook {
				continue
			}
			if before, known := old[object.kind+" "+object.name]; known {
				looked++
				updated(os.Args[3], before, object)
			}
		}
		end(looked)
	default:
		fail(fmt.Errorf("neither create nor update: %s", os.Args[1]))
	}
}

var faults = 0

func fault(file string, object object, err error) {
	faults++
	fmt.Printf("%s: %s %s: %s\n", file, object.kind, object.name, strings.ReplaceAll(err.Error(), "\n", " "))
}

func end(looked int) {
	fmt.Printf("%d objects\n", looked)
	if faults > 0 {
		os.Exit(1)
	}
}

// As it is after it was created; nil if it was refused.
func created(file string, object object) runtime.Object {
	decoded, ctx := sent(file, object)
	if decoded == nil {
		return nil
	}
	accessor, _ := meta.Accessor(decoded)
	rest.FillObjectMetaSystemFields(accessor)
	if err := rest.BeforeCreate(strategies[object.kind], ctx, decoded); err != nil {
		fault(file, object, err)
		return nil
	}
	return decoded
}

func updated(file string, old, object object) {
	before := created(file, old)
	if before == nil {
		return
	}
	if decoded, ctx := sent(file, object); decoded != nil {
		if err := rest.BeforeUpdate(strategies[object.kind], ctx, decoded, before); err != nil {
			fault(file, object, err)
		}
	}
}

// An object as it is when the API server has read it and given it what it allocates.
func sent(file string, object object) (runtime.Object, context.Context) {
	decoded, err := runtime.Decode(decoder, object.document)
	if err != nil {
		fault(file, object, err)
		return nil, nil
	}
	accessor, err := meta.Accessor(decoded)
	if err != nil {
		fail(err)
	}
	accessor.SetNamespace(namespace)
	accessor.SetResourceVersion("1")
	if service, ok := decoded.(*core.Service); ok {
		if service.Spec.ClusterIP == core.ClusterIPNone {
			service.Spec.ClusterIPs = []string{core.ClusterIPNone}
		}
		if service.Spec.ExternalTrafficPolicy == core.ServiceExternalTrafficPolicyLocal &&
			service.Spec.Type == core.ServiceTypeLoadBalancer {
			service.Spec.HealthCheckNodePort = 30000
		}
	}
	ctx := request.WithNamespace(context.Background(), namespace)
	// Part of the validation asks for which version the request is.
	info := &request.RequestInfo{IsResourceRequest: true, APIGroup: object.group, APIVersion: object.version}
	return decoded, request.WithRequestInfo(ctx, info)
}

// The objects of Kubernetes' own kinds.
func read(file string) []object {
	text, err := os.ReadFile(file)
	if err != nil {
		fail(err)
	}
	var objects []object
	for _, document := range bytes.Split(append([]byte("\n"), text...), []byte("\n---")) {
		var head struct {
			Kind, APIVersion string
			Metadata         struct {
				Name        string
				Annotations map[string]string
			}
		}
		if err := yaml.Unmarshal(document, &head); err != nil {
			fail(fmt.Errorf("%s: %w", file, err))
		}
		group, version, grouped := strings.Cut(head.APIVersion, "/")
		if !grouped {
			group, version = "", head.APIVersion
		}
		if head.Kind == "" || (strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io")) {
			continue
		}
		if strategies[head.Kind] == nil {
			fail(fmt.Errorf("%s: no strategy is known for %s %s", file, head.APIVersion, head.Kind))
		}
		_, hook := head.Metadata.Annotations["helm.sh/hook"]
		objects = append(objects, object{group, version, head.Kind, head.Metadata.Name, hook, document})
	}
	return objects
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "api-validation: %v\n", err)
	os.Exit(2)
}
