//! libFuzzer over [`sni_probe_fuzz::tracker`].
#![cfg_attr(fuzzing, no_main)]

sni_probe_fuzz::target!(tracker);
