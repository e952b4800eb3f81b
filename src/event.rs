//! Something a profile did, at a time, with properties (Segment's `track`).

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::profile::ProfileId;

/// Longest event, as JSON, in bytes (Segment's limit).
pub const EVENT_SIZE_BYTES_MAX: usize = 32 * 1024;

/// One event. `(profile, id)` is unique: the same id twice is one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The message id that its source gave it, or one derived from its content.
    pub id: String,
    /// Who did it.
    pub profile: ProfileId,
    /// What was done, in Segment's words where they have one (see [`name`]).
    pub name: String,
    /// When it was done.
    pub at: Timestamp,
    /// Everything else that is known of it.
    #[serde(default)]
    pub properties: Map<String, Value>,
}

/// Event names with a meaning to bespoke: Segment's e-commerce and email specifications.
pub mod name {
    /// A product's page was seen; `product_id`.
    pub const PRODUCT_VIEWED: &str = "Product Viewed";
    /// A category or list was seen; `category`.
    pub const PRODUCT_LIST_VIEWED: &str = "Product List Viewed";
    /// The catalogue was searched; `query`.
    pub const PRODUCTS_SEARCHED: &str = "Products Searched";
    /// Put into the cart; `product_id`, `quantity`, `price`.
    pub const PRODUCT_ADDED: &str = "Product Added";
    /// Taken out of the cart; `product_id`, `quantity`.
    pub const PRODUCT_REMOVED: &str = "Product Removed";
    /// The whole cart was emptied at once.
    pub const CART_CLEARED: &str = "Cart Cleared";
    /// Put on the wish list; `product_id`.
    pub const PRODUCT_ADDED_TO_WISHLIST: &str = "Product Added to Wishlist";
    /// Taken off the wish list; `product_id`.
    pub const PRODUCT_REMOVED_FROM_WISHLIST: &str = "Product Removed from Wishlist";
    /// Reviews, comparisons, size guides: reading to decide; `product_id` or `category`.
    pub const PRODUCT_COMPARED: &str = "Product Compared";
    /// The checkout was entered.
    pub const CHECKOUT_STARTED: &str = "Checkout Started";
    /// Bought: `order_id`, and either `products` (a list) or one line (`product_id`, `quantity`, `price`).
    pub const ORDER_COMPLETED: &str = "Order Completed";
    /// Sent out; `order_id`.
    pub const ORDER_SHIPPED: &str = "Order Shipped";
    /// Money back; `order_id`, `total`.
    pub const ORDER_REFUNDED: &str = "Order Refunded";
    /// A review was written; `product_id`, `rating`.
    pub const PRODUCT_REVIEWED: &str = "Product Reviewed";
    /// An article or guide was read; `category`.
    pub const ARTICLE_VIEWED: &str = "Article Viewed";
    /// Any page was seen.
    pub const PAGE_VIEWED: &str = "Page Viewed";
    /// Signed up, or was first seen.
    pub const SIGNED_UP: &str = "Signed Up";
    /// A mail of ours was opened; `send_id`, `class`.
    pub const EMAIL_OPENED: &str = "Email Opened";
    /// A link in a mail of ours was clicked; `send_id`, `link`, `class`.
    pub const EMAIL_LINK_CLICKED: &str = "Email Link Clicked";
    /// A mail of ours came back; `send_id`.
    pub const EMAIL_BOUNCED: &str = "Email Bounced";
    /// A mail of ours was reported as spam; `send_id`.
    pub const EMAIL_MARKED_AS_SPAM: &str = "Email Marked as Spam";
    /// Asked for no more mail; `topic`.
    pub const UNSUBSCRIBED: &str = "Unsubscribed";

    /// All of the above, for name checks.
    pub const ALL: &[&str] = &[
        PRODUCT_VIEWED,
        PRODUCT_LIST_VIEWED,
        PRODUCTS_SEARCHED,
        PRODUCT_ADDED,
        PRODUCT_REMOVED,
        CART_CLEARED,
        PRODUCT_ADDED_TO_WISHLIST,
        PRODUCT_REMOVED_FROM_WISHLIST,
        PRODUCT_COMPARED,
        CHECKOUT_STARTED,
        ORDER_COMPLETED,
        ORDER_SHIPPED,
        ORDER_REFUNDED,
        PRODUCT_REVIEWED,
        ARTICLE_VIEWED,
        PAGE_VIEWED,
        SIGNED_UP,
        EMAIL_OPENED,
        EMAIL_LINK_CLICKED,
        EMAIL_BOUNCED,
        EMAIL_MARKED_AS_SPAM,
        UNSUBSCRIBED,
    ];
}

/// The key under which an event's counts stand in a history: `"Product Viewed"` → `product_viewed`.
pub fn slug(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_alphanumeric() {
            out.extend(character.to_lowercase());
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
    }
    out.truncate(out.trim_end_matches('_').len());
    out
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn a_slug_is_lower_case_words_joined_by_underscores() {
        for (name, expected) in
            [("Product Viewed", "product_viewed"), ("  Order–Completed! ", "order_completed"), ("", "")]
        {
            assert_eq!(slug(name), expected);
        }
    }
}
