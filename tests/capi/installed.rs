//! An installation in a separate folder, made by `make install`, as a C compiler sees it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::support::{process, stage};

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
        let installed = Installed(process::folder());
        installed.make("install");
        installed
    }

    fn make(&self, target: &str) {
        self.make_with(Command::new("make"), target);
    }

    fn make_with(&self, mut make: Command, target: &str) {
        let folder = self.root().display();
        process::run(
            make.args(["-C", env!("CARGO_MANIFEST_DIR"), "--silent", target])
                .args([format!("DESTDIR={folder}"), format!("PREFIX={PREFIX}")])
                // These come from the Makefile that may have started the tests.
                .env_remove("MAKEFLAGS")
                .env_remove("MAKELEVEL"),
        );
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
        let flags = process::output(&mut command);
        flags.split_whitespace().map(str::to_owned).collect()
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
        let target = library(&link).canonicalize().unwrap();
        assert_eq!(target, real.canonicalize().unwrap());
    }
    let dynamic = process::output(Command::new("readelf").arg("-d").arg(real));
    let soname = format!("Library soname: [libresty_session_postgres.so.{so_version}]");
    assert!(dynamic.contains(&soname), "{dynamic}");
}

#[test]
fn pkg_config_knows_the_version_and_what_a_static_link_needs() {
    let installed = Installed::shared();
    let version = installed.pkg_config(&["--modversion"]);
    assert_eq!(version, [env!("CARGO_PKG_VERSION")]);
    let flags = installed.flags();
    let has = |flags: &[String], flag: &str| flags.iter().any(|given| given == flag);
    assert!(has(&flags, "-lresty_session_postgres"), "{flags:?}");
    assert!(!has(&flags, "-lssl"), "{flags:?}");
    let flags = installed.pkg_config(&["--libs", "--static"]);
    assert!(has(&flags, "-lssl"), "{flags:?}");
}

/// Root's umask may keep others out, but nginx's workers run as another user.
#[test]
fn others_may_read_what_is_installed_whatever_the_umask_is() {
    let installed = Installed(process::folder());
    let mut make = Command::new("sh");
    make.args(["-c", "umask 077 && exec make \"$@\"", "make"]);
    installed.make_with(make, "install");
    let mut closed = Command::new("find");
    closed.arg(installed.root()).args(["-mindepth", "1", "!", "-perm", "-o=r"]);
    assert_eq!(process::output(&mut closed), "");
}

#[test]
fn make_uninstall_leaves_no_file() {
    let installed = Installed::new();
    installed.make("uninstall");
    let mut left = Command::new("find");
    left.arg(installed.root()).args(["(", "-type", "f", "-o", "-type", "l", ")"]);
    assert_eq!(process::output(&mut left), "");
}
