//! What each fact is: its unit, an example, and when it is absent. A test holds the table against the contract.

/// One fact, or several under one shape.
#[derive(Debug, Clone, Copy)]
pub(super) struct FactDoc {
    /// As templates and rules write it. `EVENT` stands for an event's name in lower case with `_` between words, and
    /// `[]` for any place of a list.
    pub(super) path: &'static str,
    /// As JSON.
    pub(super) example: &'static str,
    /// What it is, in which unit, and when it is absent.
    pub(super) what: &'static str,
}

const fn fact(path: &'static str, example: &'static str, what: &'static str) -> FactDoc {
    FactDoc { path, example, what }
}

/// What stands behind `profile.` and `shop.` beside the facts of the table: their author names them.
pub(super) const OWN_TRAIT: &str = "your own: [traits] of bespoke.toml; absent where nothing is known";
pub(super) const OWN_SHOP: &str = "your own: [shop] of bespoke.toml";

/// The fields of the shape called `a product`.
pub(super) const PRODUCT: &[FactDoc] = &[
    fact("category", "\"kettles\"", "its category, as imported; may be empty"),
    fact("currency", "\"GBP\"", "ISO 4217; the shop's where the product states none"),
    fact("description", "\"Pours where you point it\"", "as imported; may be empty"),
    fact("id", "\"KET-1\"", "your own id, or SKU"),
    fact(
        "image_url",
        "\"https://shop.example/kettle.png\"",
        "https; may be empty: ask before an `<mj-image>`",
    ),
    fact("list_price", "7900", "price before a discount, in minor units; absent where none is stated"),
    fact("name", "\"Gooseneck kettle\"", "as imported"),
    fact("price", "6400", "in minor units: `| money` writes it"),
    fact("url", "\"https://shop.example/p/KET-1\"", "its page; the shop's where it has none"),
];

/// The fields of the shape called `counts of an event`.
pub(super) const COUNTS: &[FactDoc] = &[
    fact("count", "12", "how often, ever: as far back as events are read (5,000, or `[retention]`)"),
    fact("count_1d", "1", "in the last 24 hours"),
    fact("count_30d", "7", "in the last 30 days"),
    fact("count_365d", "12", "in the last 365 days"),
    fact("count_7d", "3", "in the last 7 days"),
    fact("count_90d", "9", "in the last 90 days"),
    fact("days_since", "2", "whole days since the last one; absent where it never happened"),
    fact("recent", "2.7", "decayed count: one of this moment is 1, one of `stage.half_life_days` ago is ½"),
];

