//! A replay as a report: how many change how, which variants gain and lose, and examples.

use super::Change;
use super::Fate;
use super::Replay;
use super::ReplayRequest;
use crate::report::Report;
use crate::report::document::Cell;
use crate::report::document::Column;
use crate::report::document::Figure;
use crate::report::document::Readers;
use crate::report::document::Section;
use crate::report::document::Table;
use crate::report::document::Unit;
use crate::words::shortened;

/// Characters of a subject, or of a reason, that are told, at most.
const SUBJECT_CHARS_MAX: usize = 70;

impl Change {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::SameMail => "the same mail, byte by byte",
            Self::OtherContent => "the same variant, other content",
            Self::OtherVariant => "another variant",
            Self::Gained => "a mail instead of none",
            Self::Lost => "no mail instead of one",
            Self::OtherReason => "no mail, for another reason",
            Self::StillNothing => "no mail, as before",
        }
    }
}

impl Replay {
    /// Tells it.
    pub fn report(&self, request: &ReplayRequest) -> Report {
        let people = self.people();
        let same = self.counted(Change::SameMail) + self.counted(Change::StillNothing);
        let short = |version: &str| version.chars().take(12).collect::<String>();
        let figure = |key, title, value: u64, from: String| Figure {
            key,
            title,
            unit: Unit::Count,
            value: Cell::count(value),
            from,
        };
        let mails = |side: usize| self.variants.values().map(|drawn| drawn.mails[side]).sum::<u64>();
        Report {
            name: "replay",
            title: format!("Replay of {}", request.campaign),
            scope: format!(
                "as of {}, seed {}; templates {} before, {} after",
                request.now,
                request.seed,
                short(&self.catalogs[0]),
                short(&self.catalogs[1])
            ),
            currency: String::new(),
            minor_digits: 2,
            headline: vec![
                figure("people", "people", people, "looked at".to_owned()),
                figure("changed", "something changes for", people - same, format!("of {people} people")),
                figure("mails_before", "mails before", mails(0), String::new()),
                figure("mails_after", "mails after", mails(1), String::new()),
            ],
            sections: vec![self.changes_section(), self.variants_section(), self.reasons_section(), self.examples_section()],
            notes: vec![
                "nothing was sent and nothing was stored".to_owned(),
                "before and after see the same people, the same time and the same seed; “expected” is over all draws, “mails” is this one draw".to_owned(),
            ],
        }
    }

    fn counted(&self, change: Change) -> u64 {
        self.changes.get(&change).copied().unwrap_or(0)
    }

    fn changes_section(&self) -> Section {
        let mut table = Table::new(&[
            Column::new("change", "what they get", Unit::Text),
            Column::new("people", "people", Unit::Count),
            Column::new("share", "of all", Unit::Share),
        ]);
        let people = self.people();
        for change in Change::ALL {
            let count = self.counted(change);
            table.row([Cell::text(change.words()), Cell::count(count), Cell::exact(part(count, people))]);
        }
        section("changes", "What changes", "", table)
    }

    fn variants_section(&self) -> Section {
        let mut table = Table::new(&[
            Column::new("variant", "variant", Unit::Text),
            Column::new("mails_before", "mails before", Unit::Count),
            Column::new("mails_after", "mails after", Unit::Count),
            Column::new("expected_before", "expected before", Unit::Number(1)),
            Column::new("expected_after", "expected after", Unit::Number(1)),
            Column::new("expected_change", "change", Unit::Number(1)),
        ]);
        let mut rows: Vec<_> = self.variants.iter().collect();
        let change = |expected: [f64; 2]| expected[1] - expected[0];
        rows.sort_by(|(a_name, a), (b_name, b)| {
            change(b.expected).abs().total_cmp(&change(a.expected).abs()).then(a_name.cmp(b_name))
        });
        for (name, drawn) in rows {
            table.row([
                Cell::text(name),
                Cell::count(drawn.mails[0]),
                Cell::count(drawn.mails[1]),
                Cell::exact(Some(drawn.expected[0])),
                Cell::exact(Some(drawn.expected[1])),
                Cell::exact(Some(change(drawn.expected))),
            ]);
        }
        section("variants", "Variants", "Those that change most stand first.", table)
    }

    fn reasons_section(&self) -> Section {
        let mut table = Table::new(&[
            Column::new("reason", "no mail because of", Unit::Text),
            Column::new("people_before", "people before", Unit::Count),
            Column::new("people_after", "people after", Unit::Count),
        ]);
        for (reason, [before, after]) in &self.reasons {
            table.row([Cell::text(reason), Cell::count(*before), Cell::count(*after)]);
        }
        section("reasons", "Who gets nothing, and why", "", table)
    }

    fn examples_section(&self) -> Section {
        let mut table = Table::new(&[
            Column::new("change", "what changes", Unit::Text),
            Column::new("profile", "profile", Unit::Text),
            Column::new("before", "before", Unit::Text),
            Column::new("before_detail", "subject, or why not", Unit::Text),
            Column::new("after", "after", Unit::Text),
            Column::new("after_detail", "subject, or why not", Unit::Text),
        ]);
        for (change, examples) in &self.examples {
            for example in examples {
                let [before, before_detail] = words(&example.before);
                let [after, after_detail] = words(&example.after);
                table.row([
                    Cell::text(change.words()),
                    Cell::text(example.profile.as_str()),
                    before,
                    before_detail,
                    after,
                    after_detail,
                ]);
            }
        }
        let lead = "`bespoke preview --profile ID` shows such a mail; with --config DIR/bespoke.toml, as it would be after.";
        section("examples", "Examples", lead, table)
    }
}

fn section(name: &'static str, title: &str, lead: &str, table: Table) -> Section {
    let lead = lead.to_owned();
    let missing = "Nobody is in the audience, before or after.";
    let readers = Readers::Everybody;
    Section { name, title: title.to_owned(), lead, plots: Vec::new(), table, readers, missing }
}

fn words(fate: &Fate) -> [Cell; 2] {
    let (what, detail) = match fate {
        Fate::Mail { variant, subject, .. } => (variant, subject),
        Fate::Nothing { reason, detail } => (reason, detail),
    };
    [Cell::text(what), Cell::text(shortened(detail, SUBJECT_CHARS_MAX))]
}

fn part(count: u64, of: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts of people are far below 2^53")]
    let part = count as f64 / of as f64;
    (of > 0).then_some(part)
}
