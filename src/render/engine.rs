//! The template engine with everything that templates may call, and what signs their links.

use std::fmt;
use std::io;

use memchr::memchr2;
use memchr::memchr3;
use tera::Tera;

/// Names under which a mail's own values stand in the template's context. Authors cannot write `__`.
pub(super) mod names {
    /// Address of the open pixel, or empty.
    pub(in crate::render) const OPEN: &str = "__open";
    /// Address that only machines follow, or empty.
    pub(in crate::render) const HONEYPOT: &str = "__honeypot";
    /// BCP 47: how numbers, money and dates are written.
    pub(in crate::render) const LOCALE: &str = "__locale";
    /// The rendered subject.
    pub(in crate::render) const SUBJECT: &str = "__subject";
    /// The rendered preheader.
    pub(in crate::render) const PREHEADER: &str = "__preheader";
}

/// Makes the signed addresses of a mail. Implemented over the process's keys.
pub trait LinkSigner: Send + Sync {
    /// The address that counts a click on link number `link` of `send`, then leads to `target`.
    fn click(&self, send: &str, link: u32, target: &str) -> String;
    /// The address of the pixel that counts an open of `send`.
    fn open(&self, send: &str) -> String;
}

impl fmt::Debug for dyn LinkSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSigner")
    }
}

/// An engine without templates.
pub(super) fn new() -> Tera {
    let mut tera = Tera::new();
    super::filters::register(&mut tera);
    tera.set_escape_fn(escape);
    tera
}

/// As Tera itself escapes, but quick where there is nothing to escape, as in most values.
pub(super) fn escape(value: &str, out: &mut dyn io::Write) -> io::Result<()> {
    let bytes = value.as_bytes();
    if memchr3(b'&', b'<', b'>', bytes).is_none() && memchr2(b'"', b'\'', bytes).is_none() {
        return out.write_all(bytes);
    }
    tera::escape_html(value, out)
}
