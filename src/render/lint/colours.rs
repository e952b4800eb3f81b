//! Colours: mrml passes on whatever stands there, and mail programs drop what they cannot read.

use super::Lint;
use crate::catalog::nearest::nearest;
use crate::render::tree::Attribute;

/// The names of CSS Color Module Level 4, and words that stand for a colour.
const NAMES: &[&str] = &[
    "aliceblue",
    "antiquewhite",
    "aqua",
    "aquamarine",
    "azure",
    "beige",
    "bisque",
    "black",
    "blanchedalmond",
    "blue",
    "blueviolet",
    "brown",
    "burlywood",
    "cadetblue",
    "chartreuse",
    "chocolate",
    "coral",
    "cornflowerblue",
    "cornsilk",
    "crimson",
    "cyan",
    "darkblue",
    "darkcyan",
    "darkgoldenrod",
    "darkgray",
    "darkgreen",
    "darkgrey",
    "darkkhaki",
    "darkmagenta",
    "darkolivegreen",
    "darkorange",
    "darkorchid",
    "darkred",
    "darksalmon",
    "darkseagreen",
    "darkslateblue",
    "darkslategray",
    "darkslategrey",
    "darkturquoise",
    "darkviolet",
    "deeppink",
    "deepskyblue",
    "dimgray",
    "dimgrey",
    "dodgerblue",
    "firebrick",
    "floralwhite",
    "forestgreen",
    "fuchsia",
    "gainsboro",
    "ghostwhite",
    "gold",
    "goldenrod",
    "gray",
    "green",
    "greenyellow",
    "grey",
    "honeydew",
    "hotpink",
    "indianred",
    "indigo",
    "ivory",
    "khaki",
    "lavender",
    "lavenderblush",
    "lawngreen",
    "lemonchiffon",
    "lightblue",
    "lightcoral",
    "lightcyan",
    "lightgoldenrodyellow",
    "lightgray",
    "lightgreen",
    "lightgrey",
    "lightpink",
    "lightsalmon",
    "lightseagreen",
    "lightskyblue",
    "lightslategray",
    "lightslategrey",
    "lightsteelblue",
    "lightyellow",
    "lime",
    "limegreen",
    "linen",
    "magenta",
    "maroon",
    "mediumaquamarine",
    "mediumblue",
    "mediumorchid",
    "mediumpurple",
    "mediumseagreen",
    "mediumslateblue",
    "mediumspringgreen",
    "mediumturquoise",
    "mediumvioletred",
    "midnightblue",
    "mintcream",
    "mistyrose",
    "moccasin",
    "navajowhite",
    "navy",
    "oldlace",
    "olive",
    "olivedrab",
    "orange",
    "orangered",
    "orchid",
    "palegoldenrod",
    "palegreen",
    "paleturquoise",
    "palevioletred",
    "papayawhip",
    "peachpuff",
    "peru",
    "pink",
    "plum",
    "powderblue",
    "purple",
    "rebeccapurple",
    "red",
    "rosybrown",
    "royalblue",
    "saddlebrown",
    "salmon",
    "sandybrown",
    "seagreen",
    "seashell",
    "sienna",
    "silver",
    "skyblue",
    "slateblue",
    "slategray",
    "slategrey",
    "snow",
    "springgreen",
    "steelblue",
    "tan",
    "teal",
    "thistle",
    "tomato",
    "turquoise",
    "violet",
    "wheat",
    "white",
    "whitesmoke",
    "yellow",
    "yellowgreen",
    "transparent",
    "currentcolor",
    "inherit",
    "initial",
    "none",
];

impl Lint<'_> {
    /// Says what is no colour where one stands; a tag there is told elsewhere.
    pub(super) fn colour(&mut self, attribute: &Attribute<'_>) {
        let Some(value) = &attribute.value else { return };
        let is_one = attribute.name == "color" || attribute.name.ends_with("-color");
        let colour = value.text.trim().to_ascii_lowercase();
        let colour = colour.trim_end_matches("!important").trim_end().to_owned();
        // An empty one takes a default back.
        if colour.is_empty() || !is_one || self.holds_tag(&value.range) || is_colour(&colour) {
            return;
        }
        let help = match nearest(&colour, NAMES.iter().copied()) {
            _ if is_hex(&colour) => format!("write `#{colour}`"),
            Some(near) => format!("did you mean `{near}`?"),
            None => "write such as `#2B2320`, or one of the names of CSS".to_owned(),
        };
        self.warning(&value.range, format!("`{}` is no colour", value.text.trim()), help);
    }
}

fn is_hex(text: &str) -> bool {
    matches!(text.len(), 3 | 4 | 6 | 8) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_colour(text: &str) -> bool {
    let is_function = ["rgb(", "rgba(", "hsl(", "hsla("].iter().any(|name| text.starts_with(name));
    text.strip_prefix('#').is_some_and(is_hex)
        || (is_function && text.ends_with(')'))
        || NAMES.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_told_from_what_is_none() {
        for (text, expected) in [
            ("#2b2320", true),
            ("#fff", true),
            ("rgba(0, 0, 0, 0.5)", true),
            ("rebeccapurple", true),
            ("#12345", false),
            ("#ggg", false),
            ("2b2320", false),
            ("blu", false),
            ("rgb(1", false),
            ("", false),
        ] {
            assert_eq!(is_colour(text), expected, "{text}");
        }
    }
}