/// All others, by path.
pub(super) const FACTS: &[FactDoc] = &[
    fact("campaign.description", "\"Seven days after sign-up\"", "its `description`; may be empty"),
    fact("campaign.kind", "\"lifecycle\"", "`lifecycle` or `transactional`"),
    fact("campaign.name", "\"welcome\"", "the name of its folder"),
    fact("campaign.topic", "\"news\"", "what people may unsubscribe from"),
    fact(
        "cart.items",
        "[]",
        "lines of the cart whose products are in the catalogue, newest first, at most 20",
    ),
    fact("cart.items[].price", "6400", "of one, as it was when put in; minor units"),
    fact("cart.items[].product", "{}", "what lies there"),
    fact("cart.items[].quantity", "2", "how many"),
    fact("cart.items[].total", "12800", "price × quantity, in minor units"),
    fact("cart.value", "12800", "all lines together, in minor units; 0 where it is empty"),
    fact(
        "data",
        "{\"order_id\": \"A-7\"}",
        "what the request, or the event that starts the campaign, brought along; nothing of it is checked, so all of it may be absent: `{{ data.order_id or '' }}`. Lines of `data.products` get `name`, `url` and `image_url` of the catalogue",
    ),
    fact(
        "history.average_order_value",
        "5200",
        "`spend_total / orders_total`, in minor units; 0 without orders",
    ),
    fact("history.cart", "[]", "what lies in the cart, newest first, at most 50 lines"),
    fact("history.cart[].price", "6400", "of one, as it was when put in; minor units"),
    fact("history.cart[].product_id", "\"KET-1\"", "which product"),
    fact("history.cart[].quantity", "2", "how many"),
    fact("history.cart_age_hours", "26", "hours since the cart last changed; absent where it is empty"),
    fact("history.cart_value", "12800", "worth of the cart, in minor units"),
    fact("history.days_since_first_order", "210", "days; absent without an order"),
    fact("history.days_since_order", "34", "days since the last order; absent without one"),
    fact(
        "history.days_since_seen",
        "2",
        "days since the person last did anything; absent where they never did",
    ),
    fact(
        "history.events.EVENT",
        "{}",
        "of each of Segment's e-commerce and email events, and of those of `[events] known`, such as `product_viewed`; `order_completed` counts distinct orders, opens and clicks those of a person",
    ),
    fact("history.favourite_categories", "[\"kettles\"]", "by decayed interest, best first, at most 5"),
    fact("history.favourite_products", "[\"KET-1\"]", "ids by decayed interest, best first, at most 10"),
    fact(
        "history.first_seen_at",
        "1767225600000",
        "milliseconds since 1970; absent where nothing was ever done",
    ),
    fact(
        "history.last_seen_at",
        "1795338000000",
        "milliseconds since 1970; absent where nothing was ever done",
    ),
    fact(
        "history.mails.click_rate_last_5",
        "0.29",
        "share of the last five mails that was clicked, shrunk towards 3 %: 0 to 1",
    ),
    fact("history.mails.clicked", "4", "mails that a person clicked, of the 50 last ones"),
    fact("history.mails.days_since_clicked", "9", "days; absent where no mail was clicked"),
    fact("history.mails.days_since_sent", "3", "days; absent before the first mail"),
    fact("history.mails.last", "[]", "the newest mails, newest first, at most 10"),
    fact("history.mails.last[].at", "\"2026-11-22T09:00:00Z\"", "when it was handed over"),
    fact("history.mails.last[].campaign", "\"welcome\"", "its campaign"),
    fact(
        "history.mails.last[].clicked_at",
        "\"2026-11-22T10:00:00Z\"",
        "when a person first clicked; absent where nobody did",
    ),
    fact("history.mails.last[].kind", "\"lifecycle\"", "`lifecycle` or `transactional`"),
    fact(
        "history.mails.last[].opened_at",
        "\"2026-11-22T09:30:00Z\"",
        "when a person first opened it; absent where nobody did",
    ),
    fact("history.mails.last[].products", "[\"KET-1\"]", "ids of products that it showed"),
    fact("history.mails.last[].send", "\"019b0c7e5d3a7c54b6a1f0e2d4c6b8aa\"", "its send's id"),
    fact("history.mails.last[].variant", "\"welcome/any/hello\"", "which variant it was"),
    fact("history.mails.opened", "6", "mails that a person opened, of the 50 last ones"),
    fact("history.mails.sent", "14", "mails, ever: as far back as they are read (50)"),
    fact("history.mails.sent_30d", "4", "mails of the last 30 days"),
    fact("history.mails.sent_7d", "1", "mails of the last 7 days"),
    fact("history.order_interval_days", "28", "median days between orders; absent before the third"),
    fact("history.orders_365d", "3", "distinct orders of the last 365 days"),
    fact("history.orders_total", "5", "distinct orders"),
    fact("history.purchased", "[]", "products bought, newest first, each once, at most 100"),
    fact("history.purchased[].days_since", "34", "days since the last time"),
    fact("history.purchased[].orders", "2", "in how many orders"),
    fact("history.purchased[].product_id", "\"KET-1\"", "which product"),
    fact("history.purchased[].quantity", "3", "how many in all"),
    fact(
        "history.repeat_views",
        "{}",
        "of views of a product that was viewed before within 30 days: the mark of somebody who weighs",
    ),
    fact("history.spend_365d", "15600", "money spent in the last 365 days, less refunds; minor units"),
    fact("history.spend_total", "26000", "money spent, less refunds; minor units"),
    fact("history.tenure_days", "327", "days since the first event, or since the profile came to be"),
    fact("history.value", "{}", "the value model's view; absent before `bespoke learn` has fitted one"),
    fact(
        "history.value.clv_365d",
        "9100",
        "worth of the orders expected, in minor units; absent with `history.value`",
    ),
    fact(
        "history.value.expected_orders_365d",
        "1.8",
        "orders expected in the next 365 days; absent with `history.value`",
    ),
    fact(
        "history.value.p_alive",
        "0.92",
        "probability that the customer still buys, 0 to 1; absent with `history.value`",
    ),
    fact(
        "history.viewed_products",
        "[\"KET-1\"]",
        "ids lately looked at, newest first, each once, at most 20",
    ),
    fact("history.viewed_products_30d", "6", "distinct products looked at in the last 30 days"),
    fact("history.viewed_products_7d", "2", "distinct products looked at in the last 7 days"),
    fact(
        "history.wish_list",
        "[\"KET-1\"]",
        "ids on the wish list and not bought since, newest first, at most 50",
    ),
    fact(
        "links.preferences",
        "\"https://mail.shop.example/p/…\"",
        "this person's page of topics; absent where `public.url` is not stated. Not in rules",
    ),
    fact(
        "links.unsubscribe",
        "\"https://mail.shop.example/u/…\"",
        "signed for this mail; a mailto: address where `public.url` is not stated. Not in rules",
    ),
    fact(
        "links.view",
        "\"https://mail.shop.example/v/…\"",
        "this mail as a page; absent where `public.url` is not stated. Not in rules",
    ),
    fact(
        "now",
        "\"2026-11-22T09:00:00Z\"",
        "the time of the decision, in UTC: `| date` writes it in the person's zone",
    ),
    fact(
        "offer.amount",
        "500",
        "what `amount` of offers.toml comes to, in minor units; absent where it states none. All of `offer`: only where the head names one, and not in rules",
    ),
    fact(
        "offer.code",
        "\"WELCOME-4F7K\"",
        "this person's own code; absent where the offer's kind is not `coupon`",
    ),
    fact("offer.description", "\"Ten percent off\"", "of offers.toml; may be empty"),
    fact("offer.expires_at", "\"2026-12-06T09:00:00Z\"", "in UTC; absent where `expires_days` is not stated"),
    fact("offer.name", "\"first-order\"", "its name in offers.toml"),
    fact(
        "offer.percent",
        "10",
        "what `percent` of offers.toml comes to, 0 to 100; absent where it states none",
    ),
    fact("popular", "[]", "what sells now, and this person has not bought, at most 6"),
    fact("profile.consent", "\"granted\"", "`unknown`, `granted` or `withdrawn`"),
    fact("profile.created_at", "\"2026-01-01T00:00:00Z\"", "when we first heard of the person, in UTC"),
    fact("profile.email", "\"ana@shop.example\"", "absent where none is known: such a person gets no mail"),
    fact("profile.id", "\"ana\"", "your own id of the person"),
    fact("profile.locale", "\"de-AT\"", "BCP 47; absent where none is known"),
    fact(
        "profile.time_zone",
        "\"Europe/Vienna\"",
        "IANA; absent where none is known: `quiet_hours.default_time_zone` holds then",
    ),
    fact("purchased", "[]", "what was bought, newest first, at most 6"),
    fact(
        "recommended",
        "[]",
        "for this person, best first, at most 6; in stock, not lately shown, not bought but what is used up",
    ),
    fact("related", "[]", "what goes with `related_to`, best first, at most 6"),
    fact("related_to", "{}", "the last purchase with which something goes; absent where there is none"),
    fact("stage", "\"compare\"", "`discover`, `educate`, `compare` or `purchase`"),
    fact("viewed", "[]", "lately looked at, newest first, at most 6"),
    fact("wish_list", "[]", "on the wish list, newest first, at most 6"),
];
