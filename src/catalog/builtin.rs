//! The templates inside the binary: the shipped shop, for `templates.folder = "builtin"`, `demo` and `init`.

use std::path::Path;

use rust_embed::RustEmbed;

use super::files::Files;
use crate::fault::Fault;

/// The folder that means the templates inside the binary.
pub const BUILTIN: &str = "builtin";

#[derive(RustEmbed)]
#[folder = "templates/"]
struct Embedded;

impl Files {
    /// The templates inside the binary.
    pub fn builtin() -> Self {
        let text =
            |path: &str| Embedded::get(path).and_then(|file| String::from_utf8(file.data.into_owned()).ok());
        Self::from_pairs(Embedded::iter().filter_map(|path| Some((path.to_string(), text(&path)?))))
    }

    /// Those of `folder`, or those inside the binary where it is [`BUILTIN`].
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn open(folder: &Path) -> Result<Self, Vec<Fault>> {
        if folder == Path::new(BUILTIN) { Ok(Self::builtin()) } else { Self::read(folder) }
    }
}
