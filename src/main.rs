//! The `bespoke` program: parse, run the role, exit with its code.

use std::process::ExitCode;

use bespoke::cli::Cli;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().run()
}
