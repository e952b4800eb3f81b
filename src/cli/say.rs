//! Printing for people. Where nobody reads any more (`| head`) the program goes on in silence: what it has to do, it does,
//! and its exit code is true.

use std::fmt::Arguments;
use std::io::ErrorKind;
use std::io::Write as _;

/// `println!`, which panics where nobody reads.
macro_rules! say {
    () => { $crate::cli::say::print(format_args!("\n")) };
    ($($text:tt)*) => { $crate::cli::say::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// `print!`, which panics where nobody reads.
macro_rules! say_part {
    ($($text:tt)*) => { $crate::cli::say::print(format_args!($($text)*)) };
}

pub(crate) use say;
pub(crate) use say_part;

/// Prints to standard output, and ends the program where that cannot be, unless nobody reads.
pub(crate) fn print(text: Arguments<'_>) {
    let Err(error) = std::io::stdout().write_fmt(text) else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        return;
    }
    // Whether anybody can read it or not.
    let _ = writeln!(std::io::stderr(), "bespoke: cannot print: {error}");
    std::process::exit(1);
}
