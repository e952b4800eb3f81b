//! MJML with Tera tags becomes HTML with Tera tags.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::AssertUnwindSafe;

use mrml::prelude::parser::ParserOptions;
use mrml::prelude::parser::noop_loader::NoopIncludeLoader;
use mrml::prelude::render::RenderOptions;

use super::check;
use super::compile::TemplateParts;
use super::compile::round_mark;
use super::engine::names;
use super::entities;
use super::fault::CompileFault;
use super::fault::Part;
use super::links;
use super::links::Link;
use super::lint;
use super::mask;
use super::mask::Edited;
use super::mask::Piece;
use super::mask::Tag;
use super::mask::TagKind;
use super::mask::Words;
use super::text;
use super::tokens::Control;
use super::tree;
use super::tree::Element;
use super::tree::Node;
use super::writer::ADDRESS;
use super::writer::ADDRESS_END;
use super::writer::Form;
use super::writer::REGION;
use super::writer::REGION_END;
use crate::catalog::contract::Contract;
use crate::fault::Severity;

/// What mail programs would otherwise show after a short preheader: the start of the mail.
const PREHEADER_PADDING: &str = "&#847;&zwnj;&nbsp;";
/// How often in a line: SMTP has a limit of 998 bytes, and there is no tag to fold at.
const PREHEADER_PADDING_TIMES: usize = 20;
/// How many lines: enough for the widest list of mails.
const PREHEADER_PADDING_LINES: usize = 3;
/// Hides the preheader in the mail itself.
const HIDDEN_STYLE: &str = "display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;\
                            overflow:hidden;mso-hide:all";

/// A compiled body.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) html: String,
    pub(super) html_pieces: Vec<Piece>,
    pub(super) text: String,
    pub(super) text_pieces: Vec<Piece>,
    /// Tera text of `<mj-preview>`.
    pub(super) preview: String,
    pub(super) links: Vec<Link>,
    pub(super) pictures: Vec<String>,
}

/// Compiles the MJML, and says what is wrong with it. There is no body where it could not be read at all.
pub(super) fn compile(parts: &TemplateParts<'_>, contract: &Contract) -> (Option<Body>, Vec<CompileFault>) {
    let source = parts.mjml;
    let tags = match mask::find_tags(source, Part::Body) {
        Ok(tags) => tags,
        Err(fault) => return (None, vec![fault]),
    };
    let mut words = Words::new(source);
    let masked = mask::mask(source, &tags, &mut words);
    let root = match tree::parse(&masked.text) {
        Ok(root) => root,
        Err(fault) => {
            let span = masked.source(&fault.range);
            return (None, vec![CompileFault::new(Part::Body, span, fault.message).help(fault.help)]);
        }
    };
    let mut faults = check::source(Part::Body, source, contract);
    faults.extend(lint::check(&root, source, &masked, &tags, &words));
    let Some(body) = root.elements().find(|element| element.name == "mj-body") else {
        faults.push(CompileFault::new(
            Part::Body,
            masked.source(&root.name_range),
            "`<mjml>` has no `<mj-body>`",
        ));
        return (None, faults);
    };
    for (index, tag) in tags.iter().enumerate() {
        let mark = round_mark(&source[tag.range.clone()], &source[tag.inner.clone()]);
        if tag.kind == TagKind::Control && !mark.is_empty() {
            words.set_restored(index, source[tag.range.clone()].to_owned() + &mark);
        }
    }
    let mut rewritten = links::rewrite(body, source, &masked, &tags, &mut words);
    faults.append(&mut rewritten.faults);
    let preview = preview(&root);
    let derived = words.restore(&text::derive(body, &masked.text, &tags, &words, &rewritten), Form::Text);
    let mut edits = rewritten.edits;
    if let Some(preview) = preview {
        edits.insert(preview.range.start, (preview.range.clone(), String::new()));
    }
    escape_brackets(&root, &masked.text, &mut edits);
    let edited = Edited::new(&masked.text, edits.into_values());
    let html = match to_html(&edited) {
        Ok(html) => html,
        Err((range, message)) => {
            // What is said already is what the compiler stumbles over, in words of its own.
            if faults.iter().all(|fault| fault.severity == Severity::Warning) {
                faults.push(CompileFault::new(Part::Body, masked.source(&edited.source(&range)), message));
            }
            return (None, faults);
        }
    };
    faults.extend(check_links(&html, &words, tags.len()));
    let preview = preview
        .map(|preview| words.restore(&entities::decode(&inner_text(preview, &masked.text)), Form::Text).text);
    let has_preheader =
        !parts.preheader.trim().is_empty() || preview.as_ref().is_some_and(|text| !text.is_empty());
    let hidden = if has_preheader { hidden_preheader() } else { String::new() };
    mark_regions(source, &tags, &mut words);
    let restored = words.restore(&furnish(&html, &hidden), Form::Html);
    let lost = lost(&restored.counts, &tags, &words, preview_range(&root, &masked));
    let is_told = |lost: &CompileFault| {
        faults.iter().any(|known| known.span.start < lost.span.end && lost.span.start < known.span.end)
    };
    let untold: Vec<CompileFault> = lost.into_iter().filter(|lost| !is_told(lost)).collect();
    faults.extend(untold);
    let body = Body {
        html: restored.text,
        html_pieces: restored.pieces,
        text: derived.text,
        text_pieces: derived.pieces,
        preview: preview.unwrap_or_default(),
        links: rewritten.links,
        pictures: rewritten.pictures,
    };
    (Some(body), faults)
}

