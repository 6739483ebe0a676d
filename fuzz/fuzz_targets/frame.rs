//! libFuzzer over [`sni_probe_fuzz::frame`].
#![cfg_attr(fuzzing, no_main)]

sni_probe_fuzz::target!(frame);
