//! Compiling: writes and their origins on all kinds of host.
