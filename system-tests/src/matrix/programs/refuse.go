// Serves TLS for one name, and refuses other hellos in a way of its choice:
// refuse DIRECTORY NAME PORT nil|error|configuration
package main

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	directory, name, port, way := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	pair, err := tls.LoadX509KeyPair(directory+"/gateway.crt", directory+"/gateway.key")
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == name {
			return &pair, nil
		}
		if way == "nil" {
			return nil, nil
		}
		return nil, errors.New("no certificate for this name")
	}}
	if way == "configuration" {
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if hello.ServerName == name {
				return nil, nil
			}
			return nil, errors.New("no configuration for this name")
		}
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello\n") })
	server := &http.Server{Addr: ":" + port, TLSConfig: config, Handler: handler}
	log.Fatal(server.ListenAndServeTLS("", ""))
}
