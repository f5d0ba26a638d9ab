//! The C interface from C: the programs of this folder, compiled as C99 and as C++11 against an
//! installation, run under valgrind. Then the examples, as a reader would build them.

mod examples;
mod installed;
mod sources;

use crate::support::{self, Database, process};
pub use installed::Installed;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// No invalid access and no lost memory. What the library keeps until the exit (pools, OpenSSL's tables)
/// is still reachable.
const VALGRIND: &[&str] = &[
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    "--show-leak-kinds=definite",
    "--errors-for-leak-kinds=definite",
    "--num-callers=30",
    "--child-silent-after-fork=yes",
    // A thread that spins while another one works would keep it from working for long.
    "--fair-sched=yes",
];

const AS_C: (&str, &[&str]) = ("cc", &["-std=c99", "-x", "c"]);
const AS_CXX: (&str, &[&str]) = ("c++", &["-std=c++11", "-x", "c++"]);

fn source(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/capi").join(name)
}

/// Compiles one of the tests and runs it under valgrind, with the address of a fresh database.
fn run(language: (&str, &[&str]), name: &str) {
    let (_built, program) = build(language, name);
    let database = Database::new();
    process::run(
        Installed::shared()
            .command("timeout")
            // A program that hangs is a failure, and not the end of the tests.
            .args(["--kill-after=5", "300"])
            .arg(process::program("/usr/bin/valgrind", "valgrind"))
            .args(VALGRIND)
            .arg(program)
            .args(database.address())
            .env("PGPASSWORD", support::password()),
    );
}

/// Compiles one of the tests, in a folder that goes with the result.
fn build((compiler, language): (&str, &[&str]), name: &str) -> (TempDir, PathBuf) {
    let built = process::folder();
    let program = built.path().join(name);
    let installed = Installed::shared();
    process::run(
        Command::new(compiler)
            .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-g"])
            .arg("-D_POSIX_C_SOURCE=200809L")
            .args(language)
            .arg(source(&format!("{name}.c")))
            .args(["-x", "none", "-pthread", "-o"])
            .arg(&program)
            .args(installed.flags()),
    );
    (built, program)
}

/// Not under valgrind: what a child leaves behind of its parent's is meant to be lost. Where things lie
/// in memory is chance, so it takes some tries.
#[test]
fn children_of_a_fork_have_storages_of_their_own() {
    let (_built, program) = build(AS_C, "forks");
    for _ in 0..6 {
        let mut command = Installed::shared().command("timeout");
        command.args(["--kill-after=5", "60"]).arg(&program);
        process::run(command.args(["127.0.0.1", "1", "nowhere"]));
    }
}

/// Not under valgrind, whose copies of the memory are in the process, too.
#[test]
fn a_password_that_was_replaced_is_wiped() {
    let (_built, program) = build(AS_C, "secrets");
    let mut command = Installed::shared().command("timeout");
    command.args(["--kill-after=5", "60"]).arg(&program);
    process::run(command.args(["127.0.0.1", "1", "nowhere"]));
}

/// A test for each program and language.
macro_rules! programs {
    ($($program:ident)*) => {
        mod c99 {
            $(#[test] fn $program() { super::run(super::AS_C, stringify!($program)); })*
        }
        mod cxx11 {
            $(#[test] fn $program() { super::run(super::AS_CXX, stringify!($program)); })*
        }
    };
}

programs! { config operations queue free_order threads log slow_log unused }
