//! The Debian packages, installed by dpkg below a folder that takes the place of the root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::{SOURCES, assert_works_in_nginx, command, command_line};
use crate::support::process::{self, output};
use crate::support::{Database, stage};

fn packages() -> Vec<PathBuf> {
    process::run(command("make").args(["--silent", "deb"]));
    let files = fs::read_dir(format!("{SOURCES}/target/deb")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

fn install(packages: &[PathBuf], root: &Path) {
    let state = root.join("var/lib/dpkg");
    fs::create_dir_all(state.join("updates")).unwrap();
    fs::create_dir_all(state.join("info")).unwrap();
    fs::write(state.join("status"), "").unwrap();
    process::run(
        Command::new("dpkg")
            .arg(format!("--root={}", root.display()))
            // Their dependencies are in the real root, and the tests may not run as root.
            .args(["--force-depends", "--force-not-root", "--force-bad-path"])
            .arg("--install")
            .args(packages),
    );
}

#[test]
fn the_packages_work_where_dpkg_has_put_them() {
    let packages = packages();
    assert_eq!(packages.len(), 4, "{packages:?}");
    for package in &packages {
        let mut needs = Command::new("dpkg-deb");
        let needs = output(needs.arg("-f").arg(package).arg("Depends"));
        let complete = needs.contains("libssl3") || needs.contains("libresty");
        assert!(complete, "{needs}");
    }
    let root = process::folder();
    install(&packages, root.path());
    let usr = root.path().join("usr");
    let library = usr.join(format!("lib/{}-linux-gnu", env::consts::ARCH));
    assert_works_in_nginx(&usr.join("share/lua/5.1"), &library.join("lua/5.1"));
    assert!(usr.join("share/resty-session-postgres/schema.sql").exists());
    let soname = format!("libresty_session_postgres.so.{}", stage::so_version());
    assert!(library.join(soname).exists());
    assert_works_in_c(root.path(), &library);
    assert_commands_work(&usr.join("bin/resty-session-postgres"));
    command_line::assert_complete(&usr.join("share"), "zsh/vendor-completions");
}

fn assert_commands_work(program: &Path) {
    let database = Database::new();
    let mut count = Command::new(program);
    count.args(["count", "--dsn", &database.dsn()]);
    assert_eq!(output(&mut count), "0\n");
}

fn assert_works_in_c(root: &Path, library: &Path) {
    let program = root.join("program");
    let build = format!(
        "cc -o {} {SOURCES}/examples/c/blocking.c \
         $(pkg-config --cflags --libs resty-session-postgres)",
        program.display()
    );
    process::run(
        command("sh")
            .args(["-c", &build])
            .env("PKG_CONFIG_PATH", library.join("pkgconfig"))
            .env("PKG_CONFIG_SYSROOT_DIR", root),
    );
    let mut program = Command::new(&program);
    let database = Database::new();
    program.arg(database.dsn());
    let said = output(program.env("LD_LIBRARY_PATH", library));
    assert!(said.contains("found: {\"visits\":1}"), "{said}");
}
