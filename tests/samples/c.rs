//! C: a whole program is compiled as it stands; another sample becomes the body of one.

use std::fs;
use std::process::Command;

use super::{ROOT, Sample, of};
use crate::capi::Installed;
use crate::support::{Database, process};

#[test]
fn the_c_samples_run() {
    for sample in of("c") {
        run(&sample);
    }
}

fn program(sample: &Sample) -> String {
    let text = &sample.text;
    if text.contains("int main(") {
        return text.clone();
    }
    let given = fs::read_to_string(format!("{ROOT}/tests/samples/given.h")).expect("given.h");
    format!(
        "{given}\nint main(void) {{\nrsp_storage *storage = open_storage();\n{text}\n\
         rsp_storage_free(storage);\nreturn 0;\n}}\n"
    )
}

fn run(sample: &Sample) {
    let folder = process::folder();
    let source = folder.path().join("sample.c");
    fs::write(&source, program(sample)).expect("room");
    let database = Database::new();
    let installed = Installed::shared();
    let built = folder.path().join("sample");
    process::run(
        Command::new("cc")
            .args(["-Wall", "-Wextra", "-Werror", "-Wno-unused"])
            .arg(&source)
            .arg("-o")
            .arg(&built)
            .args(installed.flags()),
    );
    let output = database.environment(&mut installed.command(&built)).output();
    let output = output.expect("a program");
    let errors = String::from_utf8_lossy(&output.stderr);
    // A sample writes a failure to stderr and goes on.
    let done = output.status.success() && errors.is_empty();
    assert!(done, "{}: {errors}", sample.place);
}
