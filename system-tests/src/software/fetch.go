// Go's two ways to speak TLS, neither of which sends SNI for an IP address: fetch dial|http HOST:PORT
package main

import (
	"crypto/tls"
	"net/http"
	"os"
)

func main() {
	config := &tls.Config{InsecureSkipVerify: true}
	if os.Args[1] == "dial" {
		if connection, err := tls.Dial("tcp", os.Args[2], config); err == nil {
			connection.Close()
		}
		return
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	client := &http.Client{Transport: transport}
	if response, err := client.Get("https://" + os.Args[2] + "/"); err == nil {
		response.Body.Close()
	}
}
