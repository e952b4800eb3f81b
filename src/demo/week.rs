//! What the demonstration's people did with their mails in the week after: drawn from a seed. Machines asked too, as
//! they do; telling them from people is left to [`crate::tracking`].

use jiff::SignedDuration;
use jiff::Timestamp;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use sha2::Digest as _;

use super::people::order;
use super::products;
use crate::decision::VariantId;
use crate::digest::of_parts;
use crate::event::Event;
use crate::profile::ProfileId;
use crate::send::SendId;
use crate::stage::Stage;
use crate::store::NewHit;
use crate::tracking::HitKind;

/// How long it is watched.
pub const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// What Apple's Mail Privacy Protection says when it loads pictures, looked at or not.
const PRIVACY_PROXY: &str = "Mozilla/5.0";
const MAIL_SCANNER: &str = "Mozilla/5.0 (compatible; MailSecurityScanner/2.1)";

/// Of a hundred mails, so many lie behind a scanner that follows every link at once, …
const SCANNED_PERCENT: f64 = 7.0;
/// … so many are loaded by a privacy proxy, …
const PROXIED_PERCENT: f64 = 30.0;
/// … and so many are opened by their person.
const OPENED_PERCENT: f64 = 38.0;
/// Of a hundred that clicked, so many buy.
const BOUGHT_PERCENT: f64 = 28.0;
/// Of a hundred people, so many buy in a week without any mail.
const SPONTANEOUS_PERCENT: f64 = 2.5;

/// A mail that was delivered.
#[derive(Debug)]
pub struct Delivered<'a> {
    /// Which one.
    pub send: &'a SendId,
    /// To whom.
    pub profile: &'a ProfileId,
    /// What they saw.
    pub variant: &'a VariantId,
    /// The products in it.
    pub products: &'a [String],
    /// When.
    pub at: Timestamp,
}

/// All that came of a day's mails.
#[derive(Debug, Default)]
pub struct Week {
    /// Requests for links and pixels, in the order of time.
    pub hits: Vec<NewHit>,
    /// Orders, of people with a mail and without.
    pub orders: Vec<Event>,
}

/// The week after `mails`, for everybody in `people`.
pub fn week<'a>(
    mails: impl IntoIterator<Item = Delivered<'a>>,
    people: &[ProfileId],
    begins: Timestamp,
    seed: u64,
) -> Week {
    let mut life = Life { rng: ChaCha8Rng::seed_from_u64(seed), ends: begins + WEEK, week: Week::default() };
    for mail in mails {
        life.receives(&mail);
    }
    for person in people {
        if life.happens(SPONTANEOUS_PERCENT) {
            let at = begins + life.within(WEEK);
            life.buys(person, None, at);
        }
    }
    life.week.hits.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.id.cmp(&b.id)));
    life.week
}

struct Life {
    rng: ChaCha8Rng,
    ends: Timestamp,
    week: Week,
}

impl Life {
    fn receives(&mut self, mail: &Delivered<'_>) {
        if self.happens(SCANNED_PERCENT) {
            for link in 0..3 {
                let at = mail.at + SignedDuration::from_millis(400 + 150 * i64::from(link));
                self.hits(mail, HitKind::Click, Some(link), at, MAIL_SCANNER);
            }
        }
        if self.happens(PROXIED_PERCENT) {
            let at = mail.at + self.within(SignedDuration::from_mins(40));
            self.hits(mail, HitKind::Open, None, at, PRIVACY_PROXY);
        }
        if !self.happens(OPENED_PERCENT) {
            return;
        }
        let opened = mail.at + SignedDuration::from_mins(2) + self.within(SignedDuration::from_hours(30));
        self.hits(mail, HitKind::Open, None, opened, BROWSER);
        if !self.happens(100.0 * click_probability(mail.variant)) {
            return;
        }
        let clicked = opened + SignedDuration::from_secs(5) + self.within(SignedDuration::from_mins(3));
        self.hits(mail, HitKind::Click, Some(0), clicked, BROWSER);
        if self.happens(BOUGHT_PERCENT) {
            let at = clicked + SignedDuration::from_mins(4) + self.within(SignedDuration::from_hours(48));
            self.buys(mail.profile, mail.products.first().map(String::as_str), at);
        }
    }

