//! Checks of the Tera tags: of each source, and of what was compiled from them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::LazyLock;

use tera::ErrorKind;
use tera::Tera;

use super::compile::CompiledTemplate;
use super::compile::SourceMap;
use super::engine;
use super::engine::LinkSigner;
use super::fault::CompileFault;
use super::fault::Part;
use super::mask;
use crate::catalog::contract::Contract;

/// Checking signs nothing.
struct NoSigner;

impl LinkSigner for NoSigner {
    fn click(&self, _: &str, _: u32, target: &str) -> String {
        target.to_owned()
    }

    fn open(&self, _: &str) -> String {
        String::new()
    }
}

static ENGINE: LazyLock<Tera> = LazyLock::new(|| {
    let signer: Arc<dyn LinkSigner> = Arc::new(NoSigner);
    engine::new(&signer)
});

/// What is wrong with the tags of one source.
pub(super) fn source(part: Part, source: &str, _contract: &Contract) -> Vec<CompileFault> {
    if let Err(fault) = mask::find_tags(source, part) {
        return vec![fault];
    }
    let mut faults = Vec::new();
    if let Some((span, message)) = parse("source.html", source) {
        faults.push(CompileFault::new(part, span, message));
    }
    faults
}

/// What is wrong with compiled parts, although their sources were right: MJML moved something.
pub(super) fn compiled(
    template: &CompiledTemplate,
    map: &SourceMap,
    mjml_length: usize,
) -> Vec<CompileFault> {
    let parts = [
        (Part::Subject, "compiled.subject.txt", &template.subject),
        (Part::Preheader, "compiled.preheader.txt", &template.preheader),
        (Part::Body, "compiled.html", &template.html),
        (Part::Text, "compiled.txt", &template.text),
    ];
    let found = parts.into_iter().filter_map(|(part, name, source)| {
        let (span, message) = parse(name, source)?;
        let (part, span) = map.locate(part, &span).unwrap_or((Part::Body, 0..mjml_length.min(1)));
        let message = format!("the tags of the compiled mail do not fit together: {message}");
        Some(
            CompileFault::new(part, span, message)
                .help("open and close `{% if %}` and `{% for %}` in one element"),
        )
    });
    found.collect()
}

/// The first thing that Tera cannot take.
fn parse(name: &str, source: &str) -> Option<(Range<usize>, String)> {
    let mut tera = ENGINE.clone();
    let error = tera.add_raw_template(name, source).err()?;
    match error.kind() {
        ErrorKind::SyntaxError(report) => Some((report.span().range.clone(), report.message().to_owned())),
        other => Some((0..0, other.to_string())),
    }
}
