//! What is shipped beside the program, and how it is watched: nothing here starts a cluster.

// The Helm chart: what it renders is what Kubernetes and the gateway take, and what it must refuse it refuses.
mod chart;
// The Dockerfile and compose.yaml, as Docker's own parsers read them.
mod image;
// Alerts, runbook and dashboard fit each other and what a gateway exposes.
mod monitoring;
