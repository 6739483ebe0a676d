//! Names of gateways and clients from the API server of a Kubernetes cluster.
