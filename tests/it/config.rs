//! The configuration: what is read, what is laid over it, and what is said of faults.

use bespoke::config::Config;
use bespoke::config::Environment;
use bespoke::config::Overrides;
use secrecy::ExposeSecret as _;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bespoke.toml");
    std::fs::write(&path, file).unwrap();
    let environment =
        Environment::from_pairs(environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    Config::load(Some(&path), &environment, &Overrides::default())
        .map_err(|errors| errors.to_string().replace(&folder.path().display().to_string(), "DIR"))
}

#[test]
fn all_faults_are_reported_at_once_each_with_its_line() {
    let file = "\
[database]
urls = \"sqlite://x.db\"

[worker]
in_flight = \"many\"
batch = 10

[quiet]
start = \"21:00\"

[[relay]]
url = \"smtp://localhost\"
wieght = 3
";
    let errors = load(file, &[]).unwrap_err();
    for expected in [
        "bespoke.toml:2:1",
        "there is no key `urls`",
        "did you mean `url`?",
        "bespoke.toml:5:13",
        "this is text; it must be a whole number, 0 or more",
        "bespoke.toml:8:2",
        "there is no key `quiet`",
        "bespoke.toml:13:1",
        "there is no key `wieght`",
        "did you mean `weight`?",
    ] {
        assert!(errors.contains(expected), "{expected:?} is missing in\n{errors}");
    }
}

#[test]
fn what_types_cannot_say_is_checked_with_its_place_and_its_help() {
    let file = "\
[database]
url = \"mysql://x\"
[quiet_hours]
start = \"25:00\"
default_time_zone = \"Europe/Nowhere\"
[sender]
from = \"nobody\"
[rates]
per_second = -1.0
";
    let errors = load(file, &[]).unwrap_err();
    for expected in [
        "database.url is neither SQLite nor PostgreSQL",
        "bespoke.toml:2:",
        "quiet_hours.start is no time of day",
        "bespoke.toml:4:",
        "there is no time zone \"Europe/Nowhere\"",
        "bespoke.toml:5:",
        "sender.from is no mailbox",
        "bespoke.toml:7:",
        "rates.per_second must be greater than 0",
        "bespoke.toml:9:",
        "write HH:MM, such as 21:00",
    ] {
        assert!(errors.contains(expected), "{expected:?} is missing in\n{errors}");
    }
}

#[test]
fn two_variables_suffice_to_point_it_elsewhere() {
    let environment =
        [("BESPOKE_DATABASE_URL", "postgres://me:pw@db/x"), ("BESPOKE_SMTP_URL", "smtps://u:p@mail.test")];
    let config = load("[[relay]]\nurl = \"smtp://localhost\"\n", &environment).unwrap();
    assert_eq!(config.database.url.expose_secret(), "postgres://me:pw@db/x");
    assert_eq!(config.relay.len(), 1);
    assert_eq!(config.relay[0].url.expose_secret(), "smtps://u:p@mail.test");
}

#[test]
fn any_key_can_be_set_by_the_environment_and_an_unknown_variable_is_a_fault() {
    let config = load("", &[("BESPOKE_WORKER__IN_FLIGHT", "7"), ("BESPOKE_CAP__DAYS", "3")]).unwrap();
    assert_eq!((config.worker.in_flight, config.cap.days), (7, 3));
    let errors = load("", &[("BESPOKE_DATABSE_URL", "x"), ("BESPOKE_WORKER__INFLIGHT", "7")]).unwrap_err();
    assert!(errors.contains("unknown variable BESPOKE_DATABSE_URL"), "{errors}");
    assert!(errors.contains("BESPOKE_WORKER__INFLIGHT: there is no key `inflight`"), "{errors}");
}

#[test]
fn secrets_are_never_shown() {
    let environment =
        [("BESPOKE_SMTP_URL", "smtps://u:hunter2@mail.test"), ("BESPOKE_SECRET", &"k".repeat(40))];
    let config = load("[database]\nurl = \"postgres://me:hunter2@db/x\"\n", &environment).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("kkkk"), "{shown}");
}

