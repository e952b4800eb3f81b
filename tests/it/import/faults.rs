//! What is wrong is said, with its place, and nothing else is harmed by it.

use bespoke::ingest::Item;
use bespoke::ingest::Noun;
use bespoke::ingest::ReadOptions;
use bespoke::ingest::Reader;
use bespoke::ingest::Record;
use bespoke::ingest::Shop;
use bespoke::ingest::Source;
use proptest::prelude::*;

use super::Desk;
use super::Run;
use crate::support::Database;

#[tokio::test]
async fn bad_rows_go_to_a_file_with_line_and_reason_and_all_others_load() {
    let desk = Desk::new();
    let mut csv = b"id,email,born\n".to_vec();
    csv.extend(
        b"1,a@example.test,1990-04-23\n2,b@@example.test,\n3,c@example.test,1990-02-30\n4,d@example.test\n",
    );
    csv.extend(b"5,e@example.test,\xff\n=6,\"f@example.test,\n7,\"\xf0\x9f\xa6\x8a\"@example.test,\n,h@example.test,\n");
    csv.extend(format!("{},i@example.test,\n", "9".repeat(300)).as_bytes());
    csv.extend("10,../../j@example.test,\n11,x@b\u{fc}cher.test,1990-01-01".as_bytes());
    desk.write("people.csv", csv);
    desk.write("bespoke.toml", "[traits]\nborn = \"date\"\n");
    let database = Database::sqlite().await;
    let run = desk.import(&database.url, &["profiles", "people.csv"]);
    assert_eq!(
        run,
        Run::ok(
            "people.csv: 11 rows: 3 profiles loaded, 0 unchanged, 8 rejected, 1 trait that could not be read was left out \
             (see people.csv.rejects.csv)"
        )
    );
    let nine = "9".repeat(300);
    let expected = [
        "\"line\",\"reason\",\"raw\"",
        "\"3\",\"email \"\"b@@example.test\"\": the part before the @ holds a character that is not allowed there\",\"2,b@@example.test,\"",
        "\"4\",\"born: \"\"1990-02-30\"\" is no date of the form 2026-01-31; [traits] of bespoke.toml declares a date, such as 1990-04-23; the rest of the row is loaded\",\"3,c@example.test,1990-02-30\"",
        "\"5\",\"2 columns where the header has 3\",\"4,d@example.test\"",
        "\"6\",\"not UTF-8 at byte 18 of the row; save the file as UTF-8\",\"5,e@example.test,\u{fffd}\"",
        "\"7\",\"a quote is opened and not closed in its row\",\"'=6,\"\"f@example.test,\"",
        "\"8\",\"email \"\"🦊@example.test\"\": the part before the @ holds a character that is not allowed there\",\"7,\"\"🦊\"\"@example.test,\"",
        "\"9\",\"id is missing\",\",h@example.test,\"",
        &format!(
            "\"10\",\"the profile id has 300 characters; at most 255 are allowed\",\"{nine},i@example.test,\""
        ),
        "\"11\",\"email \"\"../../j@example.test\"\": the part before the @ holds a character that is not allowed there\",\"10,../../j@example.test,\"",
        "",
    ];
    assert_eq!(desk.read("people.csv.rejects.csv"), expected.join("\n"));
    let kept = database.store.profiles_after(None, 10).await.unwrap();
    let kept: Vec<_> = kept
        .iter()
        .map(|profile| (profile.id.as_str(), profile.address.as_ref().unwrap().as_str()))
        .collect();
    assert_eq!(kept, [("1", "a@example.test"), ("11", "x@xn--bcher-kva.test"), ("3", "c@example.test")]);
}

#[tokio::test]
async fn a_file_of_which_no_row_is_good_is_a_failure() {
    let desk = Desk::new();
    desk.write("a.csv", "id,email\n,x\n,y\n");
    desk.write("b.csv", "id,email\n");
    let database = Database::sqlite().await;
    let run = desk.import(&database.url, &["profiles", "a.csv", "--rejects", "bad.csv"]);
    assert_eq!(run.stdout, "a.csv: 2 rows: 0 profiles loaded, 0 unchanged, 2 rejected (see bad.csv)\n");
    assert_eq!(run.code, Some(1));
    let empty = desk.import(&database.url, &["profiles", "b.csv"]);
    assert_eq!(empty, Run::ok("b.csv: 0 rows: 0 profiles loaded, 0 unchanged, 0 rejected"));
    assert_eq!(desk.names(), ["a.csv", "b.csv", "bad.csv"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_before_anything_is_loaded() {
    let desk = Desk::new();
    desk.write("good.csv", "id,email\n1,a@example.test\n");
    desk.write("empty.csv", "");
    desk.write("wrong.toml", "[fields]\nid = \"id\"\nemale = \"email\"\n");
    let database = Database::sqlite().await;
    for (words, expected) in [
        (
            &["profiles", "good.csv", "none.csv"][..],
            "bespoke: none.csv cannot be read: No such file or directory (os error 2)",
        ),
        (&["profiles", "good.csv", "."], "bespoke: . cannot be read: is a folder, not a file"),
        (
            &["profiles", "good.csv", "empty.csv"],
            "bespoke: empty.csv: the file is empty; its first line must name the columns",
        ),
        (
            &["events", "good.csv"],
            "bespoke: good.csv: no column is called profile, or what else stands for it (profile_id, external_id, \
             user_id, customer_id, customer); the columns are \"id\", \"email\"; say with --map which is which",
        ),
        (
            &["profiles", "good.csv", "good.csv", "--rejects", "x.csv"],
            "bespoke: x.csv is no folder; several files need one for their rejects",
        ),
    ] {
        let run = desk.import(&database.url, words);
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(1), "", expected));
    }
    let run = desk.import(&database.url, &["profiles", "good.csv", "--map", "wrong.toml"]);
    assert_eq!(run.code, Some(1));
    for part in
        ["the map cannot be used", "profiles have no field \"emale\"", "wrong.toml:3:1", "email, locale"]
    {
        assert!(run.stderr.contains(part), "{part}\n{}", run.stderr);
    }
    assert_eq!(database.store.count_profiles().await.unwrap(), 0);
    assert_eq!(desk.names(), ["empty.csv", "good.csv", "wrong.toml"]);
}

#[tokio::test]
async fn what_stands_before_a_break_is_loaded_and_the_whole_file_heals_it() {
    let desk = Desk::new();
    let rows: Vec<String> = (0..3_000).map(|row| format!("p{row},p{row}@example.test\n")).collect();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, format!("id,email\n{}", rows.concat()).as_bytes()).unwrap();
    let bytes = encoder.finish().unwrap();
    desk.write("people.csv.gz", &bytes[..bytes.len() / 2]);
    let database = Database::sqlite().await;
    let run = desk.import(&database.url, &["profiles", "people.csv.gz"]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains("an import ended early") && run.stderr.contains("people.csv.gz"),
        "{}",
        run.stderr
    );
    let loaded = database.store.count_profiles().await.unwrap();
    assert!((1..3_000).contains(&loaded), "{loaded}");
    desk.write("people.csv.gz", &bytes);
    let run = desk.import(&database.url, &["profiles", "people.csv.gz"]);
    assert_eq!(
        run.stdout,
        format!(
            "people.csv.gz: 3,000 rows: {} profiles loaded, {} unchanged, 0 rejected\n",
            with_comma(3_000 - loaded),
            with_comma(loaded)
        )
    );
    assert_eq!(database.store.count_profiles().await.unwrap(), 3_000);
}

