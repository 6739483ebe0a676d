{certfile, "CERTIFICATE_FILE"},
{keyfile, "KEY_FILE"},
