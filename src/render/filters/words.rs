//! Words: plural, case, shortening, names.

use std::fmt::Write as _;

use tera::Error;
use tera::Kwargs;
use tera::State;
use tera::TeraResult;
use tera::Value;

use super::Example;
use super::Filter;
use super::locale::Language;
use super::locale::Locale;
use super::wrong_type;

pub(super) const FILTERS: &[Filter] = &[
    Filter {
        name: "plural",
        arguments: "one, other, locale",
        what: "The word that goes with a number, or with the length of a list.",
        examples: &[
            Example { write: "{{ 1 | plural(one=\"item\", other=\"items\") }}", gives: "item" },
            Example { write: "{{ 0 | plural(one=\"item\", other=\"items\") }}", gives: "items" },
            Example {
                write: "{{ 0 | plural(one=\"article\", other=\"articles\", locale=\"fr\") }}",
                gives: "article",
            },
            Example { write: "{{ [1, 2] | plural(one=\"item\", other=\"items\") }}", gives: "items" },
        ],
        function: plural,
    },
    Filter {
        name: "truncate_words",
        arguments: "count, end = \"…\"",
        what: "The first words of a text.",
        examples: &[
            Example {
                write: "{{ \"warm boots for winter\" | truncate_words(count=2) }}",
                gives: "warm boots…",
            },
            Example { write: "{{ \"warm boots\" | truncate_words(count=2) }}", gives: "warm boots" },
        ],
        function: truncate_words,
    },
    Filter {
        name: "ellipsis",
        arguments: "length, end = \"…\"",
        what: "A text of at most `length` characters with its end, cut between words where one ends near enough.",
        examples: &[
            Example {
                write: "{{ \"Merino wool sweater, dark blue\" | ellipsis(length=20) }}",
                gives: "Merino wool sweater…",
            },
            Example { write: "{{ \"Größenverstellbar\" | ellipsis(length=6) }}", gives: "Größe…" },
            Example { write: "{{ \"short\" | ellipsis(length=20) }}", gives: "short" },
        ],
        function: ellipsis,
    },
    Filter {
        name: "title_case",
        arguments: "",
        what: "Every word with a capital: for names typed in capitals, or without.",
        examples: &[
            Example { write: "{{ \"ANNA-LENA o'neil\" | title_case }}", gives: "Anna-Lena O&#39;Neil" },
            Example { write: "{{ \"élodie\" | title_case }}", gives: "Élodie" },
        ],
        function: title_case,
    },
    Filter {
        name: "initials",
        arguments: "",
        what: "The first letters of the first and the last word.",
        examples: &[
            Example { write: "{{ \"Ana Maria López\" | initials }}", gives: "AL" },
            Example { write: "{{ \"ana\" | initials }}", gives: "A" },
        ],
        function: initials,
    },
    Filter {
        name: "possessive",
        arguments: "locale",
        what: "A name in the possessive, in English and German; as it is in other languages.",
        examples: &[
            Example { write: "{{ \"Ana\" | possessive }}", gives: "Ana’s" },
            Example { write: "{{ \"James\" | possessive }}", gives: "James’" },
            Example { write: "{{ \"Ana\" | possessive(locale=\"de\") }}", gives: "Anas" },
            Example { write: "{{ \"Max\" | possessive(locale=\"de\") }}", gives: "Max’" },
        ],
        function: possessive,
    },
    Filter {
        name: "sentence",
        arguments: "locale",
        what: "A list as part of a sentence.",
        examples: &[
            Example {
                write: "{{ [\"boots\", \"socks\", \"wax\"] | sentence }}",
                gives: "boots, socks and wax",
            },
            Example {
                write: "{{ [\"Schuhe\", \"Socken\"] | sentence(locale=\"de\") }}",
                gives: "Schuhe und Socken",
            },
        ],
        function: sentence,
    },
    Filter {
        name: "urlencode",
        arguments: "",
        what: "A text as one piece of an address: everything but letters, digits and `-_.~` is percent-encoded.",
        examples: &[
            Example { write: "{{ \"a b/ü?\" | urlencode }}", gives: "a%20b%2F%C3%BC%3F" },
            Example { write: "{{ 42 | urlencode }}", gives: "42" },
        ],
        function: urlencode,
    },
];

fn text(value: &Value) -> TeraResult<&str> {
    value.as_str().ok_or_else(|| wrong_type("text", value))
}

