//! The pool's decisions, with numbers for sessions and time as an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::book::{Birth, Book, Instead, Take, Which};
use super::{NoRelayKind, PoolSettings};
use crate::deliver::smtp::{Relay, RelayCondition, Security};

fn relay(name: &str, weight: u32, max_connections: usize) -> Relay {
    Relay { weight, max_connections, ..Relay::new(name, "localhost", 25, Security::None) }
}

fn book(relays: &[Relay]) -> Book<u32> {
    Book::new(relays.iter(), PoolSettings::default())
}

fn any(_: &str) -> bool {
    true
}

/// Takes the right to open a connection.
fn open(book: &mut Book<u32>, now: Instant) -> (usize, Birth) {
    match book.take(now, &any) {
        Take::Open(relay, birth) => (relay, birth),
        other => panic!("{other:?}"),
    }
}

/// Opens a connection with success.
fn opened(book: &mut Book<u32>, now: Instant) -> (usize, Birth) {
    let (relay, birth) = open(book, now);
    book.opened(relay, birth);
    (relay, birth)
}

fn fail(book: &mut Book<u32>, relay: usize, birth: Birth, kind: NoRelayKind, now: Instant) {
    book.block(relay, kind, "refused".to_owned(), now);
    book.not_opened(relay, birth);
    book.release(relay);
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn one_connection_is_tried_alone_before_others_follow() {
    let (mut book, now) = (book(&[relay("a", 1, 3)]), Instant::now());
    let (relay, birth) = open(&mut book, now);
    assert!(matches!(book.take(now, &any), Take::Wait(..)));
    book.opened(relay, birth);
    open(&mut book, now);
    open(&mut book, now);
    assert!(matches!(book.take(now, &any), Take::Wait(..)));
    assert_eq!(book.status(now)[0].open, 3);
}

#[test]
fn a_faulty_relay_is_paused_for_twice_as_long_each_time() {
    let mut book = book(&[relay("a", 1, 9)]);
    let mut now = Instant::now();
    for pause_s in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
        let (relay, birth) = open(&mut book, now);
        fail(&mut book, relay, birth, NoRelayKind::Paused, now);
        let Take::None(none) = book.take(now, &any) else { panic!("not paused") };
        assert_eq!((none.kind, none.retry_after), (NoRelayKind::Paused, seconds(pause_s)));
        assert_eq!(none.reason, "a: refused");
        now += seconds(pause_s);
    }
    // A message that went out ends the series.
    let (relay, birth) = opened(&mut book, now);
    book.park(relay, birth, 1, now);
    book.block(relay, NoRelayKind::Paused, "again".to_owned(), now);
    let Take::None(none) = book.take(now, &any) else { panic!("not paused") };
    assert_eq!(none.retry_after, seconds(60));
    assert_eq!(book.status(now)[0].idle, 0);
}

#[test]
fn connections_that_fail_together_count_once() {
    let (mut book, now) = (book(&[relay("a", 1, 9)]), Instant::now());
    opened(&mut book, now);
    let together = [open(&mut book, now), open(&mut book, now), open(&mut book, now)];
    for (relay, birth) in together {
        fail(&mut book, relay, birth, NoRelayKind::Paused, now);
    }
    let Take::None(none) = book.take(now, &any) else { panic!("not paused") };
    assert_eq!(none.retry_after, seconds(60));
}

#[test]
fn open_sessions_go_on_while_new_ones_back_off() {
    let (mut book, now) = (book(&[relay("a", 1, 9)]), Instant::now());
    let (first, first_birth) = opened(&mut book, now);
    let (second, birth) = open(&mut book, now);
    fail(&mut book, second, birth, NoRelayKind::BackingOff, now);
    // Somebody may bring the first session back before the back-off ends.
    let Take::Wait(_, until) = book.take(now, &any) else { panic!("must wait") };
    assert_eq!(until, Some(now + seconds(1)));
    assert_eq!(book.park(first, first_birth, 7, now), None);
    let Take::Reuse(relay, birth, 7) = book.take(now, &any) else { panic!("must reuse") };
    book.release(relay);
    let Take::None(none) = book.take(now, &any) else { panic!("must not connect") };
    assert_eq!(none.kind, NoRelayKind::BackingOff);
    assert!(matches!(book.status(now)[0].condition, RelayCondition::BackingOff { .. }));
    // A session from before the failure does not vouch for the relay as it is now.
    book.opened(relay, birth);
    assert!(matches!(book.take(now, &any), Take::None(_)));
    open(&mut book, now + seconds(1));
}

