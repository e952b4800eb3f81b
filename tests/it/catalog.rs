//! The catalogue: a miniature one that is right, and one fault at a time in it.

use std::collections::BTreeMap;
use std::path::Path;

use bespoke::catalog::Catalog;
use bespoke::catalog::CatalogSettings;
use bespoke::catalog::Pages;
use bespoke::catalog::check::check;
use bespoke::catalog::files::Files;
use bespoke::config::TraitType;
use bespoke::fault::Fault;
use bespoke::fault::Severity;
use serde_json::Map;

mod loading;

/// The fixture's folder.
fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/catalog")
}

/// What the fixture's configuration would say.
fn settings() -> CatalogSettings {
    let shop =
        serde_json::json!({"name": "Lantern", "address": "1 Main Street", "url": "https://shop.example"});
    CatalogSettings {
        traits: BTreeMap::from([
            ("first_name".to_owned(), TraitType::String),
            ("birthday".to_owned(), TraitType::Date),
            ("vip".to_owned(), TraitType::Bool),
        ]),
        own_events: vec!["Lesson Booked".to_owned()],
        pages: Pages::None,
        shop: shop.as_object().unwrap().clone(),
        default_locale: Some("en".to_owned()),
    }
}

/// The fixture with some files replaced, added, or (where the text is `DELETE`) taken away.
fn with(changes: &[(&str, &str)]) -> Files {
    let fixture = Files::read(&folder()).unwrap();
    let mut files: BTreeMap<String, String> =
        fixture.iter().map(|(path, file)| (path.to_owned(), file.text.to_string())).collect();
    for (path, text) in changes {
        if *text == DELETE {
            files.remove(*path);
        } else {
            files.insert((*path).to_owned(), (*text).to_owned());
        }
    }
    Files::from_pairs(files)
}

/// Stands for a file that is taken away.
const DELETE: &str = "\u{0}";

/// Everything that `bespoke check` would say: errors, or where there are none, warnings.
fn faults(changes: &[(&str, &str)]) -> Vec<Fault> {
    let found = match Catalog::from_files(&with(changes), &settings()) {
        Err(faults) => faults,
        Ok(catalog) => check(&catalog).faults,
    };
    let errors: Vec<Fault> =
        found.iter().filter(|fault| fault.severity == Severity::Error).cloned().collect();
    if errors.is_empty() { found } else { errors }
}

/// `file:line «what the caret stands under» message → help`.
fn line(fault: &Fault) -> String {
    let place = fault.file.as_ref().map_or(String::new(), |file| {
        let under = file.text[fault.span.clone()].replace('\n', "⏎");
        format!("{}:{} «{under}» ", file.path.display(), fault.line())
    });
    let help = fault.help.as_ref().map_or(String::new(), |help| format!(" → {help}"));
    format!("{place}{}{help}", fault.message)
}

/// One case of a file of cases: files that are changed (`@@ path`, then their text), and the faults that follow (`=>`).
#[derive(Debug, Default)]
struct Case {
    topic: String,
    changes: Vec<(String, String)>,
    expected: Vec<String>,
}

