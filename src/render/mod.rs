//! The chosen variant becomes subject, HTML and text.
//!
//! - [`compile`]: MJML with Tera tags becomes HTML with Tera tags, once, when the catalogue loads. Everything that
//!   can be wrong with a template is found here, each fault with its place in the author's text.
//! - [`Renderer`]: per recipient only Tera runs, with links signed and every size limited.
//!
//! *Invariant:* no I/O, no clock, no randomness; a value from a profile is data, never template.

mod address;
mod balance;
mod body;
mod check;
mod compile;
mod components;
mod engine;
mod entities;
mod explain;
mod fault;
mod filters;
mod links;
mod lint;
mod mask;
mod output;
mod renderer;
mod scope;
mod text;
mod tokens;
mod tree;
mod values;
mod writer;

pub use address::ADDRESS_BYTES_MAX;
pub use compile::Compiled;
pub use compile::CompiledTemplate;
pub use compile::GMAIL_CLIP_BYTES;
pub use compile::SOURCE_BYTES_MAX;
pub use compile::SourceMap;
pub use compile::TemplateParts;
pub use compile::compile;
pub use engine::LinkSigner;
pub use fault::CompileFault;
pub use fault::MissingAddress;
pub use fault::Part;
pub use fault::RenderFault;
pub use filters::Example;
pub use filters::Filter;
pub use filters::RANGE_LENGTH_MAX;
pub use filters::all as filters;
pub use filters::day_in_words;
pub use links::LINKS_PER_TEMPLATE_MAX;
pub use links::Link;
pub use links::LinkKind;
pub use renderer::HTML_BYTES_MAX;
pub use renderer::LINE_BYTES_MAX;
pub use renderer::LOOP_ROUNDS_MAX;
pub use renderer::LinkContext;
pub use renderer::Rendered;
pub use renderer::Renderer;
pub use renderer::TEXT_BYTES_MAX;
pub use scope::FUNCTIONS as TERA_FUNCTIONS;
pub use scope::TERA_FILTERS;
pub use scope::TESTS as TERA_TESTS;
pub use tree::NESTING_LEVELS_MAX;
