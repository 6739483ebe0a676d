//! `diagnose`: the whole tree of questions, what was found at each, the cause, and the fix.
