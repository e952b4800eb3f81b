//! From the author's sources to one compiled template, or to everything that is wrong with them.

use std::ops::Range;

use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;

use super::body;
use super::check;
use super::fault::CompileFault;
use super::fault::Part;
use super::links::Link;
use super::links::LinkKind;
use super::mask::Piece;
use super::mask::TagKind;
use super::mask::find_tags;
use super::writer::ROUND;
use crate::catalog::contract::Contract;
use crate::decision::TemplateHash;
use crate::digest::hex;
use crate::digest::of_parts;
use crate::fault::Severity;

/// Longest source of a part, in bytes. mrml takes time and memory by its size.
pub const SOURCE_BYTES_MAX: usize = 1_000_000;
/// Gmail shows this much HTML and hides the rest behind a link, the open pixel with it.
pub const GMAIL_CLIP_BYTES: usize = 102 * 1024;

/// What an author wrote, with layout, slots and blocks put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateParts<'a> {
    /// Tera text.
    pub subject: &'a str,
    /// Tera text; where empty, the content of `<mj-preview>` is taken.
    pub preheader: &'a str,
    /// MJML with Tera tags.
    pub mjml: &'a str,
    /// Tera text; derived from the MJML where absent.
    pub text: Option<&'a str>,
    /// BCP 47: the language that the template is written in, where it states one. Names of months and the like are
    /// written in it; without it, in the profile's.
    pub language: Option<&'a str>,
}

/// Tera sources, ready to be rendered. They are stored as they are: a retry renders the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompiledTemplate {
    /// Names the content.
    pub hash: TemplateHash,
    /// Source of the subject.
    pub subject: String,
    /// Source of the preheader.
    pub preheader: String,
    /// Source of the HTML.
    pub html: String,
    /// Source of the plain text.
    pub text: String,
    /// The links of the HTML, by number.
    pub links: Vec<Link>,
    /// Alternative texts of the pictures whose addresses come from facts, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<String>,
    /// BCP 47: the language that it is written in, where it states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

impl CompiledTemplate {
    /// Whether a recipient can unsubscribe by a link in the body: every lifecycle mail needs one.
    pub fn has_unsubscribe_link(&self) -> bool {
        self.links.iter().any(|link| link.kind == LinkKind::Unsubscribe)
    }
}

/// A template that compiled.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// What is rendered.
    pub template: CompiledTemplate,
    /// What somebody should look at all the same.
    pub warnings: Vec<CompileFault>,
    /// Finds the author's text again.
    pub source_map: SourceMap,
}

/// From places in the compiled parts back to places in the author's sources.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    html: Vec<Piece>,
    text: Option<Vec<Piece>>,
}

impl SourceMap {
    /// Where bytes of a compiled part came from: which source, and which of its bytes.
    pub fn locate(&self, part: Part, span: &Range<usize>) -> Option<(Part, Range<usize>)> {
        let pieces = match (part, &self.text) {
            (Part::Body, _) => &self.html,
            (Part::Text, Some(pieces)) => pieces,
            _ => return Some((part, span.clone())),
        };
        let after = pieces.partition_point(|piece| piece.out.start <= span.start);
        let piece = after.checked_sub(1).map(|index| &pieces[index])?;
        (span.start < piece.out.end).then(|| (Part::Body, piece.source.clone()))
    }
}

/// Compiles a template against the facts that it may name.
///
/// # Errors
/// Everything that is wrong, errors and warnings, in the order of the parts and their bytes.
pub fn compile(parts: &TemplateParts<'_>, contract: &Contract) -> Result<Compiled, Vec<CompileFault>> {
    let mut faults = Vec::new();
    check_sizes(parts, &mut faults)?;
    faults.extend(check::source(Part::Subject, parts.subject, contract));
    faults.extend(check::source(Part::Preheader, parts.preheader, contract));
    if parts.subject.trim().is_empty() {
        faults.push(
            CompileFault::new(Part::Subject, 0..0, "there is no subject")
                .help("write `subject = \"…\"` in the head"),
        );
    }
    if let Some(text) = parts.text {
        faults.extend(check::source(Part::Text, text, contract));
    }
    let (body, found) = body::compile(parts, contract);
    faults.extend(found);
    let Some(body) = body.filter(|_| faults.iter().all(|fault| fault.severity == Severity::Warning)) else {
        return Err(sorted(faults));
    };
    let template = template(parts, &body);
    let source_map =
        SourceMap { text: parts.text.is_none().then_some(body.text_pieces), html: body.html_pieces };
    faults.extend(check::compiled(&template, &source_map, parts.mjml.len()));
    if faults.iter().any(|fault| fault.severity == Severity::Error) {
        return Err(sorted(faults));
    }
    Ok(Compiled { template, warnings: sorted(faults), source_map })
}

fn check_sizes(parts: &TemplateParts<'_>, faults: &mut Vec<CompileFault>) -> Result<(), Vec<CompileFault>> {
    let sources = [
        (Part::Subject, parts.subject),
        (Part::Preheader, parts.preheader),
        (Part::Body, parts.mjml),
        (Part::Text, parts.text.unwrap_or_default()),
    ];
    for (part, source) in sources {
        if source.len() > SOURCE_BYTES_MAX {
            let message =
                format!("the {part} has {} bytes; at most {SOURCE_BYTES_MAX} are allowed", source.len());
            faults.push(CompileFault::new(part, 0..0, message).help("write less, or split the mail"));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(std::mem::take(faults)) }
}

fn sorted(mut faults: Vec<CompileFault>) -> Vec<CompileFault> {
    faults.sort_by_key(|fault| (fault.part, fault.span.start, fault.span.end));
    faults.dedup();
    faults
}

fn template(parts: &TemplateParts<'_>, body: &body::Body) -> CompiledTemplate {
    let subject = mark_rounds(parts.subject, Part::Subject);
    let stated = if parts.preheader.trim().is_empty() { &body.preview } else { parts.preheader };
    let preheader = mark_rounds(stated, Part::Preheader);
    let text = parts.text.map_or_else(|| body.text.clone(), |text| mark_rounds(text, Part::Text));
    let language = parts.language.unwrap_or_default();
    let hash = of_parts([subject.as_str(), &preheader, &body.html, &text, language]);
    CompiledTemplate {
        hash: TemplateHash(hex(&hash.finalize())),
        subject,
        preheader,
        html: body.html.clone(),
        text,
        links: body.links.clone(),
        pictures: body.pictures.clone(),
        language: parts.language.map(str::to_owned),
    }
}

/// A source with the round mark at the start of every loop's body.
fn mark_rounds(source: &str, part: Part) -> String {
    let Ok(tags) = find_tags(source, part) else { return source.to_owned() };
    let mut out = String::with_capacity(source.len() + 8);
    let mut at = 0;
    for tag in tags.iter().filter(|tag| tag.kind == TagKind::Control) {
        out.push_str(&source[at..tag.range.end]);
        out.push_str(&round_mark(&source[tag.range.clone()], &source[tag.inner.clone()]));
        at = tag.range.end;
    }
    out.push_str(&source[at..]);
    out
}

/// What has to follow a control tag: the round mark after `{% for … %}`, such that `-%}` still trims.
pub(super) fn round_mark(tag: &str, inner: &str) -> String {
    if inner.split_ascii_whitespace().next() != Some("for") {
        return String::new();
    }
    if tag.ends_with("-%}") { format!("{{{{ \"{ROUND}\" -}}}}") } else { ROUND.to_string() }
}
