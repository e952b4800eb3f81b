//! A process that runs beside the test.

use std::process::Child;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use super::live::PATIENCE;

/// Dropped, the process ends.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// `TERM`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").arg(format!("-{name}")).arg(self.0.id().to_string()).status();
        assert!(kill.unwrap().success(), "SIG{name} to the worker");
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits until it has ended by itself; returns its exit code.
    pub(crate) fn ends(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "the worker does not end");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}
