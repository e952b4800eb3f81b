//! Names that are made of content: a hash over several parts, and hex digits.

use std::fmt::Write as _;

use sha2::Digest as _;
use sha2::Sha256;

/// Begins a SHA-256 over parts, each behind its length, so that no two lists of parts give the same bytes.
pub(crate) fn of_parts<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> Sha256 {
    let mut hash = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::hex;
    use super::of_parts;

    #[test]
    fn where_one_part_ends_and_the_next_begins_makes_a_difference() {
        let name = |parts: &[&str]| hex(&of_parts(parts).finalize()[..4]);
        assert_eq!(name(&["ab", "c"]), name(&["ab", "c"]));
        assert_ne!(name(&["ab", "c"]), name(&["a", "bc"]));
        assert_eq!(hex(&[0, 15, 255]), "000fff");
    }
}
