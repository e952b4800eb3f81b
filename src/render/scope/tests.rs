//! Names, by table.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Map;
use serde_json::Value;
use tera::Tera;

use super::*;
use crate::catalog::contract::TraitType;
use crate::render::mask::find_tags;

fn contract() -> Contract {
    let traits = BTreeMap::from([("first_name".to_owned(), TraitType::String)]);
    let shop = Map::from_iter([("name".to_owned(), Value::from("Shop"))]);
    Contract::new(&traits, &[], &shop)
}

/// What the faults say, each with the text under its caret.
fn faults(source: &str) -> Vec<String> {
    let tags = find_tags(source, Part::Body).expect("closed tags");
    check(Part::Body, source, &tags, &contract())
        .into_iter()
        .map(|fault| format!("{} @ {}", fault.message, &source[fault.span]))
        .collect()
}

#[test]
fn what_the_facts_hold_may_be_named() {
    for source in [
        "{{ profile.first_name or \"friend\" }} {{ profile?.first_name }} {{ profile[\"first_name\"] }}",
        "{% for p in recommended %}{{ p.name | upper }} {{ loop.index }}{% else %}none{% endfor %}",
        "{% for p in recommended | first %}{% endfor %}{{ recommended[0].name }} {{ (recommended | first)[\"name\"] }}",
        "{% for line in cart.items[1:3] %}{{ line.product.price * line.quantity | money }}{% endfor %}",
        "{% set n = history.orders_total %}{{ n + 1 }}{% set_global m = 1 %}{{ m }}",
        "{% set greeting %}Hi {{ profile.first_name }}{% endset %}{{ greeting }}",
        "{% for p in recommended %}{% set q = p.product?.x if data.y else p %}{% endfor %}"
            .replace("p.product?.x", "p.id")
            .as_str(),
        "{{ [p.name for p in recommended if p.price > 5 and history.orders_total > 1] | sentence }}",
        "{{ [stage | upper, shop.name] | join(sep=\", \") }} {{ {\"a\": shop.name}[\"a\"] }}",
        "{% if offer.code is defined and not (stage == \"compare\") or stage is starting_with(pat=\"x\") %}{% elif stage in [\"a\"] %}{% endif %}",
        "{{ data.order.lines[0].anything }} {{ data[\"x\"] }} {{ \"a\" if profile.first_name is not defined else shop.name }}",
        "{% for k, v in data.map %}{{ k }}{{ v }}{% endfor %}{% for i in range(end=3) %}{{ i }}{% endfor %}",
        "{{ now | date(format=\"%H\", zone=\"UTC\") }} {{ -5 | abs }} {{ 'x' ~ shop.name ~ `y` }}",
        "{# {{ nope }} #}{% filter upper %}{{ shop.name }}{% endfilter %}",
        "{{ links.unsubscribe }}{{ true }}{{ none }}",
    ] {
        assert_eq!(faults(source), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn what_they_do_not_hold_is_a_fault_under_its_name() {
    for (source, expected) in [
        ("{{ nope }}", "the facts have no `nope` @ nope"),
        ("{{ profile.frist_name }}", "`profile` has no `frist_name` @ frist_name"),
        ("{{ profile[\"frist_name\"] }}", "`profile` has no `frist_name` @ \"frist_name\""),
        ("{{ profile?.frist_name }}", "`profile` has no `frist_name` @ frist_name"),
        (
            "{{ history.events.product_viewed.count_31d }}",
            "`history.events.product_viewed` has no `count_31d` @ count_31d",
        ),
        ("{{ recommended.name }}", "`recommended` is a list: it has no `name` @ name"),
        ("{{ recommended[0].nam }}", "`recommended` has no `nam` @ nam"),
        ("{% for p in recommended %}{{ p.nam }}{% endfor %}", "`p` has no `nam` @ nam"),
        ("{% for p in recommended %}{% endfor %}{{ p.name }}", "the facts have no `p` @ p"),
        ("{% if nope.x > 3 %}{% endif %}", "the facts have no `nope` @ nope"),
        ("{{ shop.name | default(value=nope) }}", "the facts have no `nope` @ nope"),
        ("{{ [p.nam for p in recommended] | sentence }}", "`p` has no `nam` @ nam"),
        ("{{ cart.items[nope].quantity }}", "the facts have no `nope` @ nope"),
        ("{{ shop.name | uper }}", "there is no filter `uper` @ uper"),
        ("{{ shop.name | safe }}", "`safe` prints a value unescaped: it could hold any HTML @ safe"),
        ("{% filter uper %}{% endfilter %}", "there is no filter `uper` @ uper"),
        ("{{ 5 | money(curency=\"EUR\") }}", "the filter `money` has no argument `curency` @ curency"),
        ("{% if shop.name is definedd %}{% endif %}", "there is no test `definedd` @ definedd"),
        ("{{ now() }}", "there is no function `now` @ now"),
        ("{{ __locale }}", "names that start with `__` are the program's own @ __locale"),
        ("{{ __tera_context }}", "names that start with `__` are the program's own @ __tera_context"),
        ("{% set __x = 1 %}", "names that start with `__` are the program's own @ __x"),
        ("{% set profile = 1 %}", "`profile` is a fact; a variable of that name would hide it @ profile"),
        ("{{ loop.index }}", "the facts have no `loop` @ loop"),
        ("{{ recommended }}", "this prints a list as it is @ {{ recommended }}"),
        ("{{ profile }}", "this prints an object as it is @ {{ profile }}"),
        ("{{ \"{{ x }}\" }}", "this would show a template tag to the customer @ \"{{ x }}\""),
        ("{% include \"x\" %}", "`{% include %}` is not used here @ {% include \"x\" %}"),
        ("{% component a() %}", "`{% component %}` is not used here @ {% component a() %}"),
        ("{{<button label=\"x\"/>}}", "components are not used here @ <"),
    ] {
        assert_eq!(faults(source), [expected], "{source}");
    }
}

#[test]
fn what_can_grow_without_end_is_refused() {
    for source in [
        "{% set a = shop.name %}{% set b = a ~ a %}",
        "{% set a = [1] %}{% set b = [...a, ...a] %}",
        "{% set a = shop.name %}{% set b %}{{ a }}{{ a }}{% endset %}",
        "{% set a = shop.name %}{% for i in range(end=9) %}{% set_global a = a | replace(from=\"x\", to=a) %}{% endfor %}",
        "{% set a %}{% for i in range(end=9) %}x{% endfor %}{% endset %}",
        "{% filter upper %}{% for i in range(end=9) %}x{% endfor %}{% endfilter %}",
        "{{ [[y for y in range(end=9)] for x in range(end=9)] | length }}",
    ] {
        assert!(!faults(source).is_empty(), "{source}");
    }
    assert_eq!(
        faults("{% set a = 1 %}{% for p in recommended %}{% set_global a = a + p.price %}{% endfor %}"),
        [""; 0]
    );
}

/// Tera tells the roots of a template; ours must be the same, for sources that Tera can parse.
#[test]
fn the_roots_are_those_that_tera_finds() {
    for source in [
        "{{ a.b }}{% if c > d.e %}{% for f in g.h %}{{ f.i ~ j }}{% endfor %}{% endif %}",
        "{% set k = l %}{{ k | default(value=m) }}{{ [n.o for n in p if q] | length }}{{ r[s] }}",
        "{{ t if u else v }}{% for x, y in z %}{{ x }}{{ y }}{% endfor %}{{ aa?.bb?[cc] }}",
    ] {
        let mut tera = Tera::new();
        tera.add_raw_template("t", source).expect("a template");
        let expected: BTreeSet<&str> =
            tera.get_template_variables("t").expect("variables").into_iter().collect();
        let found = faults(source);
        let ours: BTreeSet<&str> =
            found.iter().map(|fault| fault.rsplit(" @ ").next().unwrap_or_default()).collect();
        assert_eq!(ours, expected, "{source}");
    }
}

#[test]
fn the_names_of_tera_are_tera_s_own() {
    let tera = Tera::new();
    let context = tera::Context::new();
    let unknown = |source: &str| {
        let rendered = tera.render_str(source, &context, true);
        rendered.is_err_and(|error| error.to_string().contains("Unknown"))
    };
    assert!(unknown("{{ 1 | nope }}") && unknown("{% if 1 is nope %}{% endif %}"));
    for filter in TERA_FILTERS {
        assert!(!unknown(&format!("{{{{ 1 | {filter} }}}}")), "{filter}");
    }
    for test in TESTS {
        assert!(!unknown(&format!("{{% if 1 is {test} %}}{{% endif %}}")), "{test}");
    }
    for function in FUNCTIONS {
        assert!(!unknown(&format!("{{{{ {function}() }}}}")), "{function}");
    }
}
