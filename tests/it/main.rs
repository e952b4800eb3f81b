//! The one integration test binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod address;
mod bounces;
mod catalog;
mod config;
mod evaluate;
mod faults_leader;
mod faults_rates;
mod faults_signals;
mod feedback;
mod history;
mod http;
mod import;
mod kill;
mod learning;
mod message;
mod migrations;
mod preview;
mod privacy;
mod render;
mod smtp;
mod store_consents;
mod store_keys;
mod store_learnt;
mod store_locks;
mod store_marks;
mod store_orphans;
mod store_people;
mod store_plans;
mod store_requests;
mod store_sends;
mod support;
mod templates;
mod tidy;
mod worker;
