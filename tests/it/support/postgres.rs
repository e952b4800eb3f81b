//! A private PostgreSQL server for one run of the tests.
//!
//! One shell process makes a cluster in a folder of its own, runs the server on a socket in it, and reads its standard
//! input, a pipe that this process holds. When this process ends, however it ends, the pipe closes, and the shell
//! stops the server and removes the folder. Nothing is left behind by a panic or a kill.

use std::io::BufRead;
use std::io::BufReader;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::OnceLock;

use super::FSYNC;

/// Where a database for tests comes from when there is no server to start: `postgres://…`.
pub(crate) const URL_VARIABLE: &str = "BESPOKE_TEST_DATABASE_URL";

/// Arguments: folder of the programs, folder for what is temporary, whether the disk is waited for. Says `ready FOLDER`, or says on standard error what failed.
const SCRIPT: &str = r#"
set -eu
bin=$1
umask 077
dir=$(mktemp -d -p "$2")
stop() {
  "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap stop EXIT
"$bin/initdb" -D "$dir/data" -U bespoke -A trust -E UTF8 --no-locale -N >"$dir/log" 2>&1 </dev/null \
  || { cat "$dir/log" >&2; exit 1; }
cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$dir'
fsync = $3
full_page_writes = $3
max_connections = 400
shared_buffers = 64MB
autovacuum_naptime = 5s
CONF
"$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w start >/dev/null 2>&1 </dev/null || { cat "$dir/log" >&2; exit 1; }
echo "ready $dir"
while read -r line; do :; done
"#;

struct Server {
    url: String,
    /// Held for the length of the run: its standard input is the pipe.
    _guard: Child,
}

static SERVER: OnceLock<Option<Server>> = OnceLock::new();

/// The URL of the server of this run, without a schema. `None`, said loudly, when this machine has no PostgreSQL.
pub(crate) fn url() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration to read this from")]
    if let Ok(url) = std::env::var(URL_VARIABLE) {
        return Some(url);
    }
    SERVER.get_or_init(start).as_ref().map(|server| server.url.clone())
}

fn start() -> Option<Server> {
    let Some(programs) = programs() else {
        eprintln!(
            "\n*** PostgreSQL is not installed here: NOTHING IS TESTED ON POSTGRESQL. Install Debian's `postgresql`, \
             or set {URL_VARIABLE}. ***\n"
        );
        return None;
    };
    let mut command = Command::new("sh");
    command
        .args(["-c", SCRIPT, "sh"])
        .arg(&programs)
        .arg(std::env::temp_dir())
        .arg(FSYNC)
        .env_remove("PGDATA");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    // A process group of its own, so that ^C reaches only the tests, and then the pipe.
    command.process_group(0).current_dir("/");
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    let mut guard = command.spawn().expect("sh can be started");
    let mut line = String::new();
    let output = guard.stdout.take().expect("it is piped");
    BufReader::new(output).read_line(&mut line).expect("the output of sh can be read");
    let folder =
        line.trim().strip_prefix("ready ").unwrap_or_else(|| panic!("PostgreSQL did not start: {line}"));
    let socket = folder.replace('/', "%2F");
    Some(Server { url: format!("postgres://bespoke@{socket}/postgres"), _guard: guard })
}

/// The folder with `initdb` and `pg_ctl`: Debian's newest, or wherever `PATH` leads to.
fn programs() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    folders.sort();
    folders.reverse();
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration to read this from")]
    let path = std::env::var("PATH").unwrap_or_default();
    folders.extend(path.split(':').map(PathBuf::from));
    folders.into_iter().find(|folder| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file())
}

/// PostgreSQL refuses to run as root: somebody else's user and group then.
fn unprivileged() -> Option<(u32, u32)> {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).ok()?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?;
    if uid != "0" {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let found = fields.first() == Some(&name);
            found.then(|| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))).flatten()
        })
    };
    find("postgres").or_else(|| find("nobody")).or(Some((65_534, 65_534)))
}
