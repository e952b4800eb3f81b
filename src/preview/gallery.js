"use strict";
// Values go into the page as text only, never as markup.
(() => {
  const ROWS_AT_A_TIME = 100;
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const make = (name, words, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(words || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "on") element.addEventListener("click", value);
      else if (key === "style") element.style.width = value;
      else element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  };
  const percent = (value) => (value * 100).toFixed(value < 0.1 ? 2 : 1) + " %";
  const size = (bytes) => (bytes < 1024 ? bytes + " B" : (bytes / 1024).toFixed(1) + " KB");
  const family = (variant) => (variant || "").split("+")[0];
  const who = (mail) => (mail.sample ? "sample " + mail.sample : mail.profile);
  const state = { shown: data.mails, drawn: 0, current: null, width: "both", scheme: "light" };

  const searchable = (mail) =>
    [mail.subject, mail.preheader, mail.profile, mail.sample, mail.to, mail.campaign, mail.stage, mail.variant, mail.locale,
      ...(mail.outcome || []), ...mail.warnings, ...mail.notes].join("\n").toLowerCase();
  data.mails.forEach((mail, index) => { mail.number = index + 1; mail.haystack = searchable(mail); });

  // --- filters
  const FILTERS = {
    campaign: ["All campaigns", (mail) => mail.campaign],
    stage: ["All stages", (mail) => mail.stage || "none"],
    family: ["All variants", (mail) => family(mail.variant) || "none"],
    profile: ["All people", who],
    outcome: ["All outcomes", (mail) => (mail.sent ? (mail.warnings.length ? "with warnings" : "without warnings") : "not sent: " + mail.outcome[1])],
  };
  const fill = (name) => {
    const [all, value] = FILTERS[name];
    const counts = new Map();
    for (const mail of data.mails) counts.set(value(mail), (counts.get(value(mail)) || 0) + 1);
    const options = [...counts].sort((a, b) => (a[0] < b[0] ? -1 : 1));
    at(name).append(make("option", { value: "" }, all), ...options.map(([text, count]) => make("option", { value: "=" + text }, `${text} (${count})`)));
  };
  const apply = () => {
    const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = Object.entries(FILTERS).map(([name, [, value]]) => [at(name).value, value]).filter(([wanted]) => wanted);
    state.shown = data.mails.filter((mail) =>
      chosen.every(([wanted, value]) => "=" + value(mail) === wanted) && words.every((word) => mail.haystack.includes(word)));
    state.drawn = 0;
    at("list").replaceChildren();
    at("list").scrollTop = 0;
    more();
    const told = (all) => {
      const sent = all.filter((mail) => mail.sent).length;
      return `${sent} mails` + (sent < all.length ? `, ${all.length - sent} not sent` : "");
    };
    const all = state.shown.length === data.mails.length;
    at("count").textContent = told(state.shown) + (all ? "" : `, of ${data.mails.length}`);
  };

  // --- list
  const row = (mail) =>
    make("li", { id: "row-" + mail.number, "aria-current": mail === state.current ? "true" : null, on: () => show(mail) },
      make("div", { class: mail.sent ? "subject" : "subject none" }, mail.sent ? mail.subject : "not sent: " + mail.outcome[1]),
      make("div", { class: "line" }, make("span", { class: "grow" }, who(mail)), make("span", {}, mail.campaign)),
      make("div", { class: "line" }, make("span", { class: "chip " + (mail.stage || "") }, mail.stage || "no stage"),
        make("span", { class: "grow" }, mail.variant ? mail.variant.split("/").slice(2).join("/") : ""),
        mail.warnings.length ? make("span", { title: mail.warnings.join("\n") }, "⚠ " + mail.warnings.length) : null));
  const more = () => {
    const next = state.shown.slice(state.drawn, state.drawn + ROWS_AT_A_TIME);
    state.drawn += next.length;
    at("list").append(...next.map(row));
  };
  at("list").addEventListener("scroll", () => {
    const list = at("list");
    if (state.drawn < state.shown.length && list.scrollTop + list.clientHeight > list.scrollHeight - 600) more();
  });

  // --- one mail
  const frame = (mail, kind, label) => {
    const file = mail.stem + (state.scheme === "dark" && mail.dark ? ".dark.html" : ".html");
    return make("figure", { class: kind }, make("figcaption", {}, label),
      make("iframe", { sandbox: "", referrerpolicy: "no-referrer", src: file, title: label }));
  };
  const frames = (mail) => make("div", { id: "frames", class: "frames " + state.scheme },
    state.width === "text" ? [make("figure", { class: "wide" }, make("figcaption", {}, "plain text part"),
      make("iframe", { sandbox: "", src: mail.stem + ".txt", title: "plain text part" }))] : [],
    ["both", "desktop"].includes(state.width) ? frame(mail, "wide", "desktop") : null,
    ["both", "phone"].includes(state.width) ? frame(mail, "phone", "phone, 375 px") : null);
  const choice = (key, values) => make("span", { class: "switch" }, values.map((value) =>
    make("button", { "aria-pressed": String(state[key] === value), on: () => { state[key] = value; show(state.current); } }, value)));
  const facts = (pairs) => make("div", { class: "facts" }, pairs.filter(([, value]) => value).map(([name, value]) =>
    make("span", {}, name + " ", make("b", {}, value))));
  const NUMBERS = new Set(["score", "probability", "mails", "variants chosen"]);
  const table = (name, heads, rows) => make("table", { class: name },
    make("thead", {}, make("tr", {}, heads.map((head) => make("th", { class: NUMBERS.has(head) ? "number" : null }, head)))), make("tbody", {}, rows));
  const candidates = (mail) => {
    const best = Math.max(...mail.candidates.map((candidate) => candidate.probability), 1e-9);
    const rows = mail.candidates.map((candidate) =>
      make("tr", { class: candidate.variant === mail.variant ? "chosen" : null }, make("td", {}, candidate.variant),
        make("td", { class: "number" }, String(+candidate.score.toPrecision(4))),
        make("td", { class: "number" }, percent(candidate.probability)),
        make("td", {}, make("span", { class: "meter" }, make("i", { style: (candidate.probability / best) * 100 + "%" })))));
    const rest = mail.candidates_total - mail.candidates.length;
    if (rest > 0) rows.push(make("tr", {}, make("td", { colspan: "4" }, `and ${rest} more; all are in the .json file`)));
    return table("candidates", ["candidate", "score", "probability", ""], rows);
  };
  const why = (mail) => make("details", { open: true }, make("summary", {}, "Why"), make("div", {},
    make("p", {}, mail.stage_reason),
    make("ul", {}, mail.reasons.filter((reason) => reason !== mail.stage_reason).map((reason) => make("li", {}, reason))),
    mail.candidates.length ? candidates(mail) : null,
    mail.ruled_out.length ? table("ruled", ["ruled out by", "because", "variants"], mail.ruled_out.map((out) =>
      make("tr", {}, make("td", { class: "name" }, out.rule), make("td", {}, out.detail), make("td", {}, out.variants.join(", "))))) : null));
  const headers = (mail) => make("details", {}, make("summary", {}, "Headers"), make("div", {},
    table("headers", [], mail.headers.map(([name, value]) => make("tr", {}, make("td", { class: "name" }, name), make("td", {}, value))))));
  const show = (mail, jump) => {
    if (!mail) { at("mail").replaceChildren(make("p", {}, "Nothing here.")); return; }
    at("row-" + (state.current || mail).number)?.removeAttribute("aria-current");
    state.current = mail;
    while (!at("row-" + mail.number) && state.drawn < state.shown.length) more();
    const own = at("row-" + mail.number);
    own?.setAttribute("aria-current", "true");
    own?.scrollIntoView({ block: "nearest" });
    history.replaceState(null, "", "#" + mail.number);
    const file = (ending) => make("a", { href: mail.stem + "." + ending, target: "_blank", rel: "noopener" }, "." + ending);
    at("mail").replaceChildren(
      make("h2", {}, mail.sent ? mail.subject : "Not sent"),
      make("p", { class: "preheader" }, mail.preheader),
      facts([["for", mail.sample ? "sample " + mail.sample : `${mail.profile} (${mail.to})`], ["campaign", mail.campaign], ["stage", mail.stage],
        ["variant", mail.variant], ["locale", mail.locale], ["policy", mail.policy && `${mail.policy}, slice ${mail.slice}`],
        ["probability", mail.variant && percent(mail.propensity)],
        ["HTML", mail.sent && size(mail.html_bytes)], ["text", mail.sent && size(mail.text_bytes)], ["whole mail", mail.sent && size(mail.eml_bytes)]]),
      mail.outcome ? make("p", { class: "stopped" }, `${mail.outcome[0]} (${mail.outcome[1]}): ${mail.outcome[2]}`) : "",
      ...mail.notes.map((note) => make("p", { class: "note" }, note)),
      ...mail.warnings.map((warning) => make("p", { class: "warning" }, "⚠ " + warning)),
      make("div", { class: "bar" },
        mail.sent ? choice("width", ["both", "desktop", "phone", "text"]) : null, mail.sent ? choice("scheme", ["light", "dark"]) : null,
        make("span", {}, (mail.sent ? ["html", "txt", "eml", "json"] : ["json"]).flatMap((ending) => [file(ending), " "]))),
      mail.sent ? frames(mail) : "",
      why(mail), mail.sent ? headers(mail) : "");
    if (jump) at("mail").scrollTop = 0;
  };
  const step = (by) => {
    const index = state.shown.indexOf(state.current) + by;
    if (index >= 0 && index < state.shown.length) show(state.shown[index], true);
  };
  document.addEventListener("keydown", (event) => {
    if (/INPUT|SELECT|TEXTAREA/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "j" || event.key === "ArrowDown") { event.preventDefault(); step(1); }
    if (event.key === "k" || event.key === "ArrowUp") { event.preventDefault(); step(-1); }
  });

  // --- coverage
  const coverage = () => {
    const all = data.coverage.flatMap((family) => family.variants);
    const never = all.filter(([, count]) => count === 0).length;
    const rows = data.coverage.map((family) => {
      const missing = family.variants.filter(([, count]) => count === 0).map(([name]) => name || "(default)");
      const chosen = family.variants.length - missing.length;
      const times = family.variants.reduce((sum, [, count]) => sum + count, 0);
      const names = missing.length === family.variants.length ? "all of them" : missing.join(", ");
      return make("tr", {}, make("td", {}, family.campaign), make("td", {}, make("span", { class: "chip " + family.stage }, family.stage)),
        make("td", {}, family.family.split("/").slice(2).join("/")), make("td", { class: "number" }, String(times)),
        make("td", { class: "number " + (missing.length ? "never" : "all") }, `${chosen} of ${family.variants.length}`),
        make("td", { class: "never" }, missing.length ? names : ""));
    });
    at("coverage").append(make("p", {}, `${all.length - never} of ${all.length} variants were chosen in this preview, ${never} never.`),
      table("", ["campaign", "stage", "family", "mails", "variants chosen", "never chosen"], rows));
  };
  const tab = (name) => {
    for (const one of ["mails", "coverage"]) {
      at(one).hidden = one !== name;
      at("show-" + one).setAttribute("aria-pressed", String(one === name));
    }
  };
  at("show-mails").addEventListener("click", () => tab("mails"));
  at("show-coverage").addEventListener("click", () => tab("coverage"));

  document.title = data.shop + " – preview";
  at("title").textContent = data.shop;
  at("about").textContent = [`${data.whom}, as of ${data.at}, templates ${data.catalog}`, ...data.notes].join(" · ");
  Object.keys(FILTERS).forEach(fill);
  at("filters").addEventListener("input", apply);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  apply();
  coverage();
  const asked = location.hash.slice(1);
  show(data.mails[Number(asked) - 1] || data.mails[0], true);
  if (asked === "coverage") tab("coverage");
})();
