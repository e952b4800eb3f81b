//! Money, numbers and percentages.

use std::borrow::Cow;

use tera::Error;
use tera::Kwargs;
use tera::State;
use tera::TeraResult;
use tera::Value;

use super::Example;
use super::Filter;
use super::fact;
use super::locale::Locale;
use super::locale::NumberStyle;
use super::locale::SymbolPlace;
use super::locale::currency_sign;
use super::locale::push_digit;
use super::locale::push_grouped;
use super::wrong_type;
use crate::product::money::minor_digits;

pub(super) const FILTERS: &[Filter] = &[
    Filter {
        name: "money",
        arguments: "currency, locale",
        what: "An amount in minor units (cents), or a product, in the recipient's way of writing. The currency is the \
               argument, the product's or the shop's.",
        examples: &[
            Example { write: "{{ 1999 | money }}", gives: "€19.99" },
            Example { write: "{{ 123456789 | money(currency=\"USD\") }}", gives: "$1,234,567.89" },
            Example { write: "{{ 1234 | money(currency=\"JPY\") }}", gives: "¥1,234" },
            Example { write: "{{ 123456 | money(locale=\"de\") }}", gives: "1.234,56\u{a0}€" },
            Example { write: "{{ 123456 | money(locale=\"fr-FR\") }}", gives: "1\u{202f}234,56\u{a0}€" },
            Example {
                write: "{{ 123456 | money(currency=\"CHF\", locale=\"de-CH\") }}",
                gives: "CHF\u{a0}1’234.56",
            },
            Example { write: "{{ 123456 | money(currency=\"JPY\", locale=\"ja\") }}", gives: "¥123,456" },
            Example { write: "{{ -50 | money }}", gives: "-€0.50" },
            Example { write: "{{ {\"price\": 500, \"currency\": \"GBP\"} | money }}", gives: "£5.00" },
        ],
        function: money,
    },
    Filter {
        name: "number",
        arguments: "decimals = 0, locale",
        what: "A number with the recipient's separators.",
        examples: &[
            Example { write: "{{ 1234567 | number }}", gives: "1,234,567" },
            Example { write: "{{ 3.14159 | number(decimals=2, locale=\"de\") }}", gives: "3,14" },
        ],
        function: number,
    },
    Filter {
        name: "percent",
        arguments: "decimals = 0, locale",
        what: "A percentage: 15 is 15 per cent.",
        examples: &[
            Example { write: "{{ 15 | percent }}", gives: "15%" },
            Example { write: "{{ 12.5 | percent(decimals=1, locale=\"de\") }}", gives: "12,5\u{a0}%" },
        ],
        function: percent,
    },
    Filter {
        name: "percent_off",
        arguments: "from",
        what: "By how many whole per cent a price is below `from`, rounded down; 0 where it is not.",
        examples: &[
            Example { write: "{{ 1999 | percent_off(from=2999) }}", gives: "33" },
            Example { write: "{{ 1999 | percent_off(from=1999) }}", gives: "0" },
        ],
        function: percent_off,
    },
];

fn money(value: &Value, arguments: &Kwargs, state: &State<'_>) -> TeraResult<Value> {
    let product = value.as_map();
    let field = |name: &'static str| product.and_then(|product| product.get(&name.into()));
    let amount = if product.is_some() { field("price") } else { Some(value) };
    let minor = whole(amount.ok_or_else(|| Error::message("this object has no `price`"))?)?;
    let own = || field("currency").and_then(Value::as_str).map(Cow::Borrowed);
    let shop = || fact(state, "shop", "currency").map(Cow::Owned);
    let currency = arguments.get::<&str>("currency")?.map(Cow::Borrowed).or_else(own).or_else(shop);
    let code: Option<[u8; 3]> = currency.and_then(|currency| currency.as_bytes().try_into().ok());
    let code = code
        .filter(|code| code.iter().all(u8::is_ascii_alphabetic))
        .ok_or_else(|| Error::message("there is no currency: write `money(currency=\"EUR\")`"))?
        .map(|letter| char::from(letter.to_ascii_uppercase()));
    let currency = String::from_iter(code);
    let locale = Locale::of(state, arguments.get("locale")?);
    Ok(Value::from(write_money(minor, &currency, locale)))
}

