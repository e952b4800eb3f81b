//! What tests share: databases of both kinds, and times.

pub(crate) mod app;
pub(crate) mod authority;
pub(crate) mod database;
pub(crate) mod given;
pub(crate) mod journal;
pub(crate) mod judge;
pub(crate) mod leaders;
pub(crate) mod ledger;
pub(crate) mod live;
pub(crate) mod patience;
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod running;
pub(crate) mod service;
pub(crate) mod skipped;

pub(crate) use app::TestApp;
pub(crate) use database::Database;
pub(crate) use database::stores;
pub(crate) use skipped::not_tested;
pub(crate) use skipped::shared;

/// Whether the private PostgreSQL waits for the disk: tests kill processes, not machines.
pub(crate) const FSYNC: &str = "off";
