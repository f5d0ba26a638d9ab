//! The source archive and the crate are complete, and hold no file that does not belong there.

use std::path::Path;
use std::process::Command;

use super::{SOURCES, command};
use crate::support::process::{self, output};

/// A release build would take minutes; `cargo check` finds a missing source file sooner.
#[test]
fn the_source_archive_is_complete() {
    let made = output(command("make").args(["--silent", "dist"]));
    let archive = Path::new(SOURCES).join(made.trim());
    let folder = process::folder();
    process::run(Command::new("tar").arg("-xzf").arg(archive).current_dir(folder.path()));
    let name = concat!("resty-session-postgres-", env!("CARGO_PKG_VERSION"));
    let sources = folder.path().join(name);
    for file in ["Makefile", "README.md", "debian/rules", "sql/schema.sql"] {
        assert!(sources.join(file).exists(), "{file}");
    }
    process::run(
        command("cargo")
            .args(["check", "--quiet", "--locked", "--all-targets"])
            .args(["--features", "lua", "--target-dir"])
            .arg(Path::new(SOURCES).join("target"))
            .current_dir(&sources),
    );
    // The rock is made from the same archive.
    let rockspec = format!("{name}-1.rockspec");
    assert!(sources.join(rockspec).exists());
}

/// `cargo package` would compile the crate as well; here only the list of its files matters.
#[test]
fn the_crate_holds_what_it_is_built_from() {
    let list = output(command("cargo").args(["package", "--list", "--allow-dirty", "--locked"]));
    let files: Vec<_> = list.lines().collect();
    for file in [
        "Cargo.lock",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "Makefile",
        "README.md",
        "build.rs",
        "include/resty_session_postgres.h",
        "lua/resty/session/postgres.lua",
        "sql/schema.sql",
        "src/lua/instance.lua",
        "tests/main.rs",
    ] {
        assert!(files.contains(&file), "{file} is missing");
    }
    for folder in [".ci/", ".github/", "debian/", "fuzz/", "target/"] {
        let found = files.iter().find(|file| file.starts_with(folder));
        assert_eq!(found, None);
    }
}
