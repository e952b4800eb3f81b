//! The template engine with everything that templates may call.

use std::fmt;
use std::sync::Arc;

use tera::Kwargs;
use tera::State;
use tera::Tera;
use tera::TeraResult;
use tera::Value;

use super::address;
use super::address::Address;

/// Names under which a mail's own values stand in the template's context. Authors cannot write `__`.
pub(super) mod names {
    /// The send's id; absent where clicks are not tracked.
    pub(in crate::render) const TRACKED_SEND: &str = "__tracked_send";
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

/// Starts the message of an address that may not stand in a mail: then the link's number or the picture, and why, each
/// after [`SEPARATOR`].
pub(super) const BAD_ADDRESS: &str = "bad address";
/// Stands in no template and in no value.
pub(super) const SEPARATOR: char = '\u{1f}';
/// The message of an address that is absent.
pub(super) const NO_ADDRESS: &str = "the address is undefined";

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
pub(super) fn new(signer: &Arc<dyn LinkSigner>) -> Tera {
    let mut tera = Tera::new();
    super::filters::register(&mut tera);
    let signer = Arc::clone(signer);
    tera.register_function("__link", move |arguments: Kwargs, state: &State<'_>| {
        link(signer.as_ref(), &arguments, state)
    });
    tera.register_function("__picture", picture);
    tera
}

fn link(signer: &dyn LinkSigner, arguments: &Kwargs, state: &State<'_>) -> TeraResult<String> {
    let number: u32 = arguments.must_get("n")?;
    let target = target(arguments)?;
    match address::check(&target) {
        Err(why) => Err(tera::Error::message(format!("{BAD_ADDRESS}{SEPARATOR}{number}{SEPARATOR}{why}"))),
        Ok(Address::Contact(address)) => Ok(address.into_owned()),
        Ok(Address::Web(address)) => Ok(match state.get::<Value>(names::TRACKED_SEND)? {
            Some(send) => signer.click(send.as_str().unwrap_or_default(), number, &address),
            None => address.into_owned(),
        }),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of a template function")]
fn picture(arguments: Kwargs, _: &State<'_>) -> TeraResult<String> {
    let of: &str = arguments.must_get("of")?;
    let target = target(&arguments)?;
    address::picture(&target)
        .map_err(|why| tera::Error::message(format!("{BAD_ADDRESS}{SEPARATOR}{of}{SEPARATOR}{why}")))
}

fn target(arguments: &Kwargs) -> TeraResult<String> {
    match arguments.get::<&Value>("to")? {
        Some(value) if !value.is_undefined() => Ok(value.to_string()),
        _ => Err(tera::Error::message(NO_ADDRESS)),
    }
}
