//! What a person did with products: looked at, liked, put into the cart, wished for, bought.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use super::CartLine;
use super::History;
use super::Purchased;
use super::fold::Moment;
use super::orders::Line;
use super::orders::Order;
use super::properties;
use crate::event::Event;
use crate::event::name;
use crate::product::ProductIndex;
use crate::product::money;

const FAVOURITE_CATEGORIES_MAX: usize = 5;
const FAVOURITE_PRODUCTS_MAX: usize = 10;
const VIEWED_MAX: usize = 20;
const PURCHASED_MAX: usize = 100;
const CART_LINES_MAX: usize = 50;
const WISH_LIST_MAX: usize = 50;
/// A view within this many days of the one before is a return to the same product.
const REPEAT_VIEW_DAYS: i64 = 30;
/// How soon interest in a product or category halves.
const INTEREST_HALF_LIFE_DAYS: f64 = 30.0;
/// How much each deed says about what a person likes; to buy says most, to look at says least.
const PURCHASE_INTEREST: f64 = 6.0;
const CART_INTEREST: f64 = 3.0;
const WISH_INTEREST: f64 = 3.0;
const COMPARE_INTEREST: f64 = 2.0;
const VIEW_INTEREST: f64 = 1.0;

/// Everything known of one product with regard to one person.
#[derive(Debug)]
struct Thing<'a> {
    id: Cow<'a, str>,
    category: Option<&'a str>,
    /// Its price in the catalogue, for a cart event that states none.
    price_minor: Option<i64>,
    interest: f64,
    viewed_ms: Option<i64>,
    /// Number of the event that last did so; larger is newer.
    viewed_by: usize,
    cart: Option<InCart>,
    wished_by: Option<usize>,
    bought: Option<Buying>,
}

#[derive(Debug, Clone, Copy)]
struct InCart {
    pieces: u32,
    price_minor: i64,
    added_by: usize,
}

#[derive(Debug, Clone, Copy)]
struct Buying {
    pieces: u32,
    orders: u32,
    at_ms: i64,
    /// Number of the order that last held it.
    order: usize,
}

/// The products of one profile while its events are read, oldest first.
pub(super) struct Things<'a> {
    list: Vec<Thing<'a>>,
    by_id: HashMap<Cow<'a, str>, usize>,
    /// Interest in categories shown or read about without a product.
    category_interest: Vec<(&'a str, f64)>,
    products: &'a ProductIndex,
    cart_changed_ms: i64,
    /// Number of the event being read.
    step: usize,
}

impl<'a> Things<'a> {
    pub(super) fn new(products: &'a ProductIndex) -> Self {
        Self {
            list: Vec::new(),
            by_id: HashMap::new(),
            category_interest: Vec::new(),
            products,
            cart_changed_ms: 0,
            step: 0,
        }
    }

    /// The number of a product. Its category is the catalogue's; where that knows none, the one its event states.
    pub(super) fn index(&mut self, id: Cow<'a, str>, stated_category: Option<&'a str>) -> usize {
        if let Some(index) = self.by_id.get(&id) {
            let thing = &mut self.list[*index];
            thing.category = thing.category.or(stated_category);
            return *index;
        }
        let product = self.products.get(&id);
        let category = product.map(|product| product.category.as_str()).filter(|name| !name.is_empty());
        self.list.push(Thing {
            id: id.clone(),
            category: category.or(stated_category),
            price_minor: product.map(|product| product.price_minor),
            interest: 0.0,
            viewed_ms: None,
            viewed_by: 0,
            cart: None,
            wished_by: None,
            bought: None,
        });
        self.by_id.insert(id, self.list.len() - 1);
        self.list.len() - 1
    }