fn read_cases(name: &str) -> Vec<Case> {
    let path = folder().join(format!("../catalog_faults/{name}.txt"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut cases = Vec::new();
    let mut topic = String::new();
    let mut case = Case::default();
    for line in text.lines() {
        let finished = !case.expected.is_empty() && !line.starts_with("=>");
        if finished {
            case.topic.clone_from(&topic);
            cases.push(std::mem::take(&mut case));
        }
        if let Some(heading) = line.strip_prefix("# ").filter(|_| case.changes.is_empty()) {
            heading.clone_into(&mut topic);
        } else if let Some(path) = line.strip_prefix("@@ ") {
            let change = match path.strip_suffix(" is deleted") {
                Some(path) => (path.to_owned(), DELETE.to_owned()),
                None => (path.to_owned(), String::new()),
            };
            case.changes.push(change);
        } else if let Some(fault) = line.strip_prefix("=> ") {
            case.expected.push(fault.to_owned());
        } else if let Some((_, text)) = case.changes.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    if !case.expected.is_empty() {
        case.topic = topic;
        cases.push(case);
    }
    cases
}

/// Every case of a file comes to exactly its faults.
fn refuses(name: &str, count: usize) {
    let cases = read_cases(name);
    assert_eq!(cases.len(), count, "cases in {name}.txt");
    let mut wrong = Vec::new();
    for case in &cases {
        let changes: Vec<(&str, &str)> =
            case.changes.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let found: Vec<String> = faults(&changes).iter().map(line).collect();
        if found != case.expected {
            let Case { topic, expected, .. } = case;
            wrong.push(format!("{topic}\n{changes:#?}\nexpected {expected:#?}\nfound {found:#?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_configuration_lacks_is_told_once() {
    let without_shop = CatalogSettings { shop: Map::new(), ..settings() };
    let faults = Catalog::from_files(&with(&[]), &without_shop).unwrap_err();
    let said: Vec<String> = faults.iter().map(line).collect();
    assert_eq!(
        said,
        [
            "blocks/footer.mjml:3 «name» `shop` has no `name` → write `name = \"…\"` under [shop] in bespoke.toml",
            "blocks/footer.mjml:3 «address» `shop` has no `address` → write `address = \"…\"` under [shop] in bespoke.toml",
        ]
    );
}

#[test]
fn files_that_have_no_place_or_cannot_be_read_are_faults() {
    refuses("folders", 32);
}

#[test]
fn heads_rules_slots_and_options_are_checked() {
    refuses("authoring", 39);
}

#[test]
fn a_fault_is_told_in_the_file_that_it_is_in() {
    refuses("composing", 31);
}

#[test]
fn campaigns_and_offers_are_checked_against_everything_that_they_name() {
    refuses("campaigns", 48);
}

#[test]
fn what_only_shows_with_people_is_found() {
    refuses("samples", 32);
}

#[test]
fn everybody_gets_whole_elements_and_a_link_to_unsubscribe() {
    refuses("elements", 18);
}

#[test]
fn a_byte_order_mark_in_front_of_any_file_is_passed_over() {
    let files = Files::read(&folder()).unwrap();
    let marked = files.iter().map(|(path, file)| (path.to_owned(), format!("\u{feff}{}", file.text)));
    let catalog = Catalog::from_files(&Files::from_pairs(marked), &settings()).unwrap();
    assert_eq!(check(&catalog).faults.iter().map(line).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(catalog.version, Catalog::from_files(&files, &settings()).unwrap().version);
}

#[test]
fn pages_may_be_linked_to_where_they_are_and_must_be_asked_for_where_they_are_not() {
    let footer = |link: &str| {
        format!(
            "<mj-section><mj-column><mj-text>{{{{ shop.name }}}}, {{{{ shop.address }}}}. \
                 <a href=\"{{{{ links.unsubscribe }}}}\">Unsubscribe</a>{link}</mj-text></mj-column></mj-section>"
        )
    };
    let bare = "<a href=\"{{ links.preferences }}\">Choose</a> <a href=\"{{ links.view }}\">Read</a>";
    let asked = "{% if links.preferences %}<a href=\"{{ links.preferences }}\">Choose</a>{% endif %}";
    for (link, pages, expected) in
        [(bare, Pages::Public, 0), (asked, Pages::Public, 0), (asked, Pages::None, 0), (bare, Pages::None, 1)]
    {
        let settings = CatalogSettings { pages, ..settings() };
        let catalog =
            Catalog::from_files(&with(&[("blocks/footer.mjml", &footer(link))]), &settings).unwrap();
        let found = check(&catalog).faults;
        assert_eq!(found.len(), expected, "{link} {pages:?} {found:?}");
        assert!(found.iter().all(|fault| line(fault).contains("{% if links.preferences %}")), "{found:?}");
    }
}
