//! The template that every cluster is a copy of: `initdb` takes a second, a copy of it does not.

use std::env;
use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use nix::unistd::{Uid, User};
use tempfile::TempDir;

use super::process;

/// The tables as they are documented: nothing that existing installations do not have.
const TABLES: &str = "\
CREATE TABLE sessions (sid TEXT PRIMARY KEY, name TEXT, data TEXT, exp TIMESTAMP WITH TIME ZONE)
CREATE INDEX ON sessions (exp)
CREATE TABLE sessions_meta (aud TEXT, sub TEXT, sid TEXT REFERENCES sessions (sid) ON DELETE CASCADE ON UPDATE CASCADE, PRIMARY KEY (aud, sub, sid))
";

/// Copies the template to `data`, with the documented tables in its `template1`.
pub fn copy_to(data: &Path) {
    static TEMPLATE: OnceLock<&TempDir> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| process::keep_until_exit(initialise(), process::remove));
    process::run(Command::new("cp").arg("-a").arg(template.path()).arg(data));
}

fn initialise() -> TempDir {
    let folder = process::folder();
    give_to_server(folder.path());
    process::run(
        command("initdb")
            .args(["--no-sync", "-A", "trust", "-U", "postgres"])
            .args(["-E", "UTF8", "--locale=C.UTF-8", "-D"])
            .arg(folder.path()),
    );
    // In single-user mode a line is a statement.
    let mut single = command("postgres")
        .args(["--single", "-F", "-c", "log_checkpoints=off"])
        .args(["-c", "password_encryption=md5", "-D"])
        .args([folder.path().as_os_str(), "template1".as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("postgres --single");
    let mut input = single.stdin.take().expect("piped");
    let password = format!("ALTER ROLE postgres PASSWORD '{}'\n", super::password());
    input.write_all((password + TABLES).as_bytes()).expect("a live server");
    drop(input);
    assert!(single.wait().expect("our own child").success());
    folder
}

/// One of PostgreSQL's server programs, to run as a user that it accepts: it refuses root.
pub fn command(program: &str) -> Command {
    as_server(process::program(bindir().join(program), "PostgreSQL"))
}

/// A program that refuses to be run by root, as another user.
pub fn as_server(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    if let Some(user) = server_user() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    // Its log is read by tests, so it has to be in English.
    command.current_dir("/").env("LC_ALL", "C.UTF-8");
    command
}

/// Makes the server's user the owner of a file or folder.
pub fn give_to_server(path: &Path) {
    if let Some(user) = server_user() {
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("root may");
    }
}

pub fn server_user() -> Option<&'static User> {
    static USER: OnceLock<Option<User>> = OnceLock::new();
    let find = || User::from_name("postgres").expect("the user database");
    USER.get_or_init(|| {
        Uid::effective()
            .is_root()
            .then(|| find().expect("PostgreSQL does not run as root: a user `postgres` is needed"))
    })
    .as_ref()
}

/// `$PG_BINDIR`, or the newest version that Debian's packages have installed.
fn bindir() -> PathBuf {
    if let Some(folder) = env::var_os("PG_BINDIR") {
        return folder.into();
    }
    fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| version.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .map(|version| format!("/usr/lib/postgresql/{version}/bin").into())
        .expect("no PostgreSQL server in /usr/lib/postgresql: install it, or set PG_BINDIR")
}
