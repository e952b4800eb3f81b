//! What a user would pick instead, on its own recipients, into the same sink, in the same minutes.

use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

/// Runs those that are in `folder` and on this machine: `node/send.js`, `send.py` (by the Python of `venv`, where there is
/// one), both of which say as JSON what they did, and Postfix's `smtp-source` with the ready-made `mail.lf`, the ceiling.
pub(crate) fn run(folder: &Path, port: &str, count: usize) {
    let python = Some(folder.join("venv/bin/python")).filter(|path| path.exists());
    let python = python.unwrap_or_else(|| "python3".into());
    let count_text = count.to_string();
    let sized = ["--port", port, "--n", &count_text];
    let peers = [
        ("Node: mjml, handlebars, nodemailer pooled", Command::new("node"), folder.join("node/send.js")),
        ("Python: mrml, jinja2, aiosmtplib", Command::new(python), folder.join("send.py")),
    ];
    for (name, mut program, script) in peers {
        match program.arg(script).args(sized).stderr(Stdio::null()).output() {
            Ok(output) if output.status.success() => tell(name, &output.stdout),
            _ => println!("{name:<42} *** cannot be run here: NOT MEASURED ***"),
        }
    }
    let (name, mail) = ("Postfix: smtp-source, a ready-made mail", folder.join("mail.lf"));
    let begun = Instant::now();
    let source = Command::new("/usr/sbin/smtp-source")
        .args([
            "-s",
            "10",
            "-d",
            "-M",
            "bench.test",
            "-f",
            "a@bench.test",
            "-t",
            "b@bench.test",
            "-m",
            &count_text,
        ])
        .arg("-F")
        .arg(mail)
        .arg(format!("inet:127.0.0.1:{port}"))
        .status();
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    match source {
        Ok(status) if status.success() => {
            println!("{name:<42} {:>9.0} mails/s", count as f64 / begun.elapsed().as_secs_f64());
        }
        _ => println!("{name:<42} *** cannot be run here: NOT MEASURED ***"),
    }
}

fn tell(name: &str, output: &[u8]) {
    let said: Value = serde_json::from_slice(output).expect("a peer says what it did as JSON");
    let number = |key: &str| said[key].as_f64().unwrap_or(f64::NAN);
    println!(
        "{name:<42} {:>9.0} mails/s, {:>6.0} us of processor a mail",
        number("rate"),
        number("cpu") * 1e6 / number("msgs")
    );
}
