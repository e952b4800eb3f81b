//! How numbers, money and dates are written where the recipient lives.

use tera::State;
use tera::Value;

use crate::render::engine::names;

/// The languages whose names of months and weekdays are known. Others are written as in English.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    German,
    French,
    Spanish,
    Italian,
    Dutch,
    Portuguese,
    Japanese,
}

/// Language and region of a BCP 47 tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Locale {
    pub(super) language: Language,
    /// ISO 3166, in capitals.
    region: Option<[u8; 2]>,
}

/// How a number is written. Separators are those of Unicode CLDR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberStyle {
    pub(super) decimal: char,
    pub(super) group: char,
    /// Numbers with fewer whole digits are not grouped.
    pub(super) grouped_from_digits: usize,
    pub(super) symbol: SymbolPlace,
}

/// Where the sign of a currency stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SymbolPlace {
    /// `€19.99`.
    Before,
    /// `€ 19,99`.
    BeforeWithSpace,
    /// `19,99 €`.
    AfterWithSpace,
}

const NO_BREAK_SPACE: char = '\u{a0}';
const NARROW_NO_BREAK_SPACE: char = '\u{202f}';

/// By the first subtag of a tag (ISO 639).
const LANGUAGES: [(&str, Language); 7] = [
    ("de", Language::German),
    ("fr", Language::French),
    ("es", Language::Spanish),
    ("it", Language::Italian),
    ("nl", Language::Dutch),
    ("pt", Language::Portuguese),
    ("ja", Language::Japanese),
];

impl Locale {
    /// Reads `de-AT`, `de_AT` or `de`.
    pub(super) fn parse(tag: &str) -> Self {
        let mut subtags = tag.split(['-', '_']);
        let own = subtags.next().unwrap_or_default();
        let known = LANGUAGES.iter().find(|(subtag, _)| own.eq_ignore_ascii_case(subtag));
        let language = known.map_or(Language::English, |(_, language)| *language);
        let region = subtags
            .find(|subtag| subtag.len() == 2 && subtag.bytes().all(|byte| byte.is_ascii_alphabetic()))
            .and_then(|subtag| <[u8; 2]>::try_from(subtag.as_bytes()).ok())
            .map(|region| region.map(|letter| letter.to_ascii_uppercase()));
        Self { language, region }
    }

    /// The locale of the mail that is being rendered, or the one that a filter's argument names.
    pub(super) fn of(state: &State<'_>, argument: Option<&str>) -> Self {
        if let Some(tag) = argument {
            return Self::parse(tag);
        }
        let tag = state.get::<Value>(names::LOCALE).ok().flatten();
        Self::parse(tag.as_ref().and_then(Value::as_str).unwrap_or("en"))
    }

    pub(super) fn is_region(self, region: &str) -> bool {
        self.region.is_some_and(|own| own == region.as_bytes())
    }

    /// How numbers are written here.
    pub(super) fn numbers(self) -> NumberStyle {
        use SymbolPlace::AfterWithSpace;
        use SymbolPlace::Before;
        use SymbolPlace::BeforeWithSpace;
        let style = |decimal, group, grouped_from_digits, symbol| NumberStyle {
            decimal,
            group,
            grouped_from_digits,
            symbol,
        };
        match self.language {
            Language::English | Language::Japanese => style('.', ',', 4, Before),
            Language::German if self.is_region("CH") => style('.', '’', 4, BeforeWithSpace),
            Language::German if self.is_region("AT") => style(',', NO_BREAK_SPACE, 4, BeforeWithSpace),
            Language::French if self.is_region("CH") => style(',', NARROW_NO_BREAK_SPACE, 4, AfterWithSpace),
            Language::French => style(',', NARROW_NO_BREAK_SPACE, 4, AfterWithSpace),
            Language::Spanish if self.is_region("MX") || self.is_region("US") => style('.', ',', 4, Before),
            Language::Spanish => style(',', '.', 5, AfterWithSpace),
            Language::Dutch => style(',', '.', 4, BeforeWithSpace),
            Language::Portuguese if self.is_region("BR") => style(',', '.', 4, BeforeWithSpace),
            Language::Portuguese => style(',', NO_BREAK_SPACE, 5, AfterWithSpace),
            Language::German | Language::Italian => style(',', '.', 4, AfterWithSpace),
        }
    }
}

