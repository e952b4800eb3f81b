//! The functions of rules, beside the operators: CEL's own, and a few for numbers.

use cel::Env;
use cel::ExecutionError;
use cel::common::types::CelDouble;
use cel::common::types::CelInt;
use cel::common::types::DOUBLE_TYPE;
use cel::common::types::INT_TYPE;
use cel::common::value::CowVal;

/// What a function takes, in words, for help texts and README.
#[derive(Debug)]
pub(in crate::catalog) struct FunctionHelp {
    pub(super) name: &'static str,
    pub(in crate::catalog) example: &'static str,
}

/// Every function that a rule may call, beside the conditions.
pub(in crate::catalog) const FUNCTIONS: &[FunctionHelp] = &[
    FunctionHelp { name: "size", example: "size(cart.items) > 2" },
    FunctionHelp { name: "contains", example: "profile.email.contains(\"+\")" },
    FunctionHelp { name: "startsWith", example: "profile.locale.startsWith(\"de\")" },
    FunctionHelp { name: "endsWith", example: "profile.email.endsWith(\".edu\")" },
    FunctionHelp { name: "matches", example: "profile.id.matches(\"^[0-9]+$\")" },
    FunctionHelp { name: "exists", example: "cart.items.exists(line, line.price > 5000)" },
    FunctionHelp { name: "all", example: "cart.items.all(line, line.quantity == 1)" },
    FunctionHelp { name: "exists_one", example: "cart.items.exists_one(line, line.price > 5000)" },
    FunctionHelp { name: "filter", example: "size(cart.items.filter(line, line.price > 5000)) > 1" },
    FunctionHelp { name: "map", example: "\"BOOT-1\" in cart.items.map(line, line.product.id)" },
    FunctionHelp { name: "has", example: "has(history.days_since_order)" },
    FunctionHelp { name: "int", example: "int(profile.shoe_size) == 42" },
    FunctionHelp { name: "double", example: "double(cart.value) / 100.0" },
    FunctionHelp { name: "string", example: "string(history.orders_total)" },
    FunctionHelp { name: "min", example: "min(history.orders_total, 5)" },
    FunctionHelp { name: "max", example: "max(5, 20 - history.orders_total)" },
    FunctionHelp { name: "round", example: "round(cart.value * 0.1)" },
];

/// CEL's standard library and the functions for numbers.
pub(super) fn environment() -> Env {
    let mut environment = Env::stdlib();
    let declared = [
        environment.add_overload("min", "min_int", vec![INT_TYPE, INT_TYPE], |arguments| {
            whole(&arguments, std::cmp::min)
        }),
        environment.add_overload("max", "max_int", vec![INT_TYPE, INT_TYPE], |arguments| {
            whole(&arguments, std::cmp::max)
        }),
        environment.add_overload("min", "min_double", vec![DOUBLE_TYPE, DOUBLE_TYPE], |arguments| {
            decimal(&arguments, f64::min)
        }),
        environment.add_overload("max", "max_double", vec![DOUBLE_TYPE, DOUBLE_TYPE], |arguments| {
            decimal(&arguments, f64::max)
        }),
        environment.add_overload("round", "round_double", vec![DOUBLE_TYPE], |arguments| {
            let number = *read_decimal(&arguments, 0)?;
            #[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
            let rounded = number.round() as i64;
            Ok(CowVal::owned(CelInt::from(rounded)))
        }),
        environment.add_overload("round", "round_int", vec![INT_TYPE], |arguments| {
            let number = *read_whole(&arguments, 0)?;
            Ok(CowVal::owned(CelInt::from(number)))
        }),
    ];
    debug_assert!(declared.iter().all(Result::is_ok), "{declared:?}");
    environment
}

fn whole<'b, 'v>(
    arguments: &[CowVal<'b, 'v>],
    choose: fn(i64, i64) -> i64,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let chosen = choose(*read_whole(arguments, 0)?, *read_whole(arguments, 1)?);
    Ok(CowVal::owned(CelInt::from(chosen)))
}

fn decimal<'b, 'v>(
    arguments: &[CowVal<'b, 'v>],
    choose: fn(f64, f64) -> f64,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let chosen = choose(*read_decimal(arguments, 0)?, *read_decimal(arguments, 1)?);
    Ok(CowVal::owned(CelDouble::from(chosen)))
}

fn read_whole<'a>(arguments: &'a [CowVal<'_, '_>], index: usize) -> Result<&'a i64, ExecutionError> {
    let argument = arguments.get(index).and_then(|argument| argument.downcast_ref::<CelInt>());
    argument.map(CelInt::inner).ok_or(ExecutionError::MissingArgumentOrTarget)
}

fn read_decimal<'a>(arguments: &'a [CowVal<'_, '_>], index: usize) -> Result<&'a f64, ExecutionError> {
    let argument = arguments.get(index).and_then(|argument| argument.downcast_ref::<CelDouble>());
    argument.map(CelDouble::inner).ok_or(ExecutionError::MissingArgumentOrTarget)
}
