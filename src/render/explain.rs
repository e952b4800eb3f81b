//! What the template engine says, as a fault that a worker can act on and a person can read.

use std::ops::Range;

use tera::Error;
use tera::ErrorKind;

use super::engine::BAD_ADDRESS;
use super::engine::NO_ADDRESS;
use super::engine::SEPARATOR;
use super::fault::Part;
use super::fault::RenderFault;
use super::output::Excess;
use super::renderer::Loaded;

/// A limit was reached.
pub(super) fn excess(
    loaded: &Loaded,
    part: Part,
    excess: Excess,
    limit_bytes: usize,
    limit: usize,
) -> RenderFault {
    let template = loaded.name.clone();
    match excess {
        Excess::Bytes => RenderFault::TooLarge { template, part, limit_bytes },
        Excess::Rounds => RenderFault::TooManyRounds { template, part, limit },
    }
}

/// Something without a place.
pub(super) fn message(loaded: &Loaded, part: Part, message: &str) -> RenderFault {
    RenderFault::Expression {
        template: loaded.name.clone(),
        part,
        span: 0..0,
        expression: String::new(),
        message: message.to_owned(),
    }
}

/// What rendering a part said.
pub(super) fn error(loaded: &Loaded, part: Part, error: &Error) -> RenderFault {
    let ErrorKind::RenderingError(report) = error.kind() else {
        return message(loaded, part, &error.to_string());
    };
    let (_, source) = loaded.part(part);
    let span = whole_expression(source, &report.span().range);
    let expression = source.get(span.clone()).unwrap_or_default();
    let template = loaded.name.clone();
    let said = report.message();
    if let Some(bad) = said.strip_prefix(BAD_ADDRESS).and_then(|rest| rest.strip_prefix(SEPARATOR)) {
        let (of, why) = bad.split_once(SEPARATOR).unwrap_or(("", bad));
        let label = label(loaded, of);
        return RenderFault::BadAddress { template, part, span, label, message: why.to_owned() };
    }
    if said == NO_ADDRESS {
        let variable = address_expression(source, span.start).unwrap_or(expression).to_owned();
        return RenderFault::MissingVariable { template, part, span, variable };
    }
    if said.contains("is not defined") || said.contains("but its value is undefined") {
        return RenderFault::MissingVariable { template, part, span, variable: expression.to_owned() };
    }
    // A filter, or whatever else, was handed nothing: it points at the first name of what it was handed.
    if ["is undefined", "`undefined`", "undefined value"].iter().any(|words| said.contains(words)) {
        let span = span.start..path_end(source, span.end);
        let variable = source[span.clone()].to_owned();
        return RenderFault::MissingVariable { template, part, span, variable };
    }
    RenderFault::Expression {
        template,
        part,
        span,
        expression: expression.to_owned(),
        message: said.to_owned(),
    }
}

fn label(loaded: &Loaded, of: &str) -> String {
    match of.parse::<usize>().ok().and_then(|number| loaded.template.links.get(number)) {
        Some(link) => format!("link “{}”", link.label),
        None => format!("picture “{of}”"),
    }
}

/// The engine points at the last name of `a.b.c`; this is all of it.
fn whole_expression(source: &str, range: &Range<usize>) -> Range<usize> {
    let bytes = source.as_bytes();
    let mut start = range.start.min(source.len());
    while start > 0 {
        let before = bytes[start - 1];
        if before.is_ascii_alphanumeric() || matches!(before, b'_' | b'.' | b'?') {
            start -= 1;
        } else if before == b']' {
            match source[..start].rfind('[') {
                Some(open) => start = open,
                None => break,
            }
        } else {
            break;
        }
    }
    start..range.end.clamp(start, source.len())
}

/// Where the `a.b.c` ends that goes on at `from`.
fn path_end(source: &str, from: usize) -> usize {
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'?');
    from + source.as_bytes()[from..].iter().take_while(|byte| goes_on(byte)).count()
}

/// What stands in `__link(n=0, to=…)`.
fn address_expression(source: &str, from: usize) -> Option<&str> {
    let call = source.get(from..)?;
    let call = &call[..call.find("}}")?];
    let (_, address) = call.split_once("to=")?;
    Some(address.trim().strip_suffix(')')?.trim_start_matches('(').trim_end_matches(')'))
}
