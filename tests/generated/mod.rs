//! The files that are generated from the sources are up to date: the C header and its declarations for FFI,
//! the tables of configuration keys, and the reference of the operations. `make generate` (which sets RSP_GENERATE)
//! writes them instead of comparing.

mod keys;
mod operations;

use std::path::{Path, PathBuf};

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn compare(file: &str, generated: &str) {
    if std::env::var_os("RSP_GENERATE").is_some() {
        std::fs::write(path(file), generated).unwrap();
        return;
    }
    assert!(read(file) == generated, "{file} is out of date: run `make generate`");
}

/// Compares the part of a file between two lines.
fn between(file: &str, (begin, end): (&str, &str), generated: &str) {
    let page = read(file);
    let (before, rest) = page.split_once(begin).expect("the line before the part");
    let (_, after) = rest.split_once(end).expect("the line after the part");
    compare(file, &format!("{before}{begin}{generated}{end}{after}"));
}

/// A text as lines of a Lua comment, at most 100 characters each.
fn wrap(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::from("--"));
    for word in text.split(' ') {
        if line.len() + word.len() > 98 {
            lines += &line;
            lines += "\n";
            line = String::from("--  ");
        }
        line += " ";
        line += word;
    }
    lines + &line + "\n"
}

/// What cbindgen cannot make: the crate's version for the C compiler, and a length.
fn macros() -> String {
    let numbers = [
        ("MAJOR", env!("CARGO_PKG_VERSION_MAJOR")),
        ("MINOR", env!("CARGO_PKG_VERSION_MINOR")),
        ("PATCH", env!("CARGO_PKG_VERSION_PATCH")),
    ];
    let mut macros =
        String::from("\n// The version of this header; rsp_version() is the library's.\n");
    for (name, number) in numbers {
        macros += &format!("#define RSP_VERSION_{name} {number}\n");
    }
    macros
        + &format!(
            "#define RSP_VERSION_STRING \"{}\"\n\n\
             // In the place of a text's length: the text ends in NUL.\n\
             #define RSP_NUL_TERMINATED ((size_t)-1)",
            env!("CARGO_PKG_VERSION")
        )
}

/// Without the sections that are for Rust: they refer to the conventions, which the header begins with.
fn without_safety(header: &str) -> String {
    let mut kept = String::new();
    let mut rest = header;
    while let Some((before, section)) = rest.split_once("//\n// # Safety\n") {
        kept += before;
        rest = section.trim_start_matches(|c| c != '\n');
        while rest.starts_with("\n//") {
            rest = rest[1..].trim_start_matches(|c| c != '\n');
        }
        rest = &rest[1..];
    }
    kept + rest
}

#[test]
fn the_header_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    config.after_includes = Some(macros());
    let mut header = Vec::new();
    cbindgen::generate_with_config(root, config).unwrap().write(&mut header);
    let header = without_safety(&String::from_utf8(header).unwrap());
    assert!(header.contains("rsp_version(void)"), "{header}");
    compare("include/resty_session_postgres.h", &header);
    compare("include/resty_session_postgres.cdef", &declarations(&header));
}

/// The declarations of the header for readers of C that have no preprocessor: neither its lines nor what
/// is for C++ or for C23, and no comments.
fn declarations(header: &str) -> String {
    let mut kept = format!(
        "/* The declarations of resty_session_postgres.h {}, for FFI without a preprocessor. The header has\n   \
         the comments. RSP_NUL_TERMINATED is (size_t)-1. */\n",
        env!("CARGO_PKG_VERSION")
    );
    // Of each #if that a line is in: whether a C99 compiler reads the line.
    let mut reads: Vec<bool> = Vec::new();
    let (_, code) = header.split_once("*/\n").expect("the conventions");
    for line in code.lines() {
        let line = line.trim_end();
        match line.split_whitespace().next() {
            Some("#ifndef") => reads.push(true),
            Some("#ifdef" | "#if") => reads.push(false),
            Some("#else") => reads.iter_mut().last().into_iter().for_each(|last| *last = !*last),
            Some("#endif") => drop(reads.pop()),
            Some(word) if word.starts_with('#') || word.starts_with("//") => (),
            None => (),
            Some(_) if reads.contains(&false) => (),
            Some(_) => {
                kept += line;
                kept += "\n";
            }
        }
    }
    kept
}
