//! One mail for one person, from a compiled template and facts.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;

use serde_json::Map;
use serde_json::Value as Json;
use tera::Context;
use tera::Tera;
use tera::Value;

use super::compile::CompiledTemplate;
use super::compile::GMAIL_CLIP_BYTES;
use super::engine;
use super::engine::LinkSigner;
use super::engine::names;
use super::explain;
use super::fault::Part;
use super::fault::RenderFault;
use super::output::single_line;
use super::output::tidy_text;
use super::values;
use super::writer::Addresses;
use super::writer::Form;
use super::writer::Limits;
use super::writer::Seam;
use super::writer::Writer;
use crate::campaign::Tracking;
use crate::decision::TemplateHash;

/// Largest HTML of one mail, in bytes.
pub const HTML_BYTES_MAX: usize = 1_000_000;
/// Largest plain text of one mail, in bytes.
pub const TEXT_BYTES_MAX: usize = 500_000;
/// Largest subject or preheader, in bytes.
pub const LINE_BYTES_MAX: usize = 64_000;
/// How often all loops of one part may go round together.
pub const LOOP_ROUNDS_MAX: usize = 10_000;

/// Characters of a subject that Gmail shows in a desktop browser; Outlook and telephones show fewer (measured on many
/// programs: <https://www.emailtooltester.com/en/blog/email-subject-lines-character-limit/>).
const SUBJECT_CHARS_SHOWN_MAX: usize = 70;
/// Characters of a preheader that Apple Mail shows on a desktop, more than others do
/// (<https://themarketer.com/resources/knowledge-base/how-long-should-your-preview-texts-be>).
const PREHEADER_CHARS_SHOWN_MAX: usize = 140;

/// What a mail's own links need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkContext<'a> {
    /// The send's id: clicks and opens are counted under it.
    pub send: &'a str,
    /// Whether clicks and opens are counted.
    pub tracking: Tracking,
    /// `links.unsubscribe`: a signed address.
    pub unsubscribe: &'a str,
    /// `links.preferences`: a signed address; absent where there is no page.
    pub preferences: Option<&'a str>,
    /// `links.view`: a signed address; absent where there is no page.
    pub view: Option<&'a str>,
    /// An address that no person sees: what follows it is a machine.
    pub honeypot: Option<&'a str>,
}

/// A rendered mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line without control characters, never empty.
    pub subject: String,
    /// One line without control characters, or empty.
    pub preheader: String,
    /// The HTML part, never empty.
    pub html: String,
    /// The plain-text part, never empty; ends with a line end.
    pub text: String,
}

impl Rendered {
    /// Whether Gmail would hide the end of this mail.
    pub fn is_clipped_by_gmail(&self) -> bool {
        self.html.len() > GMAIL_CLIP_BYTES
    }

    /// The lines that inboxes would cut: `subject` or `preheader`, each with a sentence.
    pub fn cut_by_inboxes(&self) -> impl Iterator<Item = (&'static str, String)> {
        let lines = [
            ("subject", &self.subject, SUBJECT_CHARS_SHOWN_MAX),
            ("preheader", &self.preheader, PREHEADER_CHARS_SHOWN_MAX),
        ];
        lines.into_iter().filter(|(_, text, shown_max)| text.chars().count() > *shown_max).map(
            |(name, _, shown_max)| {
                (name, format!("the {name} is over {shown_max} characters: inboxes do not show the rest"))
            },
        )
    }
}

/// Holds compiled templates, and renders them.
#[derive(Clone)]
pub struct Renderer {
    /// An engine without templates: everything that they may call, and the facts that every mail sees.
    blank: Arc<Tera>,
    signer: Arc<dyn LinkSigner>,
    /// `shop.locale` of the globals.
    shop_locale: Option<String>,
    templates: HashMap<TemplateHash, Arc<Loaded>>,
}

impl fmt::Debug for Renderer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renderer").field("templates", &self.templates.len()).finish_non_exhaustive()
    }
}

/// A template, with an engine of its own from its first mail on: what nobody is sent takes no memory there.
pub(super) struct Loaded {
    /// For messages: the variant's name.
    pub(super) name: String,
    pub(super) template: Arc<CompiledTemplate>,
    engine: OnceLock<Tera>,
}

impl Loaded {
    fn new(name: String, template: Arc<CompiledTemplate>) -> Self {
        Self { name, template, engine: OnceLock::new() }
    }

    /// What the engine calls a part, and its source. Only `.html` is escaped.
    pub(super) fn part(&self, part: Part) -> (&'static str, &str) {
        match part {
            Part::Subject => ("subject.txt", &self.template.subject),
            Part::Preheader => ("preheader.txt", &self.template.preheader),
            Part::Body => ("body.html", &self.template.html),
            Part::Text => ("text.txt", &self.template.text),
        }
    }

