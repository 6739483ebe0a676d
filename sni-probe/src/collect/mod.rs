//! `collect`: what support asks for, in one file, without secrets.
