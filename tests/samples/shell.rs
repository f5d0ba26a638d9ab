//! Commands of the shell. Those that build, test or install for minutes are not run again from here:
//! of `make` the target and its variables have to be there. The others are run.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{ROOT, Sample, filled_in, is_not_run, of};
use crate::capi::Installed;
use crate::support::{Database, process};

#[test]
fn the_shell_samples_run() {
    for sample in of("sh") {
        // A line that ends in a backslash goes on.
        for line in sample.text.replace("\\\n", " ").lines() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            let known = line.is_empty() || line.starts_with('#') || is_not_run(line);
            if !known {
                run(&sample, line);
            }
        }
    }
}

fn run(sample: &Sample, line: &str) {
    let words = words(line);
    let mut words = words.lines().filter(|word| *word != "sudo");
    match words.next() {
        Some("make") => words.for_each(|word| assert_make_knows(sample, word)),
        Some("cc" | "psql" | "source") => run_in_shell(line),
        Some(script) if script.starts_with("scripts/") || script.starts_with("bench/") => {
            let there = Path::new(ROOT).join(script).exists();
            assert!(there, "{}: no {script}", sample.place);
        }
        other => panic!("{}: how is {other:?} run?", sample.place),
    }
}

/// A line each, as the shell sees them.
fn words(line: &str) -> String {
    let print = format!("printf '%s\\n' {}", line.replace(['$', '(', ')'], "_"));
    let output = Command::new("bash").args(["-c", &print]).output();
    String::from_utf8(output.expect("bash").stdout).expect("text")
}

/// A target, or an assignment to a variable that something reads.
fn assert_make_knows(sample: &Sample, word: &str) {
    let makefile = fs::read_to_string(format!("{ROOT}/Makefile")).unwrap();
    let known = match word.split_once('=') {
        Some((variable, _)) => {
            let mut read = Command::new("grep");
            read.args(["-rqwF", variable, "Makefile", "scripts", "bench", "tests"]);
            read.current_dir(ROOT).status().unwrap().success()
        }
        None => makefile.lines().any(|line| {
            line.split_once(':')
                .is_some_and(|(targets, _)| targets.split_whitespace().any(|name| name == word))
        }),
    };
    assert!(known, "{}: make knows no {word}", sample.place);
}

/// In a folder with a program, where pkg-config and psql find what the tests have.
fn run_in_shell(line: &str) {
    let folder = process::folder();
    let program = format!("{ROOT}/examples/c/blocking.c");
    fs::copy(program, folder.path().join("program.c")).expect("an example");
    let database = Database::new();
    let mut shell = Installed::shared().command("bash");
    shell.args(["-c", &filled_in(line, &database.name)]).current_dir(folder.path());
    process::run(database.environment(&mut shell));
}