    /// The engine that holds the parts, made from a blank one.
    fn engine(&self, blank: &Tera) -> Result<&Tera, RenderFault> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let mut engine = blank.clone();
        engine.add_raw_templates(PARTS.map(|part| self.part(part))).map_err(|error| {
            RenderFault::BadTemplate { template: self.name.clone(), message: error.to_string() }
        })?;
        Ok(self.engine.get_or_init(|| engine))
    }
}

const PARTS: [Part; 4] = [Part::Subject, Part::Preheader, Part::Body, Part::Text];

impl Renderer {
    /// A renderer without templates. `globals` are facts that every mail sees, such as `shop`; a send's own facts of
    /// the same name win.
    pub fn new(signer: Arc<dyn LinkSigner>, globals: &Map<String, Json>) -> Self {
        let mut blank = engine::new();
        for (name, value) in globals {
            blank.global_context().insert_value(name.clone(), values::convert(value));
        }
        let shop_locale = globals.get("shop").and_then(|shop| shop.get("locale")).and_then(Json::as_str);
        let shop_locale = shop_locale.map(str::to_owned);
        Self { blank: Arc::new(blank), signer, shop_locale, templates: HashMap::new() }
    }

    /// Adds templates, each under the name that messages use (the variant's); those of a known hash are kept as they
    /// are.
    pub fn add(&mut self, templates: impl IntoIterator<Item = (String, Arc<CompiledTemplate>)>) {
        for (name, template) in templates {
            let known = self.templates.entry(template.hash.clone());
            known.or_insert_with(|| Arc::new(Loaded::new(name, template)));
        }
    }

    /// A renderer of the same signer and globals that holds this template alone: for a retry whose template is no
    /// longer in the catalogue.
    #[must_use]
    pub fn with_stored(&self, name: String, template: Arc<CompiledTemplate>) -> Self {
        let mut renderer = Self {
            blank: Arc::clone(&self.blank),
            signer: Arc::clone(&self.signer),
            shop_locale: self.shop_locale.clone(),
            templates: HashMap::new(),
        };
        renderer.add([(name, template)]);
        renderer
    }

    /// Whether this template is loaded.
    pub fn contains(&self, hash: &TemplateHash) -> bool {
        self.templates.contains_key(hash)
    }

    /// Renders one mail. The same arguments give the same bytes.
    pub fn render(
        &self,
        hash: &TemplateHash,
        facts: &Json,
        links: &LinkContext<'_>,
    ) -> Result<Rendered, RenderFault> {
        let (loaded, facts) = self.loaded(hash, facts)?;
        let mut context = self.context(loaded, facts, links);
        let mut addresses = self.addresses(links);
        let mut part = |part: Part, context: &Context| {
            let written = self.part(loaded, part, context, &mut addresses, None);
            written.map_err(|fault| fault.of_products(facts))
        };
        let subject = single_line(&part(Part::Subject, &context)?);
        not_empty(loaded, Part::Subject, &subject)?;
        let preheader = single_line(&part(Part::Preheader, &context)?);
        context.insert_value(names::SUBJECT, Value::from(subject.as_str()));
        context.insert_value(names::PREHEADER, Value::from(preheader.as_str()));
        let html = part(Part::Body, &context)?;
        not_empty(loaded, Part::Body, &html)?;
        let text = tidy_text(&part(Part::Text, &context)?);
        not_empty(loaded, Part::Text, &text)?;
        Ok(Rendered { subject, preheader, html, text })
    }

