//! The limiter without a database: who waits, who is put back, and that nobody is in somebody else's way.

use super::*;

fn rates(text: &str) -> Rates {
    toml::from_str(text).unwrap()
}

fn soon(limiter: &Limiter, group: &str) -> Option<Result<(), NotSoon>> {
    let mut turn = std::pin::pin!(limiter.group_turn(group, Urgency::Queued));
    let waker = std::task::Waker::noop();
    match turn.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
        std::task::Poll::Ready(result) => Some(result),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_group_without_a_stated_rate_has_no_limit_until_its_host_complains() {
    let limiter = Limiter::new(&Rates::default(), []);
    for _ in 0..100 {
        assert_eq!(limiter.group_turn("x.test", Urgency::Queued).await, Ok(()));
    }
    assert_eq!(limiter.group_rate("x.test"), None);
    limiter.slow_down("x.test");
    assert_eq!(limiter.group_rate("x.test"), Some(50.0));
    limiter.slow_down("x.test");
    assert_eq!(limiter.group_rate("x.test"), Some(50.0), "refusals within a second count once");
    assert_eq!(limiter.group_rate("y.test"), None);
    assert_eq!(limiter.wants(), [], "what is our own affair needs no slots");
}

#[tokio::test]
async fn without_slots_nothing_goes_and_others_are_not_held_up() {
    let limiter = Limiter::new(&rates("[domain.gmail]\nper_minute = 60"), [("slow".to_owned(), 0.01)]);
    assert_eq!(soon(&limiter, "gmail"), None, "it waits a little for the database's answer");
    assert_eq!(soon(&limiter, "other.test"), Some(Ok(())));
    limiter.grant("group:gmail/minute", 1, 0, 900_000);
    assert_eq!(soon(&limiter, "gmail"), Some(Ok(())));
    let first = soon(&limiter, "gmail").unwrap().unwrap_err().after;
    let second = soon(&limiter, "gmail").unwrap().unwrap_err().after;
    let turn = Duration::from_millis(800);
    assert!(first > turn && second + Duration::from_millis(50) >= first + turn, "{first:?} {second:?}");
    assert_eq!(soon(&limiter, "other.test"), Some(Ok(())));
    assert!(limiter.relay_is_free("slow") && limiter.relay_is_free("fast"));
}

#[tokio::test]
async fn a_mail_needs_a_slot_of_every_stated_window() {
    let limiter = Limiter::new(&rates("per_second = 10\nper_day = 1000"), []);
    assert!((limiter.global_rate().unwrap() - 990.0 / 86_400.0).abs() < 1e-9);
    limiter.grant("global/second", 5, 0, 0);
    let mut turn = std::pin::pin!(limiter.global_turn());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(turn.as_mut().poll(&mut context).is_pending());
    let wants: Vec<_> = limiter.wants().into_iter().map(|want| (want.key, want.slots)).collect();
    assert_eq!(wants, [("global/day".to_owned(), 1)]);
    limiter.grant("global/day", 1, 0, 0);
    turn.await;
}
