// The kubelet's HTTPS probe, by its own package: kubelet-probe URL. Built in the source tree of Kubernetes.
package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	probe "k8s.io/kubernetes/pkg/probe/http"
)

func main() {
	target, err := url.Parse(os.Args[1])
	if err != nil {
		panic(err)
	}
	// As in pkg/kubelet/prober/prober.go.
	result, output, err := probe.New(false).Probe(target, http.Header{}, 5*time.Second)
	fmt.Println(result, output, err)
}
