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
    let refusals = limiter.refusals();
    let refusal = Refusal { group: "x.test".to_owned(), rate: 50.0, usual: 100.0, known_at_ms: None };
    assert_eq!(refusals, [refusal]);
    assert_eq!(soon(&limiter, "x.test"), None, "its slots are shared by all workers");
    limiter.told(&refusals[0]);
    assert_eq!(limiter.refusals(), []);
}

#[tokio::test]
async fn what_other_workers_learnt_holds_here_too_and_is_given_back_step_by_step() {
    let limiter = Limiter::new(&rates("[domain.gmail]\nper_second = 20"), []);
    let throttled = |rate, age| Throttled {
        group: "gmail".to_owned(),
        rate,
        usual: 20.0,
        refused_at_ms: 7,
        age: Duration::from_secs(age),
    };
    limiter.know(vec![throttled(5.0, 61)], 2);
    assert_eq!(limiter.group_rate("gmail"), Some(6.25));
    // A refusal here halves what it is by now, and says which one it knew of.
    limiter.slow_down("gmail");
    let expected = Refusal { group: "gmail".to_owned(), rate: 3.125, usual: 20.0, known_at_ms: Some(7) };
    assert_eq!(limiter.refusals(), std::slice::from_ref(&expected));
    limiter.know(vec![throttled(5.0, 62)], 2);
    assert_eq!(limiter.group_rate("gmail"), Some(3.125), "what is not told yet is not forgotten");
    limiter.told(&expected);
    limiter.know(vec![throttled(3.125, 0)], 2);
    let now = Instant::now();
    limiter.state().throttle(now + Duration::from_mins(3));
    let recovered = limiter.group_rate("gmail").unwrap();
    assert!((recovered - 3.125 * 1.25 * 1.25 * 1.25).abs() < 1e-9, "{recovered}");
    limiter.state().throttle(now + Duration::from_mins(33));
    assert_eq!(limiter.group_rate("gmail"), Some(20.0));
    limiter.know(Vec::new(), 2);
    assert_eq!(limiter.group_rate("gmail"), Some(20.0));
}

#[tokio::test]
async fn several_workers_halve_what_left_of_all_of_them() {
    let limiter = Limiter::new(&Rates::default(), []);
    limiter.know(Vec::new(), 4);
    for _ in 0..10 {
        assert_eq!(limiter.group_turn("x.test", Urgency::Queued).await, Ok(()));
    }
    limiter.slow_down("x.test");
    assert_eq!(limiter.group_rate("x.test"), Some(20.0));
}

#[tokio::test]
async fn without_slots_nothing_goes_and_others_are_not_held_up() {
    let limiter = Limiter::new(&rates("[domain.gmail]\nper_minute = 60"), [("slow".to_owned(), 0.01)]);
    assert_eq!(soon(&limiter, "gmail"), None, "it waits a little for the database's answer");
    assert_eq!(soon(&limiter, "other.test"), Some(Ok(())));
    assert_eq!(limiter.group_is_far("gmail", Urgency::Queued), None);
    limiter.grant("group:gmail", &Granted { at_us: vec![0], wait_us: 900_000 });
    assert_eq!(soon(&limiter, "gmail"), Some(Ok(())));
    let first = soon(&limiter, "gmail").unwrap().unwrap_err().after;
    let second = soon(&limiter, "gmail").unwrap().unwrap_err().after;
    let turn = Duration::from_millis(800);
    assert!(first > turn && second + Duration::from_millis(50) >= first + turn, "{first:?} {second:?}");
    assert!(limiter.group_is_far("gmail", Urgency::Urgent).is_some());
    assert_eq!(soon(&limiter, "other.test"), Some(Ok(())));
    assert!(limiter.relay_is_free("slow") && limiter.relay_is_free("fast"));
}

#[tokio::test]
async fn a_slot_is_asked_for_all_stated_windows_together() {
    let limiter = Limiter::new(&rates("per_second = 10\nper_day = 1000"), []);
    assert!((limiter.global_rate().unwrap() - 990.0 / 86_400.5).abs() < 1e-9);
    let mut turn = std::pin::pin!(limiter.global_turn());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(turn.as_mut().poll(&mut context).is_pending());
    let wants = limiter.wants();
    let keys: Vec<_> =
        wants.iter().flat_map(|want| want.windows.iter().map(|window| window.key.as_str())).collect();
    assert_eq!((wants.len(), wants[0].slots, keys), (1, 1, vec!["global/second", "global/day"]));
    limiter.grant("global", &Granted { at_us: vec![0], wait_us: 0 });
    turn.await;
}

#[tokio::test]
async fn those_who_wait_for_a_group_leave_half_of_the_places_to_others() {
    let limiter = Limiter::new(&rates("[domain.gmail]\nper_second = 20"), []).among(8);
    let mut waiting: Vec<_> =
        (0..4).map(|_| Box::pin(limiter.group_turn("gmail", Urgency::Queued))).collect();
    let waker = std::task::Waker::noop();
    for turn in &mut waiting {
        assert!(turn.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    // Beyond them lifecycle mail is put back at once, one behind the other, and what is urgent still finds room.
    assert!(limiter.group_is_far("gmail", Urgency::Queued).is_some());
    let first = soon(&limiter, "gmail").unwrap().unwrap_err().after;
    let second = soon(&limiter, "gmail").unwrap().unwrap_err().after;
    assert!(Duration::ZERO < first && first < second && second < GROUP_WAIT_MAX, "{first:?} {second:?}");
    assert_eq!(limiter.group_is_far("gmail", Urgency::Urgent), None);
    assert!(limiter.is_waited_for(), "they come back soon");
    assert_eq!(soon(&limiter, "other.test"), Some(Ok(())));
    // Whoever leaves makes room.
    drop(waiting.pop());
    assert_eq!(soon(&limiter, "gmail"), None);
}
