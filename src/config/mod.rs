//! What the process is told from outside: `bespoke.toml` < `BESPOKE_…` < flags, typed, checked once.

mod check;
mod delivery;
mod environment;
mod feedback;
mod http;
mod load;
mod retention;
mod sections;
mod veil;

pub use delivery::*;
pub use environment::ALIASES;
pub use environment::Environment;
pub use environment::set_path;
pub use feedback::FeedbackSection;
pub use feedback::WebhookSection;
pub use feedback::Webhooks;
pub use http::Http;
pub use load::ConfigErrors;
pub use load::Overrides;
pub use retention::Retention;
pub use sections::*;