fn preview<'t, 's>(root: &'t Element<'s>) -> Option<&'t Element<'s>> {
    let head = root.elements().find(|element| element.name == "mj-head")?;
    head.elements().filter(|element| element.name == "mj-preview").last()
}

fn preview_range(root: &Element<'_>, masked: &Edited) -> Range<usize> {
    preview(root).map_or(0..0, |preview| masked.source(&preview.range))
}

fn inner_text(element: &Element<'_>, text: &str) -> String {
    let pieces = element.children.iter().filter_map(|child| match child {
        Node::Text(range) => Some(&text[range.clone()]),
        _ => None,
    });
    pieces.collect::<String>().trim().to_owned()
}

/// Writes `&gt;` for a bare `>` in text: mrml panics on some of them.
fn escape_brackets(root: &Element<'_>, text: &str, edits: &mut BTreeMap<usize, (Range<usize>, String)>) {
    root.walk(&mut |element, _| {
        if matches!(element.name, "mj-style" | "style" | "mj-preview") {
            return;
        }
        for child in &element.children {
            if let Node::Text(range) = child {
                for (offset, _) in text[range.clone()].match_indices('>') {
                    let at = range.start + offset;
                    edits.insert(at, (at..at + 1, "&gt;".to_owned()));
                }
            }
        }
    });
}

/// Runs mrml. A fault has its place in the text that mrml saw.
fn to_html(edited: &Edited) -> Result<String, (Range<usize>, String)> {
    let parser = ParserOptions { include_loader: Box::new(NoopIncludeLoader) };
    // No font is fetched from anywhere unless the layout names it with `<mj-font>`.
    let options = RenderOptions {
        disable_comments: true,
        social_icon_origin: None,
        fonts: std::collections::HashMap::new(),
    };
    let run = || {
        let parsed =
            mrml::parse_with_options(&edited.text, &parser).map_err(|error| explain(&error, &edited.text))?;
        parsed
            .element
            .render(&options)
            .map_err(|error| (0..0, format!("the MJML cannot be rendered: {error}")))
    };
    // mrml indexes into texts by bytes; what that costs is one template, not the process.
    std::panic::catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err((0..0, "the MJML compiler failed on this template".to_owned())))
}

fn explain(error: &mrml::prelude::parser::Error, text: &str) -> (Range<usize>, String) {
    use mrml::prelude::parser::Error;
    match error {
        Error::UnexpectedElement { position, .. } => {
            (position.start..position.end, "this element cannot stand here".to_owned())
        }
        Error::UnexpectedToken { position, .. } | Error::InvalidFormat { position, .. } => {
            (position.start..position.end, "this cannot stand here".to_owned())
        }
        Error::MissingAttribute { name, position, .. } => {
            (position.start..position.end, format!("the attribute `{name}` is missing"))
        }
        Error::InvalidAttribute { position, .. } => {
            (position.start..position.end, "this attribute cannot stand here".to_owned())
        }
        Error::IncludeLoaderError { position, .. } => {
            (position.start..position.end, "nothing is included from files here; use a block".to_owned())
        }
        Error::ParserError { source, .. } => {
            let place = source.pos();
            let line = text
                .split_inclusive('\n')
                .take(place.row.saturating_sub(1) as usize)
                .map(str::len)
                .sum::<usize>();
            let start = text[line..]
                .char_indices()
                .nth(place.col.saturating_sub(1) as usize)
                .map_or(text.len(), |(offset, _)| line + offset);
            (start..start, format!("this is no well-formed MJML: {source}"))
        }
        Error::EndOfStream { .. } | Error::SizeLimit { .. } | Error::NoRootNode => (0..0, error.to_string()),
    }
}

