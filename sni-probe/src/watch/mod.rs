//! `watch`: a live view in the terminal.