#[test]
fn a_pause_is_not_shortened_by_a_back_off() {
    let (mut book, now) = (book(&[relay("a", 1, 9)]), Instant::now());
    book.block(0, NoRelayKind::Paused, "login".to_owned(), now);
    book.block(0, NoRelayKind::BackingOff, "timeout".to_owned(), now);
    let Take::None(none) = book.take(now, &any) else { panic!("not paused") };
    assert_eq!((none.kind, none.retry_after), (NoRelayKind::Paused, seconds(60)));
    assert_eq!(book.resume("a"), Some(0));
    assert_eq!(book.resume("b"), None);
    open(&mut book, now);
}

#[test]
fn relays_share_by_weight_and_the_spare_one_waits() {
    let (mut book, now) =
        (book(&[relay("a", 3, 99), relay("b", 1, 99), relay("spare", 0, 99)]), Instant::now());
    let mut shares = [0; 3];
    for _ in 0..2 {
        opened(&mut book, now);
    }
    for _ in 0..80 {
        let (relay, _) = opened(&mut book, now);
        shares[relay] += 1;
        book.release(relay);
    }
    assert_eq!(shares, [60, 20, 0]);
    book.block(0, NoRelayKind::Paused, "x".to_owned(), now);
    assert_eq!(open(&mut book, now).0, 1);
    book.block(1, NoRelayKind::BackingOff, "x".to_owned(), now);
    // b has sessions out, so that waiting for one is possible: the spare is for when nothing else is.
    book.release(1);
    book.release(1);
    assert_eq!(open(&mut book, now).0, 2);
}

#[test]
fn a_full_relay_leaves_the_rest_to_the_others() {
    let (mut book, now) = (book(&[relay("a", 100, 1), relay("b", 1, 2)]), Instant::now());
    let relays: Vec<_> = (0..3).map(|_| opened(&mut book, now).0).collect();
    assert_eq!(relays, [0, 1, 1]);
    let Take::Wait(waiting, _) = book.take(now, &any) else { panic!("must wait") };
    assert_eq!(waiting, [0, 1]);
    let Take::Wait(waiting, _) = book.take(now, &|name| name == "b") else { panic!("must wait") };
    assert_eq!(waiting, [1]);
    let Take::None(none) = book.take(now, &|_| false) else { panic!("nothing is eligible") };
    assert_eq!(none.kind, NoRelayKind::NoneEligible);
}

#[test]
fn the_last_used_session_goes_first_and_old_ones_expire() {
    let (mut book, start) = (book(&[relay("a", 1, 9)]), Instant::now());
    let births: Vec<_> = (0..3).map(|_| opened(&mut book, start).1).collect();
    for (number, birth) in births.into_iter().enumerate() {
        let number = u32::try_from(number).unwrap();
        let _ = book.park(0, birth, number, start + seconds(u64::from(number) * 10));
    }
    assert_eq!(book.next_expiry(), Some(start + seconds(30)));
    let now = start + seconds(40);
    assert_eq!(book.take_idle(Which::Expired, now), [(0, 0), (0, 1)]);
    // They keep their slots until they have said QUIT.
    assert_eq!((book.status(now)[0].open, book.status(now)[0].idle), (3, 1));
    assert!(matches!(book.take(now, &any), Take::Reuse(0, _, 2)));
    assert_eq!(book.next_expiry(), None);
}

#[test]
fn after_a_stale_session_one_replacement_is_tried_alone() {
    let (mut book, now) = (book(&[relay("a", 1, 9)]), Instant::now());
    let (_, first) = opened(&mut book, now);
    let (_, second) = opened(&mut book, now);
    book.was_stale(0, first);
    let Take::Open(_, birth) = book.take_replacement(0, now) else { panic!("must open") };
    book.was_stale(0, second);
    assert!(matches!(book.take_replacement(0, now), Take::Wait(..)));
    assert!(matches!(book.take(now, &any), Take::Wait(..)));
    book.opened(0, birth);
    // The second is as old as the first: that it is closed too is no news.
    book.was_stale(0, second);
    assert!(matches!(book.take_replacement(0, now), Take::Open(..)));
    book.block(0, NoRelayKind::Paused, "login".to_owned(), now);
    assert!(matches!(book.take_replacement(0, now), Take::None(_)));
}

#[test]
fn a_closed_pool_gives_nothing() {
    let mut book = book(&[relay("a", 1, 9)]);
    book.closed = true;
    let Take::None(none) = book.take(Instant::now(), &any) else { panic!("is closed") };
    assert_eq!(none.kind, NoRelayKind::Closed);
}

#[test]
fn what_comes_back_after_the_end_is_kept_for_nobody() {
    let (mut book, now) = (book(&[relay("a", 1, 9)]), Instant::now());
    let (relay, birth) = opened(&mut book, now);
    book.closed = true;
    assert_eq!(book.park(relay, birth, 7, now), Some(7));
    assert_eq!((book.status(now)[0].open, book.status(now)[0].idle), (1, 0), "it ends in its own slot");
    book.release(relay);
    assert_eq!(book.status(now)[0].open, 0);
}

