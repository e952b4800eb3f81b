//! Reports: what was sent, what came of it, what customers are worth. One file a report, one line in [`REPORTS`].
//!
//! A report reads rows by methods of the store, counts without any I/O, and gives a [`Report`]: figures with units,
//! intervals and counts. `text`, `machine` and `html` write it down; none of them knows any report.
//!
//! In reading order: [`document`] and [`plot`] (what a report says), [`scope`] (about when and whom), `people`
//! (orders and mails, person by person), `estimate` (intervals), then the reports.

use futures_util::future::BoxFuture;
use futures_util::future::FutureExt as _;

pub mod document;
mod estimate;
pub mod figures;
pub mod html;
pub mod machine;
mod people;
pub mod plot;
mod scale;
pub mod scope;
mod svg;
pub mod text;

mod ab;
mod clv;
mod cohorts;
mod deliverability;
mod funnel;
mod kpi;
mod lift;
mod variants;

pub use document::Report;
pub use scope::Sources;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The database.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The request cannot be answered.
    #[error("{0}")]
    Request(String),
    /// The data cannot carry an answer.
    #[error("{0}")]
    Data(String),
}

/// A report that there is.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The word by which it is asked for.
    pub name: &'static str,
    /// One line for people.
    pub help: &'static str,
    /// Makes it.
    pub make: for<'a> fn(&'a Sources<'a>) -> BoxFuture<'a, Result<Report, ReportError>>,
}

/// All reports.
pub const REPORTS: &[Kind] = &[
    Kind {
        name: "funnel",
        help: "Where people stand on the journey over time, and what mails did at each stage",
        make: |sources| funnel::make(sources).boxed(),
    },
    Kind {
        name: "variants",
        help: "Every variant: its share of the traffic, opened, clicked, bought, with intervals",
        make: |sources| variants::make(sources).boxed(),
    },
    Kind {
        name: "ab",
        help: "A/B tests: what each has shown, with p-values that stay valid however often one looks",
        make: |sources| ab::make(sources).boxed(),
    },
    Kind {
        name: "lift",
        help: "What campaigns changed: everybody they were dealt to against the holdout",
        make: |sources| lift::make(sources).boxed(),
    },
    Kind {
        name: "kpi",
        help: "Revenue, orders, average order value, repeat rate, conversion, and what mails had to do with it",
        make: |sources| kpi::make(sources).boxed(),
    },
    Kind {
        name: "cohorts",
        help: "Of the people who first bought in a month, how many bought in each later month",
        make: |sources| cohorts::make(sources).boxed(),
    },
    Kind {
        name: "deliverability",
        help: "What became of mails, by group of recipients' domains",
        make: |sources| deliverability::make(sources).boxed(),
    },
    Kind {
        name: "clv",
        help: "What customers are worth in the coming year, with a back-test and its correction factor",
        make: |sources| clv::make(sources).boxed(),
    },
];

/// The report of this name.
pub fn find(name: &str) -> Option<&'static Kind> {
    REPORTS.iter().find(|kind| kind.name == name)
}
