//! What the template engine says, as a fault that a worker can act on and a person can read.

use std::ops::Range;

use tera::Error;
use tera::ErrorKind;

use super::address;
use super::fault::MissingAddress;
use super::fault::Part;
use super::fault::RenderFault;
use super::renderer::Loaded;
use super::writer::ADDRESS;
use super::writer::ADDRESS_END;
use super::writer::Limits;
use super::writer::PICTURE;
use super::writer::Stopped;

/// The writer took no more.
pub(super) fn stopped(loaded: &Loaded, part: Part, stopped: &Stopped, limits: Limits) -> RenderFault {
    let template = loaded.name.clone();
    match stopped {
        Stopped::Bytes => RenderFault::TooLarge { template, part, limit_bytes: limits.bytes },
        Stopped::Rounds => RenderFault::TooManyRounds { template, part, limit: limits.rounds },
        Stopped::Address { number, why } => {
            let (_, source) = loaded.part(part);
            let start = source.find(&format!("{ADDRESS}{number}:")).unwrap_or(source.len());
            let end = source[start..].find(ADDRESS_END).map_or(source.len(), |length| start + length);
            let printed = source[start..end].split_once(':').map_or("", |(_, printed)| printed);
            RenderFault::BadAddress {
                template,
                part,
                span: start..end,
                label: label(loaded, number),
                message: (*why).to_owned(),
                missing: fact(printed)
                    .filter(|_| *why == address::EMPTY)
                    .map(|fact| Box::new(MissingAddress { fact, products: Vec::new() })),
            }
        }
        Stopped::Marks => message(
            loaded,
            part,
            "a filter changed a link; put no links into `{% filter %}`, nor into a filtered `{% set %}`",
        ),
    }
}

/// Something without a place.
fn message(loaded: &Loaded, part: Part, message: &str) -> RenderFault {
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

/// The one fact that an address is.
fn fact(printed: &str) -> Option<String> {
    let path = printed.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let is_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '[' | ']');
    (!path.is_empty() && path.chars().all(is_path)).then(|| path.to_owned())
}

/// What a reader sees of an address, by its number; what they see of a name that only the mail holds is not known here.
fn label(loaded: &Loaded, number: &str) -> String {
    let template = &loaded.template;
    let at = |number: &str| number.parse::<usize>().unwrap_or(usize::MAX);
    let (what, words) = match number.strip_prefix(PICTURE) {
        Some(number) => ("picture", template.pictures.get(at(number)).map_or("", String::as_str)),
        None => ("link", template.links.get(at(number)).map_or("", |link| link.label.as_str())),
    };
    if words.contains("{{") || words.contains("{%") {
        return what.to_owned();
    }
    format!("{what} “{words}”")
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
