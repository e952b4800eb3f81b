//! Checks of the Tera tags: of each source, and of what was compiled from them.

use std::ops::Range;
use std::sync::LazyLock;

use tera::ErrorKind;
use tera::Tera;

use super::balance;
use super::compile::CompiledTemplate;
use super::compile::SourceMap;
use super::engine;
use super::fault::CompileFault;
use super::fault::Part;
use super::mask;
use super::scope;
use crate::catalog::contract::Contract;

static ENGINE: LazyLock<Tera> = LazyLock::new(engine::new);

/// What is wrong with the tags of one source: syntax first, then names.
pub(super) fn source(part: Part, source: &str, contract: &Contract) -> Vec<CompileFault> {
    let tags = match mask::find_tags(source, part) {
        Ok(tags) => tags,
        Err(fault) => return vec![fault],
    };
    match parse("source.html", source) {
        Some((span, Parsed::Syntax(message))) => {
            vec![balance::explain(part, source, &tags, &span, &message)]
        }
        // Unknown filters and the like: the scanner knows their places.
        Some((_, Parsed::Names(message))) => {
            let faults = scope::check(part, source, &tags, contract);
            if faults.is_empty() { vec![CompileFault::new(part, 0..0, message)] } else { faults }
        }
        None => scope::check(part, source, &tags, contract),
    }
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
        let (span, Parsed::Syntax(message) | Parsed::Names(message)) = parse(name, source)?;
        let (part, span) = map.locate(part, &span).unwrap_or((Part::Body, 0..mjml_length.min(1)));
        let message = format!("the tags of the compiled mail do not fit together: {message}");
        Some(
            CompileFault::new(part, span, message)
                .help("open and close `{% if %}` and `{% for %}` in one element"),
        )
    });
    found.collect()
}

/// What Tera cannot take.
enum Parsed {
    Syntax(String),
    Names(String),
}

/// The first thing that Tera cannot take, and its place.
fn parse(name: &str, source: &str) -> Option<(Range<usize>, Parsed)> {
    let mut tera = ENGINE.clone();
    let error = tera.add_raw_template(name, source).err()?;
    match error.kind() {
        ErrorKind::SyntaxError(report) => {
            Some((report.span().range.clone(), Parsed::Syntax(report.message().to_owned())))
        }
        other => Some((0..0, Parsed::Names(other.to_string()))),
    }
}
