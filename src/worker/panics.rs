//! A panic that nobody was ready for ends the worker, once what is in work has come to an end: then its leases end, where
//! silence would hold them for ever.

use std::any::Any;
use std::panic::resume_unwind;

use tokio::task::JoinError;

/// The first panic of some tasks.
#[derive(Default)]
pub(super) struct Panics(Option<Box<dyn Any + Send>>);

impl Panics {
    /// Looks at how a task ended.
    pub(super) fn note(&mut self, ended: Result<(), JoinError>) {
        let panic = ended.err().and_then(|error| error.try_into_panic().ok());
        self.0 = self.0.take().or(panic);
    }

    /// Whether there was one.
    pub(super) fn any(&self) -> bool {
        self.0.is_some()
    }

    /// Goes on with it, where there was one.
    pub(super) fn pass_on(self) {
        if let Some(panic) = self.0 {
            resume_unwind(panic);
        }
    }
}
