//! The command line: parses, calls the library.

use std::process::ExitCode;

use clap::Parser;
use half_sky::run::{Arguments, run};

fn main() -> ExitCode {
    run(Arguments::parse())
}
