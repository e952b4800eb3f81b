//! What is said of a faulty map, and of one that does not fit its file.

use super::*;
use crate::ingest::Shop;
use crate::ingest::plan::Plan;

#[test]
fn all_faults_of_a_map_are_told_at_once_and_so_are_the_columns_that_a_file_lacks() {
    let map = "\
other_columns = \"kep\"
onlyy = { a = \"b\" }
[time]
zone = \"Europe/Londn\"
[fields]
profile = \"customer\"
nam = \"x\"
at = \"tss\"
id = \"{{ a\"
name = \"{{ b | lowr }}\"
[properties]
price = { column = \"p\", type = \"numbr\" }
born = { column = \"d\", type = \"date\", format = \"hello\" }
";
    let file = SourceFile { path: "map.toml".into(), text: map.into() };
    let faults = Mapping::parse(&file, Noun::Events).unwrap_err();
    let mut told: Vec<(usize, &str)> =
        faults.iter().map(|fault| (fault.line(), fault.message.lines().next().unwrap())).collect();
    told.sort_unstable();
    let expected = [
        (1, "there is no word `kep`"),
        (2, "there is no key `onlyy`"),
        (3, "there is no time zone \"Europe/Londn\""),
        (7, "events have no field \"nam\""),
        (9, "a {{ is never closed by }}"),
        (10, "there is no filter \"lowr\""),
        (12, "there is no word `numbr`"),
        (13, "\"hello\" names no day"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for ((line, message), (of, starts)) in told.iter().zip(expected) {
        assert!(*line == of && message.starts_with(starts), "{told:?}");
    }

    let map =
        "skip_when_empty = [\"nocol\"]\n[fields]\nprofile = \"custmer\"\nname = \"what\"\nat = \"ts\"\n";
    let file = SourceFile { path: "map.toml".into(), text: map.into() };
    let mapping = Mapping::parse(&file, Noun::Events).unwrap();
    let header: Vec<String> = ["customer", "what", "when"].map(str::to_owned).into();
    let said = Plan::new(Noun::Events, Some(&mapping), Format::Csv, &header, &Shop::default()).unwrap_err();
    for part in [
        "map.toml:1:21",
        "no column is called \"nocol\"; the columns are \"customer\", \"what\", \"when\"",
        "map.toml:3:12",
        "did you mean \"customer\"?",
        "map.toml:5:7",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}