fn with_comma(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}

#[tokio::test]
async fn a_bomb_is_one_rejected_row() {
    let desk = Desk::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, b"id\ngood\n").unwrap();
    for _ in 0..32 {
        std::io::Write::write_all(&mut encoder, &vec![b'x'; 1 << 20]).unwrap();
    }
    std::io::Write::write_all(&mut encoder, b"\nlast\n").unwrap();
    desk.write("bomb.csv.gz", encoder.finish().unwrap());
    let database = Database::sqlite().await;
    let run = desk.import(&database.url, &["profiles", "bomb.csv.gz"]);
    assert_eq!(
        run,
        Run::ok(
            "bomb.csv.gz: 3 rows: 2 profiles loaded, 0 unchanged, 1 rejected (see bomb.csv.gz.rejects.csv)"
        )
    );
    assert!(desk.read("bomb.csv.gz.rejects.csv").len() < 2_000);
}

/// What becomes of every row of `bytes`; an error ends them.
fn read_to_end(noun: Noun, bytes: &[u8]) -> Vec<Item> {
    let source = Source::new("in", None, std::io::Cursor::new(bytes.to_vec())).unwrap();
    let options = ReadOptions {
        noun,
        mapping: None,
        format: None,
        delimiter: None,
        shop: Shop::default(),
        now: "2026-06-01T12:00:00Z".parse().unwrap(),
    };
    let Ok(mut reader) = Reader::open(source, options) else { return vec![] };
    std::iter::from_fn(|| reader.next_item().ok().flatten()).collect()
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic_and_rejects_stand_in_order(
        start in prop::sample::select(vec!["id,email\n", "user_id\tevent\ttimestamp\n", "{\"id\":1}\n", "code;offer\n", ""]),
        bytes in prop::collection::vec(
            prop_oneof![6 => prop::sample::select(b"\"\"\"\n\r,;\t{}[]:a1@. =\\\0".to_vec()), 1 => any::<u8>()],
            0..400,
        ),
    ) {
        let bytes = [start.as_bytes(), &bytes].concat();
        for noun in [Noun::Profiles, Noun::Events, Noun::Products, Noun::Coupons] {
            let rejected = |item| if let Item::Rejected(reject) = item { Some(reject.line) } else { None };
            let rejects: Vec<u64> = read_to_end(noun, &bytes).into_iter().filter_map(rejected).collect();
            prop_assert!(rejects.is_sorted_by(|a, b| a < b), "{:?}", rejects);
            let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64 + 1;
            prop_assert!(rejects.iter().all(|line| *line >= 1 && *line <= lines), "{:?} of {}", rejects, lines);
        }
    }

    #[test]
    fn what_a_csv_writer_writes_is_read_back_cell_by_cell(
        rows in prop::collection::vec(prop::collection::vec("[^\0]{0,12}", 2), 0..20),
    ) {
        let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
        writer.write_record(["id", "note", "other"]).unwrap();
        for (number, row) in rows.iter().enumerate() {
            writer.write_record([&number.to_string(), &row[0], &row[1]]).unwrap();
        }
        let read = read_to_end(Noun::Profiles, &writer.into_inner().unwrap());
        prop_assert_eq!(read.len(), rows.len());
        for (number, (item, row)) in read.into_iter().zip(&rows).enumerate() {
            let Item::Record(Record::Profile(profile)) = item else { panic!("{item:?}") };
            prop_assert_eq!(profile.id.as_str(), number.to_string());
            for (name, cell) in [("note", &row[0]), ("other", &row[1])] {
                let found = profile.traits.get(name).and_then(|value| value.as_str()).unwrap_or_default();
                prop_assert_eq!(found, cell.trim());
            }
        }
    }
}
