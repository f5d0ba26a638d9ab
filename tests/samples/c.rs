//! C: a sample that is no whole program becomes the body of one.

use std::fs;
use std::process::Command;

use super::{ROOT, Sample, of};
use crate::capi::Installed;
use crate::support::{self, process};

#[test]
fn the_c_samples_run() {
    for sample in of("c") {
        run(&sample);
    }
}

/// What a sample takes for granted. The default configuration leads to no server here, so
/// `rsp_storage_new` gets one that does.
fn program(sample: &Sample) -> String {
    let given = fs::read_to_string(format!("{ROOT}/tests/samples/given.h")).expect("given.h");
    format!(
        "{given}\nint main(void) {{\n{}\nreturn 0;\n}}\n",
        sample.text
    )
}

fn run(sample: &Sample) {
    let folder = process::folder();
    let source = folder.path().join("sample.c");
    fs::write(&source, program(sample)).expect("room");
    let database = support::shared().create_database();
    let installed = Installed::shared();
    let built = folder.path().join("sample");
    process::run(
        Command::new("cc")
            .args(["-Wall", "-Wextra", "-Werror", "-Wno-unused"])
            .arg(format!("-DPORT=\"{}\"", support::shared().port()))
            .arg(format!("-DDATABASE=\"{database}\""))
            .arg(&source)
            .arg("-o")
            .arg(&built)
            .args(installed.flags()),
    );
    let output = installed.command(&built).output().expect("a program");
    let errors = String::from_utf8_lossy(&output.stderr);
    // A sample says on stderr what went wrong, and goes on.
    assert!(
        output.status.success() && errors.is_empty(),
        "{}: {errors}",
        sample.place
    );
    support::shared().drop_database(&database);
}
