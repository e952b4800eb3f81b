//! Canonical forms and keys, by table.

use super::*;

#[test]
fn bodies_are_relaxed_as_in_the_rfc() {
    for (body, expected) in [
        (" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
        ("a b\r\n", "a b\r\n"),
        ("a\r\n\r\nb\r\n\r\n\r\n", "a\r\n\r\nb\r\n"),
        ("\r\n\r\n", ""),
        ("", ""),
        ("no end", "no end\r\n"),
        ("a    b   \r\n \r\nc  \r\n  \r\n", "a b\r\n\r\nc\r\n"),
        ("  \r\n", ""),
    ] {
        assert_eq!(String::from_utf8_lossy(&canonical_body(body.as_bytes())), expected, "{body:?}");
        assert_eq!(String::from_utf8_lossy(&relaxed_body(body.as_bytes())), expected, "{body:?}");
    }
}

proptest::proptest! {
    #[test]
    fn long_pieces_give_what_single_bytes_give(body in "([ \t]{0,3}[a-c]{0,2}(\r\n)?){0,12}") {
        let (found, expected) = (canonical_body(body.as_bytes()), relaxed_body(body.as_bytes()));
        proptest::prop_assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected));
    }
}

#[test]
fn headers_are_relaxed_as_in_the_rfc() {
    let headers = canonical_headers(b"A: X\r\nB : Y\t\r\n\tZ  \r\n");
    let lines: Vec<_> = headers.iter().map(|(_, line)| String::from_utf8_lossy(line).into_owned()).collect();
    assert_eq!(lines, ["a:X\r\n", "b:Y Z\r\n"]);
}

#[test]
fn a_key_that_is_too_short_is_told_apart_from_a_damaged_one() {
    // 512 bits, made for this test alone.
    let short = "MIIBPQIBAAJBALPjLni4x+LStFox+Pjp5emJbCZRQAdJFHsqN8ULusw2v1CSiYdmlCGUm1YupAPWdVAh82gvRWdY94h0\
                 EDyrd3ECAwEAAQJBAJDRG+BkIcchCcBy6pS4+DaCQ2a1km5LDwn4et1PDBrJvsMEEktq8I7Kx1Nx3szLSsrLaWUeDvn1\
                 RrrL99lq+oECIQDYNL9KcO8Ckx4NOADQ3bGGM+Y4ms1PGMhY1q5ADJI8lQIhANT/Kg4QYtwTyMd/msYm1TSQTkOXgcW/\
                 E1pqGlgtcfxtAiEArrfJkj27WGhNE7+bIS7WhC4ysLGgknfjh69NN2MxVhUCIQCcPQPTRy/NMXIA7NhSa5/PK99M83DM\
                 5glDNDtY3RUUzQIhAJoKo6ipfnJRKM96T4fIHLykLwejFPQt0v+pqhU3FUEF";
    let said = |base64: &str| {
        let pem = format!("-----BEGIN RSA PRIVATE KEY-----\n{base64}\n-----END RSA PRIVATE KEY-----\n");
        DkimKey::from_pem("shop.test", "s1", &pem).unwrap_err().to_string()
    };
    assert_eq!(said(short), "the RSA key is too short: at least 2048 bits are needed");
    assert_eq!(said("AAAA"), "the private key is neither RSA nor Ed25519, or is damaged");
}

#[test]
fn the_same_mail_at_the_same_time_is_signed_the_same() {
    let keys = [
        DkimKey::generate_rsa("shop.test", "s1").unwrap(),
        DkimKey::generate_ed25519("shop.test", "s2").unwrap(),
    ];
    let mail = b"From: a@shop.test\r\nSubject: x\r\n\r\nhello\r\n";
    let at = Timestamp::from_second(1_700_000_000).unwrap();
    let once = sign(mail, &keys, at).unwrap();
    assert_eq!(once, sign(mail, &keys, at).unwrap());
    assert!(once.ends_with(mail));
    assert_eq!(String::from_utf8_lossy(&once).matches("DKIM-Signature:").count(), 2);
}
