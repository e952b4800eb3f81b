//! Offers without a coupon for somebody, and draws that must be made again because one has just run out.

use crate::catalog::Catalog;
use crate::catalog::offer::OfferKind;
use crate::decision::Choice;
use crate::decision::Withdrawn;
use crate::select::NoCoupon;
use crate::worker::decide::Plan;

/// Offers that have no coupon left, and the draws of one send that fell on one of them.
///
/// Each draw has a seed of its own: with the seed of the first, the second would depend on where the first fell, and its
/// probabilities would not be those that are written down.
#[derive(Debug, Clone, Default)]
pub struct Exhausted {
    offers: Vec<NoCoupon>,
    withdrawn: Vec<Withdrawn>,
}

impl Exhausted {
    /// Nothing was drawn yet.
    pub fn new(offers: Vec<String>) -> Self {
        Self { offers: offers.into_iter().map(NoCoupon::Left).collect(), withdrawn: Vec::new() }
    }

    /// For somebody without an address, who gets no coupon at all.
    pub fn of_visitor(catalog: &Catalog) -> Self {
        let coupons = catalog.offers().filter(|offer| offer.kind == OfferKind::Coupon);
        let offers = coupons.map(|offer| NoCoupon::Visitor(offer.name.clone())).collect();
        Self { offers, withdrawn: Vec::new() }
    }

    /// Offers without a coupon.
    pub fn offers(&self) -> &[NoCoupon] {
        &self.offers
    }

    /// Draws that came to nothing, in their order.
    pub fn withdrawn(&self) -> &[Withdrawn] {
        &self.withdrawn
    }

    /// Takes back a plan whose `offer` turned out to have no coupon left.
    pub fn withdraw(&mut self, plan: &Plan, offer: &str) {
        let decision = &plan.decision;
        if let Choice::Variant { variant, .. } = &decision.choice {
            self.withdrawn.push(Withdrawn {
                variant: variant.clone(),
                propensity: decision.propensity,
                seed: decision.seed,
                drawn_at: decision.drawn_at,
                offer: offer.to_owned(),
            });
        }
        if !self.offers.iter().any(|known| known.offer() == offer) {
            self.offers.push(NoCoupon::Left(offer.to_owned()));
        }
    }
}