    /// Takes any event but orders and refunds.
    pub(super) fn take(&mut self, event: &'a Event, digits: u32, moment: &Moment, history: &mut History) {
        self.step += 1;
        let at_ms = event.at.as_millisecond();
        let decay = moment.decay(at_ms, INTEREST_HALF_LIFE_DAYS);
        if event.name == name::CART_CLEARED {
            self.clear_cart(at_ms);
            return;
        }
        let interest = match event.name.as_str() {
            name::PRODUCT_VIEWED | name::PRODUCT_LIST_VIEWED | name::ARTICLE_VIEWED => VIEW_INTEREST,
            name::PRODUCT_COMPARED | name::PRODUCT_REVIEWED => COMPARE_INTEREST,
            name::PRODUCT_ADDED => CART_INTEREST,
            name::PRODUCT_ADDED_TO_WISHLIST => WISH_INTEREST,
            name::PRODUCT_REMOVED | name::PRODUCT_REMOVED_FROM_WISHLIST => 0.0,
            _ => return,
        };
        let category = properties::text(&event.properties, "category");
        let Some(id) = properties::product_id(&event.properties) else {
            self.category_interest.extend(category.map(|category| (category, interest * decay)));
            return;
        };
        let index = self.index(id, category);
        self.list[index].interest += interest * decay;
        match event.name.as_str() {
            name::PRODUCT_VIEWED => self.viewed(index, at_ms, moment, history),
            name::PRODUCT_ADDED => self.added(index, event, digits),
            name::PRODUCT_REMOVED => self.removed(index, event),
            name::PRODUCT_ADDED_TO_WISHLIST => self.list[index].wished_by = Some(self.step),
            name::PRODUCT_REMOVED_FROM_WISHLIST => self.list[index].wished_by = None,
            _ => {}
        }
    }

    fn viewed(&mut self, index: usize, at_ms: i64, moment: &Moment, history: &mut History) {
        let thing = &mut self.list[index];
        let before = thing.viewed_ms.replace(at_ms);
        thing.viewed_by = self.step;
        if before.is_some_and(|before| super::fold::whole_days(at_ms - before) < REPEAT_VIEW_DAYS) {
            history.repeat_views.add(at_ms, moment);
        }
    }

    fn added(&mut self, index: usize, event: &'a Event, digits: u32) {
        let quantity = properties::quantity(&event.properties).unwrap_or(1.0);
        if quantity <= 0.0 {
            return;
        }
        self.cart_changed_ms = event.at.as_millisecond();
        let price = properties::amount(&event.properties, "price", digits);
        let price = price.and_then(|major| money::to_minor(major, digits));
        let thing = &mut self.list[index];
        let before = thing.cart.map_or(0, |line| line.pieces);
        let price_minor = price.or(thing.cart.map(|line| line.price_minor)).or(thing.price_minor);
        thing.cart = Some(InCart {
            pieces: before.saturating_add(properties::pieces(quantity)),
            price_minor: price_minor.unwrap_or(0),
            added_by: self.step,
        });
    }

    /// Takes a stated number of pieces out of the cart, else the whole line.
    fn removed(&mut self, index: usize, event: &'a Event) {
        let Some(line) = &mut self.list[index].cart else { return };
        self.cart_changed_ms = event.at.as_millisecond();
        let taken = properties::quantity(&event.properties).filter(|quantity| *quantity > 0.0);
        line.pieces = taken.map_or(0, |taken| line.pieces.saturating_sub(properties::pieces(taken)));
        if line.pieces == 0 {
            self.list[index].cart = None;
        }
    }

    /// What was bought is wanted no more: it leaves cart and wish list, whatever number was bought.
    pub(super) fn bought(&mut self, line: &Line) {
        if line.pieces > 0 {
            let thing = &mut self.list[line.thing];
            thing.cart = None;
            thing.wished_by = None;
        }
    }

    /// Empties the cart.
    pub(super) fn clear_cart(&mut self, at_ms: i64) {
        self.cart_changed_ms = at_ms;
        for thing in &mut self.list {
            thing.cart = None;
        }
    }

