//! Money, numbers and percentages.

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
use super::locale::currency_digits;
use super::locale::currency_sign;
use super::locale::grouped;
use super::wrong_type;

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
    let (amount, own_currency) = match value.as_map() {
        Some(product) => (product.get(&"price".into()).cloned(), product.get(&"currency".into()).cloned()),
        None => (Some(value.clone()), None),
    };
    let amount = amount.ok_or_else(|| Error::message("this object has no `price`"))?;
    let minor = whole(&amount)?;
    let shop = || fact(state, "shop", "currency");
    let currency = match arguments.get::<&str>("currency")? {
        Some(argument) => Some(argument.to_owned()),
        None => own_currency.and_then(|own| own.as_str().map(str::to_owned)).or_else(shop),
    };
    let currency = currency
        .filter(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic()))
        .ok_or_else(|| Error::message("there is no currency: write `money(currency=\"EUR\")`"))?
        .to_ascii_uppercase();
    let locale = Locale::of(state, arguments.get("locale")?);
    Ok(Value::from(write_money(minor, &currency, locale)))
}

fn write_money(minor: i128, currency: &str, locale: Locale) -> String {
    let style = locale.numbers();
    let number = decimal(minor, currency_digits(currency), style);
    let minus = if minor < 0 { "-" } else { "" };
    match (currency_sign(currency, locale), style.symbol) {
        (Some(sign), SymbolPlace::Before) => format!("{minus}{sign}{number}"),
        (Some(sign), SymbolPlace::BeforeWithSpace) => format!("{minus}{sign}\u{a0}{number}"),
        (Some(sign), SymbolPlace::AfterWithSpace) => format!("{minus}{number}\u{a0}{sign}"),
        (None, SymbolPlace::AfterWithSpace) => format!("{minus}{number}\u{a0}{currency}"),
        (None, _) => format!("{minus}{currency}\u{a0}{number}"),
    }
}

/// `scaled` / 10^`digits`, without its sign.
fn decimal(scaled: i128, digits: u32, style: NumberStyle) -> String {
    let unit = 10_u128.pow(digits);
    let absolute = scaled.unsigned_abs();
    let whole = grouped(absolute / unit, style);
    if digits == 0 {
        return whole;
    }
    format!("{whole}{}{:0width$}", style.decimal, absolute % unit, width = digits as usize)
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
    let minus = if scaled < 0 { "-" } else { "" };
    Ok(format!("{minus}{}", decimal(scaled, decimals, locale.numbers())))
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
