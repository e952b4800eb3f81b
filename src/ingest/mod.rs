//! Files and request bodies become nouns.
//!
//! Bytes ([`Source`]: plain or gzip) become rows (CSV or JSONL, each with its line), a row becomes [`Fields`] by a
//! [`Mapping`] or by the obvious names, and fields become a [`Record`]. What cannot become one is a [`Reject`] with
//! its line and the reason; a fault of the file as a whole is a [`ReadError`]. Nothing is held but the row in hand:
//! a file may be of any size. Request bodies in Segment's shapes are read by [`segment`].

mod aliases;
mod csv;
mod fields;
mod identity;
mod implied;
pub(crate) mod json;
mod mapping;
mod nouns;
mod plan;
mod reader;
mod rows;
pub mod segment;
mod source;
mod suppression;
mod template;
#[cfg(test)]
mod tests;
mod times;
mod values;
mod window;

pub use fields::Fields;
pub use identity::event_id;
pub use implied::implied_profiles;
pub use mapping::Mapping;
pub use nouns::Coupon;
pub use nouns::Identity;
pub use nouns::Record;
pub use nouns::Shop;
pub use nouns::record;
pub use reader::Item;
pub use reader::ReadOptions;
pub use reader::Reader;
pub use rows::Format;
pub use rows::ReadError;
pub use rows::Reject;
pub use source::Source;
pub use values::ValueType;

/// Longest row, in bytes.
pub const ROW_BYTES_MAX: usize = 64 * 1024;
/// Most columns of a file, and most fields of an object.
pub const COLUMNS_MAX: usize = 200;
/// Deepest nesting of a JSON row.
pub const JSON_DEPTH_MAX: usize = 32;

/// What a file holds, a row each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    /// People.
    Profiles,
    /// What people did.
    Events,
    /// What may be bought.
    Products,
    /// Codes of unique offers.
    Coupons,
    /// Addresses that must not be written to.
    Suppressions,
}

impl Noun {
    /// The word that the command line uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profiles => "profiles",
            Self::Events => "events",
            Self::Products => "products",
            Self::Coupons => "coupons",
            Self::Suppressions => "suppressions",
        }
    }
}
