//! The program itself as a process, in a folder of its own.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;

use super::app::CONFIG;
use super::app::SHOP;

/// A folder with a configuration and templates, on an SQLite file in it.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) folder: tempfile::TempDir,
}

/// `bespoke serve`; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) child: Child,
    /// `http://127.0.0.1:port`
    pub(crate) url: String,
}

impl Program {
    /// The smallest shop that works, with `more` at the end of its configuration.
    pub(crate) fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in SHOP {
            let path = folder.path().join("templates").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::fs::write(folder.path().join("bespoke.toml"), format!("{CONFIG}{more}")).unwrap();
        Self { folder }
    }

    /// `bespoke ARGUMENTS`, in the folder; not yet started. `before` stands in front of it, such as `prlimit`.
    pub(crate) fn command(&self, before: &[&str], arguments: &[&str]) -> Command {
        let all: Vec<&str> = before
            .iter()
            .copied()
            .chain([env!("CARGO_BIN_EXE_bespoke")])
            .chain(arguments.iter().copied())
            .collect();
        let mut command = Command::new(all[0]);
        command.args(&all[1..]).current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// What it prints, once it has ended well.
    pub(crate) async fn says(&self, arguments: &[&str]) -> String {
        let output = self.command(&[], arguments).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts the service on a free port and waits until it listens.
    pub(crate) async fn serves(&self, before: &[&str]) -> Server {
        let mut command = self.command(before, &["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        loop {
            let line = lines.next_line().await.unwrap().expect("the server ended before it listened");
            if let Some(url) = line.strip_prefix("listening on ") {
                let url = url.split(',').next().unwrap().to_owned();
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Server { child, url };
            }
        }
    }
}

impl Server {
    /// The most memory that it ever held, in bytes.
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        let status = Path::new("/proc").join(self.child.id().unwrap().to_string()).join("status");
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// `127.0.0.1:port`
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }
}
