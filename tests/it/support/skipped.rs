//! What could not be tested on this machine, so that nobody takes it for tested: said at once, past what libtest keeps
//! back, and written down for `tests/run` to say at its end.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

/// Says that something is not tested, and why.
pub(crate) fn not_tested(why: &str) {
    let _ = writeln!(std::io::stderr(), "\n*** NOT TESTED: {why} ***\n");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("not-tested.txt");
    let mut file =
        OpenOptions::new().create(true).append(true).open(file).expect("a file in the target folder");
    // In one write: tests run side by side.
    file.write_all(format!("{why}\n").as_bytes()).expect("a line");
}

/// A file of the shared data; `None`, said loudly, where it is absent.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(path);
    if file.exists() {
        return Some(file);
    }
    not_tested(&format!("claims on real data: {} is absent", file.display()));
    None
}
