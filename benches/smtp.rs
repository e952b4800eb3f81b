//! What a message costs on its way to the wire.
//!
//! Budgets, one core: `prepare` of a 36 KB mail 20 µs; `begin` and `submit` of it over loopback, the catcher's work
//! on the same core included, 200 µs.

use std::hint::black_box;
use std::sync::Arc;

use bespoke::deliver::catcher::{Catcher, CatcherOptions};
use bespoke::deliver::smtp::{Connector, Pool, PoolSettings, Relay, Security, Session, prepare};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lettre::address::Envelope;

/// A mail of 36 KB in lines of 76 characters, one in a hundred of which starts with a dot.
fn mail() -> Vec<u8> {
    let mut mail = b"Subject: a mail\r\nFrom: shop@sender.test\r\n\r\n".to_vec();
    for number in 0.. {
        if mail.len() > 36 * 1024 {
            return mail;
        }
        mail.extend_from_slice(if number % 100 == 0 { b"." } else { b"a" });
        mail.extend_from_slice(&[b'x'; 75]);
        mail.extend_from_slice(b"\r\n");
    }
    mail
}

fn prepare_mail(criterion: &mut Criterion) {
    let mail = mail();
    let bare = String::from_utf8_lossy(&mail).replace("\r\n", "\n").into_bytes();
    let mut group = criterion.benchmark_group("prepare");
    group.throughput(Throughput::Bytes(mail.len() as u64));
    group.bench_function("36 KB, CRLF", |bencher| {
        bencher.iter(|| prepare(black_box(mail.as_slice())).is_ok());
    });
    group.bench_function("36 KB, bare LF", |bencher| {
        bencher.iter(|| prepare(black_box(bare.as_slice())).is_ok());
    });
    group.finish();
}

fn submit_mail(criterion: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let options = CatcherOptions { keep_bytes_max: 0, ..CatcherOptions::default() };
    let catcher = runtime.block_on(Catcher::start_with(options)).expect("a port is free");
    let relay = Relay::new("bench", "127.0.0.1", catcher.port(), Security::None);
    let message = prepare(mail()).expect("the mail is good");
    let envelope =
        Envelope::new(None, vec!["ada@example.test".parse().expect("an address")]).expect("a recipient");
    let mut group = criterion.benchmark_group("submit");

    let connector = Arc::new(Connector::new(relay.clone()).expect("the relay is good"));
    let mut session = runtime.block_on(Session::connect(&connector)).expect("the catcher answers");
    group.bench_function("36 KB over one session", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let begun = session.begin(&envelope, &message).await.expect("354");
                begun.submit().await.expect("250")
            })
        });
    });

    let unlimited = Relay { max_messages_per_connection: u32::MAX, max_connection_age_ms: u64::MAX, ..relay };
    let pool = Pool::new(vec![unlimited], PoolSettings::default()).expect("the relay is good");
    group.bench_function("36 KB through the pool", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let mut session = pool.checkout().await.expect("the relay is up");
                let begun = session.begin(&envelope, &message).await.expect("354");
                let reply = begun.submit().await.expect("250");
                session.give_back();
                reply
            })
        });
    });
    group.finish();
}

criterion_group!(benches, prepare_mail, submit_mail);
criterion_main!(benches);
