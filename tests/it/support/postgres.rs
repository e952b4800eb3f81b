//! A private PostgreSQL server for one run of the tests.
//!
//! One shell process makes a cluster in a folder of its own, runs the server on a socket in it, and reads its standard
//! input, a pipe that this process holds. When this process ends, however it ends, the pipe closes, and the shell
//! stops the server and removes the folder. Nothing is left behind by a panic or a kill.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;
use std::sync::OnceLock;

use super::FSYNC;
use super::not_tested;

/// Where a database for tests comes from when there is no server to start: `postgres://…`.
pub(crate) const URL_VARIABLE: &str = "BESPOKE_TEST_DATABASE_URL";

/// Arguments: folder of the programs, folder for what is temporary, whether the disk is waited for, a TCP address or
/// nothing, and its port. Says `ready FOLDER`, or says on standard error what failed. Then it does what it reads, and
/// says `done`.
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
listen_addresses = '$4'
port = $5
unix_socket_directories = '$dir'
fsync = $3
full_page_writes = $3
max_connections = 400
shared_buffers = 64MB
autovacuum_naptime = 5s
CONF
[ -z "$4" ] || echo "host all all samenet trust" >>"$dir/data/pg_hba.conf"
start() { "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w start >/dev/null 2>&1 </dev/null; }
start || { cat "$dir/log" >&2; exit 1; }
echo "ready $dir"
while read -r line; do
  case $line in
    restart) "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -m immediate -w restart >/dev/null 2>&1 </dev/null ;;
    kill)
      kill -9 "$(head -n 1 "$dir/data/postmaster.pid")"
      # What the dead one left in memory is still used by its children, until they notice.
      until start; do :; done
      ;;
  esac
  echo done
done
"#;

/// A server, until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    /// The socket that it listens on.
    pub(crate) socket: PathBuf,
    /// Its standard input is the pipe.
    guard: Child,
    said: BufReader<ChildStdout>,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // It stops the server and clears up; a failure shows in the folder that stays.
        let _ = self.guard.wait();
    }
}

impl Server {
    /// A server of a test's own, which may be killed; on this TCP address too, where one is given. `None` when this
    /// machine has no PostgreSQL.
    pub(crate) fn own(address: &str) -> Option<Self> {
        start(address, &std::env::temp_dir())
    }

    /// The same whose files are in this folder, such as a small disk.
    pub(crate) fn own_in(folder: &Path) -> Option<Self> {
        start("", folder)
    }

    /// Stops it as a crash does and starts it again.
    pub(crate) fn restart(&mut self) {
        self.does("restart");
    }

    /// `kill -9`, and starts it again.
    pub(crate) fn kill(&mut self) {
        self.does("kill");
    }

    fn does(&mut self, what: &str) {
        let input = self.guard.stdin.as_mut().expect("it is piped");
        writeln!(input, "{what}").expect("sh reads");
        let mut line = String::new();
        self.said.read_line(&mut line).expect("sh says when it is done");
        assert_eq!(line.trim(), "done", "{what}");
    }
}

static SERVER: OnceLock<Option<Server>> = OnceLock::new();

/// The URL of the server of this run, without a schema. `None`, said loudly, when this machine has no PostgreSQL.
pub(crate) fn url() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration to read this from")]
    if let Ok(url) = std::env::var(URL_VARIABLE) {
        return Some(url);
    }
    SERVER.get_or_init(|| Server::own("")).as_ref().map(|server| server.url.clone())
}

fn start(address: &str, folder: &Path) -> Option<Server> {
    let Some(programs) = programs() else {
        not_tested(&format!(
            "EVERYTHING ON POSTGRESQL: it is not installed here. Install Debian's `postgresql`, or set {URL_VARIABLE}"
        ));
        return None;
    };
    let port = if address.is_empty() { 5_432 } else { free_port(address) };
    let mut command = Command::new("sh");
    command
        .args(["-c", SCRIPT, "sh"])
        .arg(&programs)
        .arg(folder)
        .arg(FSYNC)
        .args([address, &port.to_string()])
        .env_remove("PGDATA");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    // A process group of its own, so that ^C reaches only the tests, and then the pipe.
    command.process_group(0).current_dir("/");
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    let mut guard = command.spawn().expect("sh can be started");
    let mut line = String::new();
    let mut said = BufReader::new(guard.stdout.take().expect("it is piped"));
    said.read_line(&mut line).expect("the output of sh can be read");
    let folder =
        line.trim().strip_prefix("ready ").unwrap_or_else(|| panic!("PostgreSQL did not start: {line}"));
    let place = if address.is_empty() { folder.replace('/', "%2F") } else { format!("{address}:{port}") };
    let url = format!("postgres://bespoke@{place}/postgres");
    let socket = Path::new(folder).join(format!(".s.PGSQL.{port}"));
    Some(Server { url, socket, guard, said })
}

fn free_port(address: &str) -> u16 {
    std::net::TcpListener::bind((address, 0))
        .expect("the address is here")
        .local_addr()
        .expect("it is bound")
        .port()
}

/// The folder with `initdb` and `pg_ctl`: Debian's newest, or wherever `PATH` leads to.
pub(crate) fn programs() -> Option<PathBuf> {
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
