//! The examples for C, LuaJIT's FFI and Python's ctypes, built and run as their first comments say.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::installed::Installed;
use crate::support::{Database, process};

fn example(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("examples").join(name).display().to_string()
}

/// The output of a program that has to succeed.
fn output(command: &mut Command) -> String {
    let output = command.output().expect("a program");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}{errors}");
    assert_eq!(errors, "", "{command:?}");
    text
}

/// Builds an example by its documented command, in a folder that goes with the result.
fn build(name: &str) -> (TempDir, PathBuf) {
    let built = process::folder();
    let program = built.path().join("program");
    let build = format!(
        "cc -o {} {} $(pkg-config --cflags --libs resty-session-postgres)",
        program.display(),
        example(name),
    );
    process::run(Installed::shared().command("sh").args(["-c", &build]));
    (built, program)
}

fn build_and_run(name: &str) -> String {
    let (_built, program) = build(name);
    let database = Database::new();
    output(Installed::shared().command(program).arg(database.dsn()))
}

fn assert_all_done(said: &str) {
    let lines = ["saved", "found: {\"visits\":1}", "1 session", "deleted", "gone"];
    for line in lines {
        assert!(said.contains(line), "no {line:?} in: {said}");
    }
}

#[test]
fn the_blocking_example_saves_reads_lists_and_deletes() {
    let said = build_and_run("c/blocking.c");
    assert_all_done(&said);
}

/// Its main thread has run statements itself, and is the one that runs the exit handlers.
#[test]
fn a_program_that_has_blocked_ends_quietly_each_time() {
    let (_built, program) = build("c/blocking.c");
    let database = Database::new();
    for _ in 0..30 {
        output(Installed::shared().command(&program).arg(database.dsn()));
    }
}

#[test]
fn the_epoll_example_keeps_1000_operations_in_flight_on_one_thread() {
    let said = build_and_run("c/epoll.c");
    assert!(said.contains("1000 in flight at most"), "{said}");
    assert!(said.contains("10000 operations"), "{said}");
}

/// The archive of the same installation, without the shared library.
#[test]
fn the_static_library_makes_a_program_that_needs_no_shared_one() {
    let installed = Installed::shared();
    let built = process::folder();
    let program = built.path().join("program");
    let archive = installed.folder("lib").join("libresty_session_postgres.a");
    let libraries = installed.pkg_config(&["--libs-only-l", "--static"]);
    let libraries = libraries.iter();
    process::run(
        installed
            .command("cc")
            .arg("-o")
            .arg(&program)
            .arg(example("c/blocking.c"))
            .arg(format!("-I{}", installed.folder("include").display()))
            .arg(archive)
            .args(libraries.filter(|flag| *flag != "-lresty_session_postgres")),
    );
    let mut command = Command::new(&program);
    let said = output(command.arg(Database::new().dsn()));
    assert!(said.contains("found: {\"visits\":1}"), "{said}");
    let needed = output(Command::new("readelf").arg("-d").arg(program));
    assert!(!needed.contains("resty_session_postgres"), "{needed}");
}

#[test]
fn the_ffi_example_saves_reads_lists_and_deletes() {
    let installed = Installed::shared();
    let declarations = installed.folder("include/resty_session_postgres.cdef");
    let said = output(
        installed
            .command(process::program("/usr/bin/luajit", "luajit"))
            .arg(example("ffi/sessions.lua"))
            .arg(declarations)
            .arg(Database::new().dsn()),
    );
    assert_all_done(&said);
}

#[test]
fn the_ctypes_example_saves_reads_lists_and_deletes() {
    let said = output(
        Installed::shared()
            .command(process::program("/usr/bin/python3", "python3"))
            .arg(example("ffi/sessions.py"))
            .arg(Database::new().dsn()),
    );
    assert_all_done(&said);
}