/// Puts the writer's marks in the place of notes such as `{#region NAME#}` and `{#/region NAME#}`; not where a filter or
/// a variable gets hold of them. Where a loop is left, the regions that began in it end.
fn mark_regions(source: &str, tags: &[Tag], words: &mut Words) {
    let mut captured: usize = 0;
    let (mut open, mut open_before_loops) = (Vec::new(), Vec::new());
    for (index, tag) in tags.iter().enumerate() {
        let inner = &source[tag.inner.clone()];
        if tag.kind == TagKind::Comment && captured == 0 {
            let Some((mark, name)) = region_note(inner) else { continue };
            words.set_restored(index, region_mark(mark, name));
            if mark == REGION {
                open.push(name);
            } else {
                open.pop();
            }
        }
        if tag.kind != TagKind::Control {
            continue;
        }
        match Control::of(source, tag.inner.clone()) {
            Control::Opens("filter" | "set") => captured += 1,
            Control::Closes("filter" | "set") => captured = captured.saturating_sub(1),
            Control::Opens("for") => open_before_loops.push(open.len()),
            Control::Closes("for") => {
                open_before_loops.pop();
            }
            Control::Stands("break" | "continue") => {
                let before = open_before_loops.last().map_or(0, |count: &usize| (*count).min(open.len()));
                let ends = open[before..].iter().rev().map(|name| region_mark(REGION_END, name));
                words.set_restored(index, ends.collect::<String>() + &source[tag.range.clone()]);
            }
            _ => {}
        }
    }
}

/// Whether a region begins or ends at this note, and its name; any other note is the author's.
fn region_note(note: &str) -> Option<(char, &str)> {
    let (note, mark) = note.strip_prefix('/').map_or((note, REGION), |note| (note, REGION_END));
    let name = note.strip_prefix("region")?;
    let name = if name.is_empty() { name } else { name.strip_prefix(' ')? };
    let is_name = name.chars().all(|character| character.is_alphanumeric() || matches!(character, '-' | '_'));
    is_name.then_some((mark, name))
}

fn region_mark(mark: char, name: &str) -> String {
    format!("{ADDRESS}{mark}{name}:{ADDRESS_END}")
}

fn hidden_preheader() -> String {
    let line = PREHEADER_PADDING.repeat(PREHEADER_PADDING_TIMES) + "\n";
    let padding = line.repeat(PREHEADER_PADDING_LINES);
    format!("<div style=\"{HIDDEN_STYLE}\">{{{{ {} }}}}{padding}</div>", names::PREHEADER)
}

/// Puts the preheader, the subject as title, the open pixel and the honeypot into the HTML.
fn furnish(html: &str, hidden_preheader: &str) -> String {
    let mut html =
        html.replacen("<title></title>", &format!("<title>{{{{ {} }}}}</title>", names::SUBJECT), 1);
    let start = html.find("<body").and_then(|body| html[body..].find('>').map(|end| body + end + 1));
    html.insert_str(start.unwrap_or(html.len()), hidden_preheader);
    let end = html.rfind("</body>").unwrap_or(html.len());
    let foot = format!(
        "{{% if {honeypot} %}}<a href=\"{{{{ {honeypot} }}}}\" style=\"{HIDDEN_STYLE}\" tabindex=\"-1\" \
         aria-hidden=\"true\" rel=\"nofollow\"></a>{{% endif %}}\
         {{% if {open} %}}<img src=\"{{{{ {open} }}}}\" width=\"1\" height=\"1\" alt=\"\" \
         style=\"display:block;width:1px;height:1px;border:0\">{{% endif %}}",
        honeypot = names::HONEYPOT,
        open = names::OPEN,
    );
    html.insert_str(end, &foot);
    html
}

/// A link that MJML put anywhere but into an `href` of its own would lead nowhere.
fn check_links(html: &str, words: &Words, tags: usize) -> Vec<CompileFault> {
    let mut faults = Vec::new();
    for (place, index) in words.find(html) {
        let Some(word) =
            words.get(index).filter(|word| index >= tags && links::is_marked_link(&word.restored))
        else {
            continue;
        };
        if !(html[..place.start].ends_with("href=\"") && html[place.end..].starts_with('"')) {
            let fault =
                CompileFault::new(Part::Body, word.source.clone(), "MJML puts this address into another one");
            faults.push(fault.help(
                "write `name=\"x-noshare\"` (such as `facebook-noshare`) on `<mj-social-element>`, and whole addresses \
                 without `base-url` in `<mj-navbar>`",
            ));
        }
    }
    faults
}

/// Tags that did not come back.
fn lost(counts: &[u32], tags: &[Tag], words: &Words, preview: Range<usize>) -> Vec<CompileFault> {
    let mut consumed = vec![false; tags.len()];
    for word in words.iter().skip(tags.len()) {
        consumed[word.tags.clone()].fill(true);
    }
    let mut faults = Vec::new();
    for (index, word) in words.iter().enumerate().filter(|(index, _)| counts[*index] == 0) {
        let by_design = tags.get(index).is_some_and(|tag| tag.kind == TagKind::Comment)
            || consumed.get(index).is_some_and(|consumed| *consumed)
            || (preview.start <= word.source.start && word.source.end <= preview.end);
        if !by_design {
            let fault = CompileFault::new(Part::Body, word.source.clone(), "MJML drops this tag here");
            faults.push(
                fault.help("move it into the text of an element, or into `href`, `src`, `alt` or `title`"),
            );
        }
    }
    faults
}
