//! What the program says to do first, done as it says; and what its reading commands refuse.

use std::process::Stdio;

use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::process::Command;

use crate::support::program::Program;

fn bespoke() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bespoke"));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Exit code, standard output and standard error.
async fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_init_prints_works_in_the_folder_that_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said, fault) = run(bespoke().current_dir(&folder).args(["init", "shop"])).await;
    assert_eq!((code, fault.as_str()), (Some(0), ""));
    let commands: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  bespoke ")).collect();
    assert_eq!(commands.len(), 6, "{said}");
    for command in commands {
        let words = command.split('#').next().unwrap().split_whitespace();
        let shop = folder.path().join("shop");
        let (code, said, fault) = run(bespoke().current_dir(shop).args(words)).await;
        assert_eq!(code, Some(0), "{command}\n{said}{fault}");
        // To look at everything marks nobody as mailed: the last command, `plan`, is of the way to go live.
        if command.starts_with("plan") {
            let shop = folder.path().join("shop");
            let (_, listed, _) =
                run(bespoke().current_dir(shop).args(["sends", "list", "--state", "sent"])).await;
            assert_eq!(listed.lines().last(), Some("no send is like that"));
        }
        if command.starts_with("import") {
            assert!(said.contains(" 0 unchanged, 0 rejected"), "{said}");
        }
    }
    assert!(folder.path().join("shop/previews/index.html").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_database_is_refused_and_not_made() {
    let program = Program::new("");
    for arguments in [
        ["sends", "list"].as_slice(),
        &["sends", "export"],
        &["report", "funnel"],
        &["model", "list"],
        &["profile", "show", "ana"],
        &["prune", "--dry-run"],
        &["keys", "list"],
        &["learn"],
        &["explain", "0193f0a1b2c3d4e5f60718293a4b5c6d"],
        &["preview", "--sample", "3", "--out", "previews"],
    ] {
        let (code, _, fault) = run(&mut program.command(&[], arguments)).await;
        assert_eq!(code, Some(1), "{arguments:?}\n{fault}");
        assert!(fault.contains("there is no database") && fault.contains("bespoke import"), "{fault}");
    }
    let files = std::fs::read_dir(program.folder.path()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.contains(".db")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_connections_is_told_at_once() {
    // Bound and let go: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://nobody@127.0.0.1:{port}/none");
    let arguments = ["--database", &url, "sends", "list"];
    let (code, _, fault) = run(&mut Program::new("").command(&[], &arguments)).await;
    assert_eq!(code, Some(1));
    assert!(fault.contains(&format!("127.0.0.1:{port}")) && fault.contains("refused"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_nobody_knows_and_a_send_that_stays_are_errors() {
    let program = Program::new("");
    std::fs::write(program.folder.path().join("people.csv"), "id,email\nana,ana@example.test\n").unwrap();
    program.says(&["import", "profiles", "people.csv"]).await;
    for act in ["list", "export", "retry", "cancel", "resend-unknown"] {
        let (code, said, fault) =
            run(&mut program.command(&[], &["sends", act, "--campaign", "recept"])).await;
        assert_eq!((code, said.as_str()), (Some(1), ""), "{act}");
        assert!(fault.contains("there is no campaign \"recept\"; did you mean \"receipt\"?"), "{fault}");
    }
    let (code, _, fault) = run(&mut program.command(&[], &["sends", "retry", "--campaign", "receipt"])).await;
    assert_eq!((code, fault.as_str()), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_of_an_offer_that_is_not_there_are_kept_with_a_warning() {
    let program = Program::new("");
    let write = |name: &str, text: &str| std::fs::write(program.folder.path().join(name), text).unwrap();
    write("templates/offers.toml", "[first-order]\nkind = \"coupon\"\n");
    write("codes.csv", "code\nA-1\n");
    for (offer, expected) in [
        ("first-order", ""),
        (
            "first-ordr",
            "warning: no offer with codes is called `first-ordr`, so nobody gets them; did you mean `first-order`?\n",
        ),
    ] {
        let arguments = ["import", "coupons", "codes.csv", "--offer", offer];
        let (code, _, fault) = run(&mut program.command(&[], &arguments)).await;
        assert_eq!((code, fault.as_str()), (Some(0), expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_read_enough_ends_any_command_quietly() {
    let program = Program::new("");
    std::fs::write(program.folder.path().join("people.csv"), "id,email\nana,ana@example.test\n").unwrap();
    program.says(&["import", "profiles", "people.csv"]).await;
    for arguments in
        [["sends", "list"].as_slice(), &["profile", "show", "ana"], &["completions", "bash"], &["man"]]
    {
        let mut command = program.command(&[], arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap(), None, "{arguments:?}");
        assert_eq!(child.wait().await.unwrap().code(), Some(0), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_goes_into_a_file_holds_no_colours() {
    let program = Program::new("");
    let arguments = ["-vv", "work", "--until-idle", "--into", "mails"];
    let (code, _, log) = run(&mut program.command(&[], &arguments)).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains('\u{1b}'), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_are_scripts_and_manual_pages_are_pages() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, _) = run(bespoke().args(["completions", shell])).await;
        assert!(code == Some(0) && script.contains("resend-unknown"), "{shell}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        std::fs::write(&path, script).unwrap();
        // Only bash is everywhere; the others judge where they are installed.
        if ["bash", "zsh", "fish"].contains(&shell) {
            match Command::new(shell).arg("-n").arg(&path).output().await {
                Ok(judged) => assert!(judged.status.success(), "{shell}: {judged:?}"),
                Err(_) => assert_ne!(shell, "bash"),
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (code, _, _) = run(bespoke().args(["man", "--out"]).arg(folder.path())).await;
    assert_eq!(code, Some(0));
    let pages: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|page| page.unwrap().path()).collect();
    assert!(pages.len() > 20, "{pages:?}");
    for page in &pages {
        assert!(std::fs::read_to_string(page).unwrap().contains("\n.TH "), "{page:?}");
        if let Ok(judged) = Command::new("mandoc").args(["-Tlint", "-Werror"]).arg(page).output().await {
            assert!(judged.status.success(), "{judged:?}");
        }
    }
}
