//! README's first command, with few customers: everything that it promises is there.

use crate::support::program::Program;

#[tokio::test(flavor = "multi_thread")]
async fn the_demonstration_writes_what_it_tells_of() {
    let program = Program::new("");
    let told = program.says(&["demo", "--customers", "20"]).await;
    let steps = ["imported", "learnt", "planned", "delivered", "previewed", "a week on", "learnt"];
    for (number, step) in (1..).zip(steps) {
        let line = format!("{number}. {step}");
        assert!(told.lines().any(|told| told.starts_with(&line)), "{line} is missing in\n{told}");
    }
    let folder = program.folder.path().join("bespoke-demo");
    for file in ["bespoke.db", "bespoke.toml", "previews/index.html"] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    let reports = std::fs::read_dir(folder.join("reports")).unwrap().count();
    assert!(
        reports >= 7 && told.contains(&format!("8. reported     {reports} reports")),
        "{reports} in\n{told}"
    );
    // What it says to look at next works, in the words in which it says it.
    let database = format!("sqlite://{}", folder.join("bespoke.db").display());
    let states = program.says(&["sends", "list", "--state", "sent", "--database", &database]).await;
    assert!(states.contains("sent"), "{states}");
}

#[tokio::test]
async fn a_demonstration_needs_a_few_customers() {
    let program = Program::new("");
    let output = program.command(&[], &["demo", "--customers", "1"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("1 is not in 20..="), "{told}");
}
