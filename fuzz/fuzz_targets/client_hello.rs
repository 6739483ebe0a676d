//! libFuzzer over [`sni_probe_fuzz::client_hello`].
#![cfg_attr(fuzzing, no_main)]

sni_probe_fuzz::target!(client_hello);
