//! The built program: two commands, signals, what it refuses.