    fn happens(&mut self, percent: f64) -> bool {
        self.rng.random_range(0.0..100.0) < percent
    }

    fn within(&mut self, span: SignedDuration) -> SignedDuration {
        SignedDuration::from_secs_f64(self.rng.random_range(0.0..span.as_secs_f64()))
    }

    fn hits(&mut self, mail: &Delivered<'_>, kind: HitKind, link: Option<u32>, at: Timestamp, agent: &str) {
        if at < self.ends {
            self.week.hits.push(NewHit {
                id: format!("{}-{}", mail.send, self.week.hits.len()),
                send: mail.send.clone(),
                kind,
                link,
                at,
                method: "GET".to_owned(),
                agent: agent.to_owned(),
                prefetch: String::new(),
                network: "203.0.113.0/24".to_owned(),
            });
        }
    }

    fn buys(&mut self, profile: &ProfileId, wanted: Option<&str>, at: Timestamp) {
        if at < self.ends {
            let any = self.rng.random_range(0..products::count());
            let product = (0..products::count()).find(|index| Some(products::id(*index)) == wanted);
            let (name, properties) = order(&mut self.rng, product.unwrap_or(any));
            let id = format!("{profile}-week-{}", self.week.orders.len());
            let profile = profile.clone();
            self.week.orders.push(Event { id, profile, name, at, properties });
        }
    }
}

/// What nobody told the policy: how likely somebody who opened this clicks. The nearer to a purchase, the likelier;
/// and every option of a slot is a little better or worse than the others, wherever it stands.
fn click_probability(variant: &VariantId) -> f64 {
    let stage = variant.family().split('/').nth(1).and_then(Stage::parse);
    let base = match stage {
        Some(Stage::Discover) => 0.14,
        Some(Stage::Educate) => 0.20,
        Some(Stage::Compare) => 0.24,
        Some(Stage::Purchase) | None => 0.28,
    };
    let appeal: f64 = variant
        .as_str()
        .split('+')
        .map(|part| 0.6 + 0.8 * f64::from(of_parts([part]).finalize()[0]) / 255.0)
        .product();
    (base * appeal).min(0.9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracking::Class;
    use crate::tracking::classify;

    #[test]
    fn the_same_seed_is_the_same_week_and_machines_are_told_from_people() {
        let sends: Vec<SendId> = (0..500).map(|n| SendId::parse(&format!("{n:032x}")).unwrap()).collect();
        let ana = ProfileId::parse("ana").unwrap();
        let variant = VariantId::new("journey/purchase/roast-day+hero=calm");
        let begins: Timestamp = "2026-03-03T00:00:00Z".parse().unwrap();
        let mail = |send| Delivered { send, profile: &ana, variant: &variant, products: &[], at: begins };
        let make = || week(sends.iter().map(mail), &vec![ana.clone(); 400], begins, 7);
        let (once, twice) = (make(), make());
        assert_eq!(once.hits, twice.hits);
        assert_eq!(once.orders, twice.orders);
        assert!(once.orders.iter().all(|event| event.at > begins && event.at < begins + WEEK));
        for hit in &once.hits {
            let class = classify(&[hit.of(ana.clone())])[0].class;
            let expected = match hit.agent.as_str() {
                BROWSER => Class::Human,
                PRIVACY_PROXY => Class::PrivacyProxy,
                _ => Class::Scanner,
            };
            assert_eq!(class, expected, "{hit:?}");
        }
        let clicks =
            once.hits.iter().filter(|hit| hit.kind == HitKind::Click && hit.agent == BROWSER).count();
        assert!((20..100).contains(&clicks), "{clicks}");
    }
}