/// Adds `whole` with its digits in groups of three.
pub(super) fn push_grouped(out: &mut String, whole: u128, style: NumberStyle) {
    let count = whole.checked_ilog10().unwrap_or(0) + 1;
    let is_grouped = count as usize >= style.grouped_from_digits;
    for place in (0..count).rev() {
        push_digit(out, whole / 10_u128.pow(place) % 10);
        if is_grouped && place > 0 && place % 3 == 0 {
            out.push(style.group);
        }
    }
}

/// Adds a number below ten.
pub(super) fn push_digit(out: &mut String, digit: u128) {
    out.extend(u32::try_from(digit).ok().and_then(|digit| char::from_digit(digit, 10)));
}

/// The sign of a currency, where it is better known than its code.
pub(super) fn currency_sign(currency: &str, locale: Locale) -> Option<&'static str> {
    Some(match currency {
        "EUR" => "€",
        "GBP" => "£",
        "JPY" if locale.language == Language::Japanese => "¥",
        "JPY" => "¥",
        "INR" => "₹",
        "KRW" => "₩",
        "BRL" => "R$",
        "ILS" => "₪",
        "VND" => "₫",
        "PLN" if locale.language != Language::English => "zł",
        "USD" if locale.is_region("CA") || locale.is_region("AU") || locale.is_region("NZ") => "US$",
        "USD" => "$",
        "CAD" if locale.is_region("CA") => "$",
        "CAD" => "CA$",
        "AUD" if locale.is_region("AU") => "$",
        "AUD" => "A$",
        "NZD" if locale.is_region("NZ") => "$",
        "NZD" => "NZ$",
        "MXN" if locale.is_region("MX") => "$",
        "MXN" => "MX$",
        _ => return None,
    })
}

impl Language {
    /// Full and short names of the months, January first.
    pub(super) fn months(self) -> [(&'static str, &'static str); 12] {
        match self {
            Self::English | Self::Japanese => ENGLISH_MONTHS,
            Self::German => GERMAN_MONTHS,
            Self::French => FRENCH_MONTHS,
            Self::Spanish => SPANISH_MONTHS,
            Self::Italian => ITALIAN_MONTHS,
            Self::Dutch => DUTCH_MONTHS,
            Self::Portuguese => PORTUGUESE_MONTHS,
        }
    }

    /// Full and short names of the weekdays, Monday first.
    pub(super) fn weekdays(self) -> [(&'static str, &'static str); 7] {
        match self {
            Self::English => ENGLISH_WEEKDAYS,
            Self::German => GERMAN_WEEKDAYS,
            Self::French => FRENCH_WEEKDAYS,
            Self::Spanish => SPANISH_WEEKDAYS,
            Self::Italian => ITALIAN_WEEKDAYS,
            Self::Dutch => DUTCH_WEEKDAYS,
            Self::Portuguese => PORTUGUESE_WEEKDAYS,
            Self::Japanese => JAPANESE_WEEKDAYS,
        }
    }

    /// Joins the last two of a list: "a, b and c".
    pub(super) fn and(self) -> &'static str {
        match self {
            Self::English => " and ",
            Self::German => " und ",
            Self::French => " et ",
            Self::Spanish => " y ",
            Self::Italian | Self::Portuguese => " e ",
            Self::Dutch => " en ",
            Self::Japanese => "、",
        }
    }
}

