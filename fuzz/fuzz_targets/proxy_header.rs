//! libFuzzer over [`sni_probe_fuzz::proxy_header`].
#![cfg_attr(fuzzing, no_main)]

sni_probe_fuzz::target!(proxy_header);
