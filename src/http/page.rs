//! The frame of every page that people see here: readable on a phone, in the dark, and without a script.

pub(super) use crate::report::html::escape;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.5rem}h3{font-size:1.05rem;margin-top:2rem}\
code,pre{font-family:ui-monospace,monospace;font-size:.9em}pre{overflow-x:auto}\
table{border-collapse:collapse;width:100%}td,th{border:1px solid #8886;padding:.3rem .5rem;text-align:start;vertical-align:top}td{overflow-wrap:anywhere}nav a{display:inline-block;margin-inline-end:.8rem}\
button{font:inherit;padding:.6rem 1.2rem;border:0;border-radius:.5rem;background:#1a5fb4;color:#fff;cursor:pointer}\
button.quiet{background:transparent;color:inherit;border:1px solid #888}\
label{display:flex;gap:.6rem;padding:.5rem 0}.note{opacity:.75}form{margin:1rem 0}\
fieldset{border:1px solid #8886;border-radius:.5rem;margin:0 0 1rem;padding:.25rem 1rem}legend{padding:0 .4rem}\
input[type=checkbox]{flex:none;width:1.1rem;height:1.1rem;margin:.2rem 0}\
blockquote{margin:1rem 0;padding:.2rem 1rem;border-inline-start:.25rem solid #8886}\
.done{background:#1a5fb422;border-radius:.5rem;padding:.6rem 1rem}\
@media (max-width:30rem){form button{width:100%}}";

/// Languages that are written from right to left.
const RIGHT_TO_LEFT: [&str; 6] = ["ar", "dv", "fa", "he", "ur", "yi"];

/// A whole page in a language (BCP 47). `title` is escaped here; `body` is markup whose texts were escaped by [`escape`].
pub(super) fn page(language: &str, title: &str, body: &str) -> String {
    let title = escape(title);
    let primary = language.split('-').next().unwrap_or_default();
    let direction = if RIGHT_TO_LEFT.contains(&primary) { " dir=\"rtl\"" } else { "" };
    format!(
        "<!doctype html><html lang=\"{}\"{direction}><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"robots\" content=\"noindex\">\
         <title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>",
        escape(language)
    )
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn markup_comes_out_as_text() {
        let escaped = escape("<script>alert(\"1\" & '2')</script>");
        assert_eq!(escaped, "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;");
    }
}