#[test]
fn no_fault_shows_a_secret() {
    let file = "\
[database]
url = \"mysql://u:hunter2@h/x\"
[public]
secret = \"hunter2\"
previous_secrets = \"hunter2\"
[[relay]]
url = \"smtp://user:hunter2@192.0.2.1:25\"
wieght = 3
[[dkim]]
domain = \"shop.example\"
selector = \"s\"
key = \"\"\"
hunter2
\"\"\"
";
    let errors = load(file, &[]).unwrap_err();
    for expected in [
        "database.url is neither SQLite nor PostgreSQL",
        "there is no key `wieght`",
        "did you mean `weight`?",
        "this is text; it must be a list",
        "public.secret is shorter than 32 characters",
        "a password would go out in clear",
        "the DKIM key s._domainkey.shop.example cannot be used: no private key in PEM form is there",
    ] {
        assert!(errors.contains(expected), "{expected:?} is missing in\n{errors}");
    }
    assert!(!errors.contains("hunter2"), "{errors}");
    for file in ["[public]\nsecret = \"hunter2\n", "[public]\nsecret = 12345678\n"] {
        let errors = load(file, &[("BESPOKE_PUBLIC__SECRET", "12345678hunter2")]).unwrap_err();
        assert!(!errors.contains("hunter2") && !errors.contains("12345678"), "{errors}");
    }
    for file in [
        "[[relay]]\nurl = \"user:hunter2@host\"\n",
        "[[relay]]\nurl = \"smtp+starttls://user:it's-hunter2@host:99999\"\n",
        "[[relay]]\nurl = \"smtp+starttls://user:hun hunter2@host:99999\"\n",
        "[[relay]]\nurl = \"smtp://user:x\"hunter2@host\"\n",
        "[[relay]]\nulr = \"user:hunter2@host\"\n",
        "[database]\nurl = \"u:hunter2@h/x\"\n",
        "[database]\nurl = \"postgress://u:hun'hunter2@db/x\"\n",
        "[database]\nurl: \"postgres://u:hunter2@db/x\"\n",
        "[public]\nprevious_secrets = [\"a]hunter2hunter2\", 5]\n",
        "[public]\nprevious_secrets = [\"a\", 12345678]\n",
        "[[webhook]]\nurl = \"user:hunter2@host\"\nsecret = \"hunter2\"\n",
    ] {
        let errors = load(file, &[]).unwrap_err();
        assert!(!errors.contains("hunter2") && !errors.contains("12345678"), "{errors}");
    }
    for (name, value) in [
        ("BESPOKE_PUBLIC__PREVIOUS_SECRETS", "[\"a\", 12345678]"),
        ("BESPOKE_DKIM", "[{domain = \"d\", selector = \"s\", key = 12345678}]"),
        ("BESPOKE_SMTP_URL", "user:hunter2@host"),
        ("BESPOKE_DATABASE_URL", "user:hunter2@host"),
    ] {
        let errors = load("", &[(name, value)]).unwrap_err();
        assert!(!errors.contains("hunter2") && !errors.contains("12345678"), "{errors}");
    }
    let errors = load("", &[("BESPOKE_SMTP_URL", "smtp://u:hunter2@h:99999")]).unwrap_err();
    assert!(errors.contains("invalid port number") && errors.contains("BESPOKE_SMTP_URL"), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn a_short_secret_does_not_show_in_the_gaps_of_what_is_said() {
    for secret in ["a", "short"] {
        let errors = load(&format!("[public]\nsecret = \"{secret}\"\n"), &[]).unwrap_err();
        assert!(errors.contains("public.secret is shorter than 32 characters"), "{errors}");
        assert!(errors.contains(&format!("secret = \"{}\"", "*".repeat(secret.len()))), "{errors}");
    }
}

#[test]
fn the_databases_own_links_are_refused_only_where_another_secret_is_stated() {
    let refused = "[public]\ndatabase_links = \"refused\"\n";
    let errors = load(refused, &[]).unwrap_err();
    assert!(errors.contains("no other secret than the database's own is stated"), "{errors}");
    load(refused, &[("BESPOKE_SECRET", &"k".repeat(40))]).unwrap();
    load("", &[("BESPOKE_SECRET", &"k".repeat(40)), ("BESPOKE_PUBLIC__DATABASE_LINKS", "refused")]).unwrap();
}

#[test]
fn a_cap_that_no_calendar_holds_is_a_fault() {
    let errors = load("[cap]\ndays = 4294967295\n", &[]).unwrap_err();
    assert!(errors.contains("cap.days is above 3650") && errors.contains("bespoke.toml:2:8"), "{errors}");
    load("[cap]\ndays = 3650\n", &[]).unwrap();
}

#[test]
fn a_level_that_is_none_is_a_fault() {
    let errors = load("[log]\nlevel = \"loud\"\n", &[]).unwrap_err();
    assert!(
        errors.contains("log.level \"loud\" names no level") && errors.contains("bespoke.toml:2:9"),
        "{errors}"
    );
    for level in ["info", "off", "warn,bespoke::worker=debug"] {
        load("", &[("BESPOKE_LOG", level)]).unwrap();
    }
}

#[test]
fn values_are_looked_at_although_keys_are_wrong() {
    let errors = load("[sender]\nfrom = \"nobody\"\nform = 1\n[dkim]\ndomain = \"d\"\n", &[]).unwrap_err();
    for expected in ["sender.from is no mailbox", "there is no key `form`", "write it in double brackets"] {
        assert!(errors.contains(expected), "{expected:?} is missing in\n{errors}");
    }
}

#[test]
fn relative_paths_are_taken_from_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bespoke.toml");
    std::fs::write(&path, "[database]\nurl = \"sqlite://a.db\"\n").unwrap();
    let config = Config::load(Some(&path), &Environment::default(), &Overrides::default()).unwrap();
    assert_eq!(
        config.database.url.expose_secret(),
        &format!("sqlite://{}", folder.path().join("a.db").display())
    );
    assert_eq!(config.templates.folder, folder.path().join("templates"));
}

#[test]
fn a_public_address_to_which_no_path_can_be_appended_is_refused() {
    for (url, expected) in [
        ("http://x.example/y?z=1", Some("holds `?` or `#`")),
        ("http://x.example/y#f", Some("holds `?` or `#`")),
        ("https://user:pw@x.example", Some("holds a login")),
        ("https://", Some("is no web address")),
        ("ftp://x.example", Some("is no web address")),
        ("https://x.example:8443/mail/", None),
    ] {
        let said = load("", &[("BESPOKE_PUBLIC_URL", url)]).err().unwrap_or_default();
        assert_eq!(said.is_empty(), expected.is_none(), "{url} {said}");
        assert!(said.contains(expected.unwrap_or_default()) && !said.contains("user:pw"), "{url} {said}");
    }
}

#[test]
fn a_relay_that_may_take_nothing_is_refused() {
    for rate in ["0", "-5.0", "nan"] {
        let said =
            load(&format!("[[relay]]\nurl = \"smtp://localhost\"\nper_second = {rate}\n"), &[]).unwrap_err();
        assert!(said.contains("per_second must be greater than 0"), "{said}");
    }
}

#[test]
fn each_fault_is_told_at_the_key_that_it_is_about() {
    for (file, place, expected) in [
        ("[[relay]]\nurl = \"smtp://h\"\nauth = \"digest\"\n", ":3:8", "write plain, login or xoauth2"),
        (
            "[[relay]]\nurl = \"smtp://h\"\ndeadline_seconds = { greting = 3 }\n",
            ":3:20",
            "no phase \"greting\"",
        ),
        (
            "[[relay]]\nurl = \"smtp://a\"\n[[relay]]\nurl = \"smtp://b\"\nmax_connections = 0\n",
            ":5:19",
            "max_connections must be 1 to",
        ),
        ("[worker]\nlease_seconds = 1\n", ":2:17", "worker.lease_seconds = 1 is less than 5"),
        ("[worker]\npolicy_failure_percent = 400\n", ":2:26", "worker.policy_failure_percent = 400 is no"),
        ("[holdout]\npercent = -1\n", ":2:11", "holdout.percent = -1 is no percentage"),
        ("[http]\nlisten = \"nowhere\"\n", ":2:10", "is no address with a port"),
        ("[templates]\ndefault_locale = \"xx yy\"\n", ":2:18", "is no language"),
        ("[events]\nknown = [\"\"]\n", ":2:9", "an event without a name"),
        ("[log]\nlevel = \"bespoke::wroker=debug\"\n", ":2:9", "did you mean `bespoke::worker`?"),
        ("[rates.domain.gmail]\nper_second = 0\n", ":2:14", "rates.domain.gmail.per_second must be greater"),
        ("[webhooks]\nretry_seconds = 5\n", ":2:17", "this is a whole number; it must be a list"),
    ] {
        let said = load(file, &[]).unwrap_err();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(&format!("bespoke.toml{place}]")) && said.contains(expected), "{file}{said}");
        assert_eq!(said.matches("bespoke.toml:").count(), 1, "one fault, told once: {said}");
        assert!(expected.contains("smtp") || !said.contains("smtp+starttls"), "{said}");
    }
}

#[test]
fn a_fault_of_a_variable_names_the_variable() {
    for (name, value, expected) in [
        ("BESPOKE_RATE_PER_SECOND", "0", "rates.per_second must be greater than 0"),
        ("BESPOKE_LOG", "loud", "names no level"),
        ("BESPOKE_FROM", "nobody", "sender.from is no mailbox"),
        ("BESPOKE_SECRET", "short", "public.secret is shorter than 32 characters"),
        ("BESPOKE_SMTP_URL", "http://h", "the scheme must be"),
        ("BESPOKE_CAP__DAYS", "many", "this is text; it must be a whole number, 0 or more"),
    ] {
        let said = load("[cap]\ndays = 7\n", &[(name, value)]).unwrap_err();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(&format!("{name}: ")) && said.contains(expected), "{said}");
        assert!(!said.contains("bespoke.toml:"), "{said}");
    }
}