#[test]
fn who_waited_for_their_turn_does_what_the_relay_allows_by_then() {
    let (mut book, now) = (book(&[relay("a", 1, 9)]), Instant::now());
    let (_, used) = opened(&mut book, now);
    let waiting = [open(&mut book, now).1, open(&mut book, now).1, open(&mut book, now).1];
    let (_, failing) = open(&mut book, now);
    fail(&mut book, 0, failing, NoRelayKind::BackingOff, now);
    // New connections back off; a session that was open before, and came back, is as good as it was.
    let Instead::None(none) = book.take_instead(0, Some(waiting[0]), now) else { panic!("must not connect") };
    assert_eq!((none.kind, none.retry_after), (NoRelayKind::BackingOff, seconds(1)));
    book.release(0);
    assert_eq!(book.park(0, used, 7, now), None);
    assert!(matches!(book.take_instead(0, Some(waiting[1]), now), Instead::Reuse(_, 7)));
    // When the back-off is over, one is tried alone, however many were let in before it.
    let later = now + seconds(1);
    let Instead::Open(probe) = book.take_instead(0, Some(waiting[2]), later) else { panic!("must connect") };
    assert!(probe.probe && !waiting[2].probe);
    assert!(matches!(book.take_instead(0, Some(waiting[1]), later), Instead::None(_)));
    book.opened(0, probe);
    assert!(matches!(book.take_instead(0, Some(waiting[1]), later), Instead::Open(_)));
    // A relay that is paused gets nothing, by whatever session.
    assert_eq!(book.park(0, used, 8, later), None);
    book.block(0, NoRelayKind::Paused, "login".to_owned(), later);
    let Instead::None(none) = book.take_instead(0, Some(waiting[1]), later) else { panic!("is paused") };
    assert_eq!(none.kind, NoRelayKind::Paused);
}

#[test]
fn whose_turn_comes_first_takes_the_session_that_another_brought() {
    let (now, mut book) = (Instant::now(), book(&[relay("a", 1, 2)]));
    let (_, birth) = opened(&mut book, now);
    assert_eq!(book.park(0, birth, 7, now), None);
    // The first mail gets the session, the second the right to open another.
    let Take::Reuse(0, used, 7) = book.take(now, &any) else { panic!("must reuse") };
    book.wait(0, Some((used, 7)), now);
    let Take::Open(0, right) = book.take(now, &any) else { panic!("must open") };
    book.wait(0, None, now);
    assert!(matches!(book.take(now, &any), Take::Wait(..)), "both places are taken");
    assert_eq!(book.status(now)[0].open, 1, "one connection is there");
    // The second has its turn first, and is done before the turn of the first comes: nothing else is opened.
    let Instead::Reuse(used, 7) = book.take_instead(0, Some(right), now) else { panic!("must reuse") };
    assert_eq!(book.park(0, used, 7, now), None);
    let Instead::Reuse(used, 7) = book.take_instead(0, None, now) else { panic!("must reuse") };
    assert_eq!(book.park(0, used, 7, now), None);
    let status = book.status(now).remove(0);
    assert_eq!((status.open, status.idle, status.opened_count), (1, 1, 1));
}

#[test]
fn a_session_of_a_mail_that_does_not_go_is_there_for_the_next() {
    let (now, mut book) = (Instant::now(), book(&[relay("a", 1, 2)]));
    let (_, birth) = opened(&mut book, now);
    assert_eq!(book.park(0, birth, 7, now), None);
    let Take::Reuse(0, used, 7) = book.take(now, &any) else { panic!("must reuse") };
    book.wait(0, Some((used, 7)), now);
    let Take::Open(0, _) = book.take(now, &any) else { panic!("must open") };
    book.wait(0, None, now);
    assert_eq!(book.leave(0, now), None, "the session waits with the one that is left");
    assert_eq!((book.status(now)[0].open, book.status(now)[0].idle), (1, 0));
    assert_eq!(book.leave(0, now), None);
    assert_eq!((book.status(now)[0].open, book.status(now)[0].idle), (1, 1));
    assert!(matches!(book.take(now, &any), Take::Reuse(0, _, 7)));
    book.wait(0, Some((birth, 7)), now);
    book.closed = true;
    assert_eq!(book.leave(0, now), Some(7), "after the end it goes");
    assert_eq!(book.status(now)[0].open, 1, "until it has said so it is open");
    book.release(0);
    assert_eq!(book.status(now)[0].open, 0);
}