    /// Adds the orders, now that it is known what each held, and writes everything into the history.
    pub(super) fn finish(mut self, orders: &[Order], moment: &Moment, history: &mut History) {
        for (number, order) in orders.iter().enumerate() {
            self.add_order(number, order, moment);
        }
        self.favourites(history);
        self.views(moment, history);
        self.cart(moment, history);
        let mut wished: Vec<&Thing<'_>> =
            self.list.iter().filter(|thing| thing.wished_by.is_some()).collect();
        wished.sort_unstable_by_key(|thing| Reverse(thing.wished_by));
        history.wish_list = ids(&wished, WISH_LIST_MAX);
        let mut bought: Vec<(&Thing<'_>, Buying)> =
            self.list.iter().filter_map(|thing| Some((thing, thing.bought?))).collect();
        bought.sort_unstable_by(|(a, bought_a), (b, bought_b)| {
            bought_b.order.cmp(&bought_a.order).then_with(|| a.id.cmp(&b.id))
        });
        let purchased = bought.into_iter().take(PURCHASED_MAX).map(|(thing, buying)| Purchased {
            product_id: thing.id.clone().into_owned(),
            quantity: buying.pieces,
            orders: buying.orders,
            days_since: moment.days(buying.at_ms),
        });
        history.purchased = purchased.collect();
    }

    fn add_order(&mut self, number: usize, order: &Order, moment: &Moment) {
        let decay = moment.decay(order.at_ms, INTEREST_HALF_LIFE_DAYS);
        for line in order.lines().iter().filter(|line| line.pieces > 0) {
            let thing = &mut self.list[line.thing];
            let before = thing.bought;
            let again = before.is_none_or(|bought| bought.order != number);
            if again {
                thing.interest += PURCHASE_INTEREST * decay;
            }
            thing.bought = Some(Buying {
                pieces: before.map_or(0, |bought| bought.pieces).saturating_add(line.pieces),
                orders: before.map_or(0, |bought| bought.orders) + u32::from(again),
                at_ms: order.at_ms,
                order: number,
            });
        }
    }

    fn favourites(&self, history: &mut History) {
        let mut categories: HashMap<&str, f64> = HashMap::new();
        for (category, interest) in &self.category_interest {
            *categories.entry(category).or_default() += interest;
        }
        let mut products: Vec<(&str, f64)> = Vec::with_capacity(self.list.len());
        for thing in self.list.iter().filter(|thing| thing.interest > 0.0) {
            products.push((&thing.id, thing.interest));
            if let Some(category) = thing.category {
                *categories.entry(category).or_default() += thing.interest;
            }
        }
        history.favourite_categories = best(
            categories.into_iter().filter(|(_, interest)| *interest > 0.0).collect(),
            FAVOURITE_CATEGORIES_MAX,
        );
        history.favourite_products = best(products, FAVOURITE_PRODUCTS_MAX);
    }

    fn views(&self, moment: &Moment, history: &mut History) {
        let mut viewed: Vec<&Thing<'_>> =
            self.list.iter().filter(|thing| thing.viewed_ms.is_some()).collect();
        let within = |days: i64| {
            let recent = |at_ms: i64| moment.days(at_ms) < days;
            super::count(viewed.iter().filter(|thing| thing.viewed_ms.is_some_and(recent)).count())
        };
        history.viewed_products_7d = within(7);
        history.viewed_products_30d = within(30);
        viewed.sort_unstable_by_key(|thing| Reverse(thing.viewed_by));
        history.viewed_products = ids(&viewed, VIEWED_MAX);
    }

    fn cart(&self, moment: &Moment, history: &mut History) {
        let mut lines: Vec<(&Thing<'_>, InCart)> =
            self.list.iter().filter_map(|thing| Some((thing, thing.cart?))).collect();
        lines.sort_unstable_by_key(|(_, line)| Reverse(line.added_by));
        lines.truncate(CART_LINES_MAX);
        history.cart_age_hours = (!lines.is_empty()).then(|| moment.hours(self.cart_changed_ms));
        history.cart_value = lines.iter().fold(0, |sum: i64, (_, line)| {
            sum.saturating_add(line.price_minor.saturating_mul(i64::from(line.pieces)))
        });
        let line = |(thing, line): (&Thing<'_>, InCart)| CartLine {
            product_id: thing.id.clone().into_owned(),
            quantity: line.pieces,
            price: line.price_minor,
        };
        history.cart = lines.into_iter().map(line).collect();
    }
}

fn ids(things: &[&Thing<'_>], count_max: usize) -> Vec<String> {
    things.iter().take(count_max).map(|thing| thing.id.clone().into_owned()).collect()
}

/// The names with the highest scores; equal scores go by name.
fn best(mut scored: Vec<(&str, f64)>, count_max: usize) -> Vec<String> {
    scored.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    scored.into_iter().take(count_max).map(|(name, _)| name.to_owned()).collect()
}