    /// Renders the HTML, and cuts regions out of it: slots by their names, and under the empty name what the layout
    /// surrounds. All of it is rendered, because what stands before a region may set what it prints. One that this mail
    /// does not show is left out.
    pub fn regions<'n>(
        &self,
        hash: &TemplateHash,
        names: impl IntoIterator<Item = &'n str>,
        facts: &Json,
        links: &LinkContext<'_>,
    ) -> Result<BTreeMap<String, String>, RenderFault> {
        let (loaded, facts) = self.loaded(hash, facts)?;
        let mut context = self.context(loaded, facts, links);
        context.insert_value(names::SUBJECT, Value::from(""));
        context.insert_value(names::PREHEADER, Value::from(""));
        let (mut addresses, mut seams) = (self.addresses(links), Vec::new());
        let html = self.part(loaded, Part::Body, &context, &mut addresses, Some(&mut seams))?;
        let cut = |name: &'n str| cut(&html, &seams, name).map(|html| (name.to_owned(), html));
        Ok(names.into_iter().filter_map(cut).collect())
    }

    fn loaded<'r>(
        &'r self,
        hash: &TemplateHash,
        facts: &'r Json,
    ) -> Result<(&'r Loaded, &'r Map<String, Json>), RenderFault> {
        let unknown = || RenderFault::UnknownTemplate { hash: hash.0.clone() };
        let loaded = self.templates.get(hash).ok_or_else(unknown)?;
        let no_facts = || RenderFault::BadFacts { template: loaded.name.clone() };
        Ok((loaded, facts.as_object().ok_or_else(no_facts)?))
    }

    fn addresses<'l>(&'l self, links: &LinkContext<'l>) -> Addresses<'l> {
        Addresses::new(self.signer.as_ref(), (links.tracking == Tracking::On).then_some(links.send))
    }

    fn context(&self, loaded: &Loaded, facts: &Map<String, Json>, links: &LinkContext<'_>) -> Context {
        let mut context = Context::new();
        for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_null()) {
            context.insert_value(name.clone(), values::convert(fact));
        }
        let mut own = tera::Map::with_capacity(3);
        let addresses = [
            ("unsubscribe", Some(links.unsubscribe)),
            ("preferences", links.preferences),
            ("view", links.view),
        ];
        for (name, address) in addresses {
            own.extend(address.map(|address| (name.into(), Value::from(address))));
        }
        context.insert_value("links", Value::from(own));
        let open = match links.tracking {
            Tracking::On => self.signer.open(links.send),
            Tracking::Off => String::new(),
        };
        context.insert_value(names::OPEN, Value::from(open));
        context.insert_value(names::HONEYPOT, Value::from(links.honeypot.unwrap_or_default()));
        context.insert_value(names::LOCALE, Value::from(self.locale(loaded, facts)));
        context
    }

    /// The template's language with the profile's region where both are of one language, else the profile's locale,
    /// else the shop's, else English.
    fn locale<'a>(&'a self, loaded: &'a Loaded, facts: &'a Map<String, Json>) -> &'a str {
        let of = |root: &str| facts.get(root).and_then(|root| root.get("locale")).and_then(Json::as_str);
        let language = |tag: &'a str| tag.split(['-', '_']).next().unwrap_or(tag);
        match (loaded.template.language.as_deref(), of("profile")) {
            (Some(own), Some(profile)) if language(own).eq_ignore_ascii_case(language(profile)) => profile,
            (Some(own), _) => own,
            (None, Some(profile)) => profile,
            (None, None) => of("shop").or(self.shop_locale.as_deref()).unwrap_or("en"),
        }
    }

    fn part(
        &self,
        loaded: &Loaded,
        part: Part,
        context: &Context,
        addresses: &mut Addresses<'_>,
        seams: Option<&mut Vec<Seam>>,
    ) -> Result<String, RenderFault> {
        let (name, source) = loaded.part(part);
        let form = if part == Part::Body { Form::Html } else { Form::Text };
        let capacity = source.len() + source.len() / 4;
        let mut writer = Writer::new(capacity, form, limits(part), addresses, seams);
        let result = loaded.engine(&self.blank)?.render_to(name, context, &mut writer);
        // What stopped the writer says more than what the engine makes of it.
        let stopped = |stopped| explain::stopped(loaded, part, &stopped, limits(part));
        if let Some(why) = writer.stopped.take() {
            return Err(stopped(why));
        }
        result.map_err(|error| explain::error(loaded, part, &error))?;
        writer.into_text().map_err(stopped)
    }
}

fn limits(part: Part) -> Limits {
    let bytes = match part {
        Part::Subject | Part::Preheader => LINE_BYTES_MAX,
        Part::Body => HTML_BYTES_MAX,
        Part::Text => TEXT_BYTES_MAX,
    };
    Limits { bytes, rounds: LOOP_ROUNDS_MAX }
}

/// What stands between the seams of a region; more than one piece where it stands in a loop.
fn cut(html: &str, seams: &[Seam], name: &str) -> Option<String> {
    let (mut begun, mut found) = (None, None::<String>);
    for seam in seams.iter().filter(|seam| seam.name == name) {
        if seam.begins {
            begun = Some(seam.at);
        } else if let Some(piece) = begun.take().and_then(|start| html.get(start..seam.at)) {
            found.get_or_insert_default().push_str(piece);
        }
    }
    found
}

fn not_empty(loaded: &Loaded, part: Part, text: &str) -> Result<(), RenderFault> {
    if text.trim().is_empty() {
        return Err(RenderFault::Empty { template: loaded.name.clone(), part });
    }
    Ok(())
}