fn write_money(minor: i128, currency: &str, locale: Locale) -> String {
    let style = locale.numbers();
    let sign = currency_sign(currency, locale);
    let mut out = String::with_capacity(32);
    if minor < 0 {
        out.push('-');
    }
    match (sign, style.symbol) {
        (Some(sign), SymbolPlace::Before) => out.push_str(sign),
        (_, SymbolPlace::AfterWithSpace) => {}
        (sign, _) => {
            out.push_str(sign.unwrap_or(currency));
            out.push('\u{a0}');
        }
    }
    push_decimal(&mut out, minor, minor_digits(currency), style);
    if style.symbol == SymbolPlace::AfterWithSpace {
        out.push('\u{a0}');
        out.push_str(sign.unwrap_or(currency));
    }
    out
}

/// Adds `scaled` / 10^`digits`, without its sign.
fn push_decimal(out: &mut String, scaled: i128, digits: u32, style: NumberStyle) {
    let unit = 10_u128.pow(digits);
    let absolute = scaled.unsigned_abs();
    push_grouped(out, absolute / unit, style);
    if digits > 0 {
        out.push(style.decimal);
        let fraction = absolute % unit;
        for place in (0..digits).rev() {
            push_digit(out, fraction / 10_u128.pow(place) % 10);
        }
    }
}

/// Most digits after the decimal mark.
const DECIMALS_MAX: u32 = 6;

fn number(value: &Value, arguments: &Kwargs, state: &State<'_>) -> TeraResult<Value> {
    let locale = Locale::of(state, arguments.get("locale")?);
    Ok(Value::from(write_number(value, arguments, locale)?))
}

fn percent(value: &Value, arguments: &Kwargs, state: &State<'_>) -> TeraResult<Value> {
    let locale = Locale::of(state, arguments.get("locale")?);
    let number = write_number(value, arguments, locale)?;
    let space = if locale.numbers().decimal == ',' { "\u{a0}" } else { "" };
    Ok(Value::from(format!("{number}{space}%")))
}

fn write_number(value: &Value, arguments: &Kwargs, locale: Locale) -> TeraResult<String> {
    let decimals = arguments.get::<u32>("decimals")?.unwrap_or(0).min(DECIMALS_MAX);
    let scale = 10_i128.pow(decimals);
    let scaled = match value.as_i128() {
        Some(whole) => whole.saturating_mul(scale),
        None => rounded(value.as_f64().ok_or_else(|| wrong_type("a number", value))?, scale)?,
    };
    let mut out = String::from(if scaled < 0 { "-" } else { "" });
    push_decimal(&mut out, scaled, decimals, locale.numbers());
    Ok(out)
}

fn rounded(float: f64, scale: i128) -> TeraResult<i128> {
    #[expect(clippy::cast_precision_loss, reason = "a power of ten up to 10^6 is exact")]
    let scaled = (float * scale as f64).round();
    if scaled.is_nan() || scaled.abs() >= 1e18 {
        return Err(Error::message("the number is too large"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 10^18")]
    Ok(scaled as i128)
}

fn percent_off(value: &Value, arguments: &Kwargs, _: &State<'_>) -> TeraResult<Value> {
    let price = whole(value)?;
    let from = arguments.get::<Value>("from")?.ok_or_else(|| Error::message("`from` is missing"))?;
    let from = whole(&from)?;
    let off = if price >= 0 && from > price { (from - price).saturating_mul(100) / from } else { 0 };
    Ok(Value::from(i64::try_from(off).unwrap_or(100)))
}

fn whole(value: &Value) -> TeraResult<i128> {
    value.as_i128().ok_or_else(|| wrong_type("a whole number of minor units", value))
}