fn plural(value: &Value, arguments: &Kwargs, state: &State<'_>) -> TeraResult<Value> {
    let one: &str = arguments.must_get("one")?;
    let other: &str = arguments.must_get("other")?;
    let count = match value.as_array() {
        Some(list) => f64::from(u32::try_from(list.len()).unwrap_or(u32::MAX)),
        None => value.as_f64().ok_or_else(|| wrong_type("a number or a list", value))?.abs(),
    };
    let language = Locale::of(state, arguments.get("locale")?).language;
    let is_one = match language {
        Language::French | Language::Portuguese => count < 2.0,
        Language::Japanese => false,
        _ => (count - 1.0).abs() < f64::EPSILON,
    };
    Ok(Value::from(if is_one { one } else { other }))
}

fn truncate_words(value: &Value, arguments: &Kwargs, _: &State<'_>) -> TeraResult<Value> {
    let text = text(value)?;
    let count: usize = arguments.must_get("count")?;
    let end = arguments.get::<&str>("end")?.unwrap_or("…");
    let mut words = text.split_whitespace();
    let kept = words.by_ref().take(count).collect::<Vec<_>>().join(" ");
    let cut = words.next().is_some();
    Ok(Value::from(if cut { kept.trim_end_matches([',', ';', ':', '.']).to_owned() + end } else { kept }))
}

fn ellipsis(value: &Value, arguments: &Kwargs, _: &State<'_>) -> TeraResult<Value> {
    let text = text(value)?;
    let length: usize = arguments.must_get("length")?;
    let end = arguments.get::<&str>("end")?.unwrap_or("…");
    // There are no more characters than bytes.
    if text.len() <= length || text.chars().count() <= length {
        return Ok(value.clone());
    }
    let room = length.saturating_sub(end.chars().count());
    let cut = text.char_indices().nth(room).map_or(text.len(), |(offset, _)| offset);
    let kept = &text[..cut];
    let at_word_end = text[cut..].starts_with(char::is_whitespace);
    let word_end = kept.rfind(char::is_whitespace).filter(|end| !at_word_end && *end > kept.len() * 2 / 3);
    let kept =
        kept[..word_end.unwrap_or(kept.len())].trim_end_matches(|c: char| c.is_whitespace() || c == ',');
    Ok(Value::from([kept, end].concat()))
}

fn title_case(value: &Value, _: &Kwargs, _: &State<'_>) -> TeraResult<Value> {
    let text = text(value)?;
    let mut out = String::with_capacity(text.len());
    let mut at_start = true;
    for c in text.chars() {
        if !c.is_alphanumeric() {
            at_start = true;
            out.push(c);
        } else if at_start {
            at_start = false;
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
    }
    Ok(Value::from(out))
}

fn initials(value: &Value, _: &Kwargs, _: &State<'_>) -> TeraResult<Value> {
    let words: Vec<char> = text(value)?
        .split_whitespace()
        .filter_map(|word| word.chars().find(|c| c.is_alphanumeric()))
        .collect();
    let ends = match words.as_slice() {
        [] => Vec::new(),
        [only] => vec![*only],
        [first, .., last] => vec![*first, *last],
    };
    Ok(Value::from(ends.into_iter().flat_map(char::to_uppercase).collect::<String>()))
}

fn possessive(value: &Value, arguments: &Kwargs, state: &State<'_>) -> TeraResult<Value> {
    let name = text(value)?.trim();
    let last = name.chars().next_back().map(|c| c.to_ascii_lowercase());
    let ending = match Locale::of(state, arguments.get("locale")?).language {
        _ if name.is_empty() => "",
        Language::English if last == Some('s') => "’",
        Language::English => "’s",
        Language::German if matches!(last, Some('s' | 'ß' | 'x' | 'z')) => "’",
        Language::German => "s",
        _ => "",
    };
    Ok(Value::from(format!("{name}{ending}")))
}

fn sentence(value: &Value, arguments: &Kwargs, state: &State<'_>) -> TeraResult<Value> {
    let items = value.as_array().ok_or_else(|| wrong_type("a list", value))?;
    let language = Locale::of(state, arguments.get("locale")?).language;
    let comma = if language == Language::Japanese { "、" } else { ", " };
    let mut out = String::new();
    for (position, item) in items.iter().enumerate() {
        if item.is_map() || item.is_array() || item.is_undefined() {
            return Err(Error::message(
                "a sentence joins texts and numbers: write `[p.name for p in products] | sentence`",
            ));
        }
        if position > 0 {
            out.push_str(if position + 1 == items.len() { language.and() } else { comma });
        }
        write!(out, "{item}").map_err(|error| Error::message(error.to_string()))?;
    }
    Ok(Value::from(out))
}

fn urlencode(value: &Value, _: &Kwargs, _: &State<'_>) -> TeraResult<Value> {
    if value.is_map() || value.is_array() {
        return Err(wrong_type("text or a number", value));
    }
    let text = value.to_string();
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").map_err(|error| Error::message(error.to_string()))?;
        }
    }
    Ok(Value::from(out))
}
