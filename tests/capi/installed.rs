//! An installation in a separate folder, made by `make install`, as a C compiler sees it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::support::{self, process, stage};

/// Another prefix than the stage has: no file may contain the prefix of the build.
const PREFIX: &str = "/opt/sessions";

pub struct Installed(TempDir);

impl Installed {
    /// The installation that all tests share.
    pub fn shared() -> &'static Installed {
        static SHARED: OnceLock<&Installed> = OnceLock::new();
        SHARED
            .get_or_init(|| process::keep_until_exit(Installed::new(), |it| process::remove(&it.0)))
    }

    fn new() -> Self {
        let folder = process::folder();
        let variable = |name: &str, value: &str| format!("{name}={value}");
        process::run(
            Command::new("make")
                .args(["-C", env!("CARGO_MANIFEST_DIR"), "--silent", "install"])
                .arg(variable("DESTDIR", &folder.path().display().to_string()))
                .arg(variable("PREFIX", PREFIX))
                // These come from the Makefile that may have started the tests.
                .env_remove("MAKEFLAGS")
                .env_remove("MAKELEVEL"),
        );
        Installed(folder)
    }

    /// The folder that takes the place of the file system's root.
    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.root().join(&PREFIX[1..]).join(name)
    }

    /// A command that finds the installation, and no file of the source tree.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.root())
            .env("LD_LIBRARY_PATH", self.folder("lib"))
            .env("PKG_CONFIG_PATH", self.folder("lib/pkgconfig"))
            .env("PKG_CONFIG_SYSROOT_DIR", self.root());
        command
    }

    /// What pkg-config tells the compiler.
    pub fn flags(&self) -> Vec<String> {
        self.pkg_config(&["--cflags", "--libs"])
    }

    pub fn pkg_config(&self, arguments: &[&str]) -> Vec<String> {
        let mut command = self.command("pkg-config");
        command.args(arguments).arg("resty-session-postgres");
        let output = command.output().expect("pkg-config");
        assert!(output.status.success(), "{output:?}");
        let flags = String::from_utf8(output.stdout).expect("flags");
        flags.split_whitespace().map(str::to_owned).collect()
    }
}

/// A database of the shared cluster.
pub struct Database(String);

impl Database {
    pub fn new() -> Self {
        Database(support::shared().create_database())
    }

    /// The arguments of the programs of this folder: host, port, database.
    pub fn arguments(&self) -> [String; 3] {
        let port = support::shared().port().to_string();
        ["127.0.0.1".into(), port, self.0.clone()]
    }

    /// The examples' argument.
    pub fn dsn(&self) -> String {
        let [host, port, database] = self.arguments();
        format!("host={host} port={port} dbname={database} user=postgres")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            support::shared().drop_database(&self.0);
        }
    }
}

/// The links lead to the file with the version in its name, and the library has its soname.
#[test]
fn the_library_has_its_links_and_its_soname() {
    let library = |suffix: &str| {
        let name = format!("libresty_session_postgres.so{suffix}");
        Installed::shared().folder("lib").join(name)
    };
    let version = env!("CARGO_PKG_VERSION");
    let so_version = stage::so_version();
    let real = library(&format!(".{version}"));
    assert!(!real.is_symlink() && real.is_file());
    for link in ["".to_owned(), format!(".{so_version}")] {
        assert!(library(&link).is_symlink(), "{link}");
        assert_eq!(
            library(&link).canonicalize().unwrap(),
            real.canonicalize().unwrap()
        );
    }
    let dynamic = Command::new("readelf")
        .arg("-d")
        .arg(real)
        .output()
        .unwrap();
    let dynamic = String::from_utf8(dynamic.stdout).unwrap();
    let soname = format!("Library soname: [libresty_session_postgres.so.{so_version}]");
    assert!(dynamic.contains(&soname), "{dynamic}");
}

#[test]
fn pkg_config_knows_the_version_and_what_a_static_link_needs() {
    let installed = Installed::shared();
    let version = installed.pkg_config(&["--modversion"]);
    assert_eq!(version, [env!("CARGO_PKG_VERSION")]);
    let flags = installed.flags();
    assert!(
        flags.contains(&"-lresty_session_postgres".into()),
        "{flags:?}"
    );
    assert!(!flags.contains(&"-lssl".into()), "{flags:?}");
    let flags = installed.pkg_config(&["--libs", "--static"]);
    assert!(flags.contains(&"-lssl".into()), "{flags:?}");
}

#[test]
fn make_uninstall_leaves_no_file() {
    let installed = Installed::new();
    process::run(
        Command::new("make")
            .args(["-C", env!("CARGO_MANIFEST_DIR"), "--silent", "uninstall"])
            .arg(format!("DESTDIR={}", installed.root().display()))
            .arg(format!("PREFIX={PREFIX}"))
            .env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL"),
    );
    let left = Command::new("find")
        .arg(installed.root())
        .args(["(", "-type", "f", "-o", "-type", "l", ")"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(left.stdout).unwrap(), "");
}
