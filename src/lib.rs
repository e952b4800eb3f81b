//! One-to-one email, from a customer's history to their inbox.
//!
//! # Layout, in reading order
//!
//! Data flows one way; the middle (`history`, `stage`, `catalog`, `select`, `render`) is pure: values in,
//! values out, with time and randomness as arguments.
//!
//! - [`clock`], [`config`], [`fault`]: what the process is told from outside, and how it says what is wrong.
//! - [`profile`], [`event`], [`product`], [`campaign`], [`send`], [`decision`], [`rate`]: the nouns.
//! - [`token`]: what our links and return paths are signed with.
//! - [`history`], [`stage`], [`facts`]: what a person's events say about them, and all that templates may name.
//! - [`ingest`]: files and request bodies become nouns.
//! - [`catalog`]: templates become variants; rules are compiled; everything is checked at load.
//! - [`select`]: one variant for one person, with its exact propensity.
//! - [`render`]: the chosen variant becomes subject, HTML and text.
//! - [`deliver`]: the mail becomes bytes, is signed, and goes out over SMTP or into a folder.
//! - [`store`]: the only SQL, on SQLite and PostgreSQL.
//! - [`bounce`]: what a mail that came back says, read from its bytes.
//! - [`feedback`]: what of that is proven, and what follows from it.
//! - [`worker`]: plan, gate, and the loop that sends.
//! - [`http`]: the same for other programs: what people do comes in, sends are asked for, links are followed.
//! - [`outward`]: calls to hosts that others name, within limits.
//! - [`webhook`]: telling other systems what happened.
//! - [`learn`]: from decisions and rewards back to a model; evaluation of any policy on any log.
//! - [`report`], [`preview`], [`explain`]: what people look at.
//! - [`demo`]: the shop of `bespoke demo`.
//! - [`cli`]: one role per subcommand.

pub mod clock;
pub mod config;
pub mod fault;

pub mod campaign;
pub mod decision;
mod digest;
pub mod event;
pub mod product;
pub mod profile;
pub mod rate;
pub mod send;

pub mod bounce;
pub mod catalog;
pub mod cli;
pub mod deliver;
pub mod demo;
pub mod explain;
pub mod facts;
pub mod feedback;
pub mod history;
pub mod http;
pub mod ingest;
pub mod learn;
pub mod metrics;
pub mod outward;
pub mod preview;
pub mod render;
pub mod report;
pub mod select;
pub mod stage;
pub mod store;
pub mod token;
mod toml_text;
pub mod tracking;
pub mod webhook;
mod words;
pub mod worker;
