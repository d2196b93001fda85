// Package types names the packages with the types of other projects' custom resources, of which
// controller-gen, the tool of go.mod, makes their definitions.
package types

import (
	_ "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	_ "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	_ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)
