//! libFuzzer over [`sni_probe_fuzz::record_layer`].
#![cfg_attr(fuzzing, no_main)]

sni_probe_fuzz::target!(record_layer);
