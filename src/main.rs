//! The command line: parses, calls the library.

use std::process::ExitCode;

use clap::Parser;
use half_sky::run::{Arguments, run};
use mimalloc::MiMalloc;

/// Gives memory back: with the C library's allocator each thread that once verified a password keeps argon2's 19 MiB.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    run(Arguments::parse())
}
