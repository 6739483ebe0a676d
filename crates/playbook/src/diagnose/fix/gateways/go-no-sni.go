fallback, err := tls.LoadX509KeyPair("CERTIFICATE_FILE", "KEY_FILE")
if err != nil {
	log.Fatal(err)
}
if byName := config.GetCertificate; byName != nil {
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == "" {
			return &fallback, nil
		}
		return byName(hello)
	}
}
if byName := config.GetConfigForClient; byName != nil {
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName == "" {
			return nil, nil
		}
		return byName(hello)
	}
}
