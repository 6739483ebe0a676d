fallback, err := tls.LoadX509KeyPair("CERTIFICATE_FILE", "KEY_FILE")
if err != nil {
	log.Fatal(err)
}
if byName := config.GetCertificate; byName != nil {
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if certificate, err := byName(hello); err == nil && certificate != nil {
			return certificate, nil
		}
		return &fallback, nil
	}
}
if byName := config.GetConfigForClient; byName != nil {
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if chosen, err := byName(hello); err == nil {
			return chosen, nil
		}
		return nil, nil
	}
}