const ENGLISH_MONTHS: [(&str, &str); 12] = [
    ("January", "Jan"),
    ("February", "Feb"),
    ("March", "Mar"),
    ("April", "Apr"),
    ("May", "May"),
    ("June", "Jun"),
    ("July", "Jul"),
    ("August", "Aug"),
    ("September", "Sep"),
    ("October", "Oct"),
    ("November", "Nov"),
    ("December", "Dec"),
];
const GERMAN_MONTHS: [(&str, &str); 12] = [
    ("Januar", "Jan."),
    ("Februar", "Feb."),
    ("März", "März"),
    ("April", "Apr."),
    ("Mai", "Mai"),
    ("Juni", "Juni"),
    ("Juli", "Juli"),
    ("August", "Aug."),
    ("September", "Sept."),
    ("Oktober", "Okt."),
    ("November", "Nov."),
    ("Dezember", "Dez."),
];
const FRENCH_MONTHS: [(&str, &str); 12] = [
    ("janvier", "janv."),
    ("février", "févr."),
    ("mars", "mars"),
    ("avril", "avr."),
    ("mai", "mai"),
    ("juin", "juin"),
    ("juillet", "juil."),
    ("août", "août"),
    ("septembre", "sept."),
    ("octobre", "oct."),
    ("novembre", "nov."),
    ("décembre", "déc."),
];
const SPANISH_MONTHS: [(&str, &str); 12] = [
    ("enero", "ene"),
    ("febrero", "feb"),
    ("marzo", "mar"),
    ("abril", "abr"),
    ("mayo", "may"),
    ("junio", "jun"),
    ("julio", "jul"),
    ("agosto", "ago"),
    ("septiembre", "sept"),
    ("octubre", "oct"),
    ("noviembre", "nov"),
    ("diciembre", "dic"),
];
const ITALIAN_MONTHS: [(&str, &str); 12] = [
    ("gennaio", "gen"),
    ("febbraio", "feb"),
    ("marzo", "mar"),
    ("aprile", "apr"),
    ("maggio", "mag"),
    ("giugno", "giu"),
    ("luglio", "lug"),
    ("agosto", "ago"),
    ("settembre", "set"),
    ("ottobre", "ott"),
    ("novembre", "nov"),
    ("dicembre", "dic"),
];
const DUTCH_MONTHS: [(&str, &str); 12] = [
    ("januari", "jan"),
    ("februari", "feb"),
    ("maart", "mrt"),
    ("april", "apr"),
    ("mei", "mei"),
    ("juni", "jun"),
    ("juli", "jul"),
    ("augustus", "aug"),
    ("september", "sep"),
    ("oktober", "okt"),
    ("november", "nov"),
    ("december", "dec"),
];
const PORTUGUESE_MONTHS: [(&str, &str); 12] = [
    ("janeiro", "jan."),
    ("fevereiro", "fev."),
    ("março", "mar."),
    ("abril", "abr."),
    ("maio", "mai."),
    ("junho", "jun."),
    ("julho", "jul."),
    ("agosto", "ago."),
    ("setembro", "set."),
    ("outubro", "out."),
    ("novembro", "nov."),
    ("dezembro", "dez."),
];

const ENGLISH_WEEKDAYS: [(&str, &str); 7] = [
    ("Monday", "Mon"),
    ("Tuesday", "Tue"),
    ("Wednesday", "Wed"),
    ("Thursday", "Thu"),
    ("Friday", "Fri"),
    ("Saturday", "Sat"),
    ("Sunday", "Sun"),
];
const GERMAN_WEEKDAYS: [(&str, &str); 7] = [
    ("Montag", "Mo."),
    ("Dienstag", "Di."),
    ("Mittwoch", "Mi."),
    ("Donnerstag", "Do."),
    ("Freitag", "Fr."),
    ("Samstag", "Sa."),
    ("Sonntag", "So."),
];
const FRENCH_WEEKDAYS: [(&str, &str); 7] = [
    ("lundi", "lun."),
    ("mardi", "mar."),
    ("mercredi", "mer."),
    ("jeudi", "jeu."),
    ("vendredi", "ven."),
    ("samedi", "sam."),
    ("dimanche", "dim."),
];
const SPANISH_WEEKDAYS: [(&str, &str); 7] = [
    ("lunes", "lun"),
    ("martes", "mar"),
    ("miércoles", "mié"),
    ("jueves", "jue"),
    ("viernes", "vie"),
    ("sábado", "sáb"),
    ("domingo", "dom"),
];
const ITALIAN_WEEKDAYS: [(&str, &str); 7] = [
    ("lunedì", "lun"),
    ("martedì", "mar"),
    ("mercoledì", "mer"),
    ("giovedì", "gio"),
    ("venerdì", "ven"),
    ("sabato", "sab"),
    ("domenica", "dom"),
];
const DUTCH_WEEKDAYS: [(&str, &str); 7] = [
    ("maandag", "ma"),
    ("dinsdag", "di"),
    ("woensdag", "wo"),
    ("donderdag", "do"),
    ("vrijdag", "vr"),
    ("zaterdag", "za"),
    ("zondag", "zo"),
];
const PORTUGUESE_WEEKDAYS: [(&str, &str); 7] = [
    ("segunda-feira", "seg."),
    ("terça-feira", "ter."),
    ("quarta-feira", "qua."),
    ("quinta-feira", "qui."),
    ("sexta-feira", "sex."),
    ("sábado", "sáb."),
    ("domingo", "dom."),
];
const JAPANESE_WEEKDAYS: [(&str, &str); 7] = [
    ("月曜日", "月"),
    ("火曜日", "火"),
    ("水曜日", "水"),
    ("木曜日", "木"),
    ("金曜日", "金"),
    ("土曜日", "土"),
    ("日曜日", "日"),
];
