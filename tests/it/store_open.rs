//! Opening a PostgreSQL that is not there yet.

use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use bespoke::store::Absence;
use bespoke::store::Store;

/// A server that says to each connection in turn what is wrong, the last fault for ever. Its URL, and how many came.
fn server(faults: &'static [(&str, &str)]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@127.0.0.1:{}/x?sslmode=disable", listener.local_addr().unwrap().port());
    let came = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&came);
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let (code, message) = faults[number.min(faults.len() - 1)];
            let mut startup = [0; 1_024];
            let _ = client.read(&mut startup);
            let fields = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0");
            let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
            let _ = client.write_all(&[b"E", &length[..], fields.as_bytes()].concat());
        }
    });
    (url, came)
}

#[tokio::test]
async fn a_service_waits_for_a_server_that_is_starting_and_a_person_is_told_at_once() {
    const STARTING: (&str, &str) = ("57P03", "the database system is starting up");
    const STRANGER: (&str, &str) = ("28P01", "password authentication failed");
    for (absence, expected, connections) in
        [(Absence::Told, STARTING.1, 1), (Absence::WaitedFor, STRANGER.1, 4)]
    {
        let (url, came) = server(&[STARTING, STARTING, STARTING, STRANGER]);
        let refused = Store::open_or_wait(&url, absence).await.unwrap_err().to_string();
        assert!(refused.contains("cannot open PostgreSQL at 127.0.0.1"), "{refused}");
        assert!(refused.contains(expected), "{refused}");
        assert_eq!(came.load(Ordering::SeqCst), connections, "{absence:?}");
    }
}
