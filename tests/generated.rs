//! What is made of the sources and committed all the same is what would be made of them now: the C
//! header, and the README's table of configuration keys. `make generate` (which sets RSP_GENERATE)
//! writes instead of comparing.

use std::path::{Path, PathBuf};

use resty_session_postgres::config::keys::KEYS;

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn compare(file: &str, generated: &str) {
    if std::env::var_os("RSP_GENERATE").is_some() {
        std::fs::write(path(file), generated).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(path(file)).unwrap();
    assert!(
        committed == generated,
        "{file} is out of date: run `make generate`"
    );
}

/// The crate's version for the C compiler.
fn version_macros() -> String {
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
            "#define RSP_VERSION_STRING \"{}\"",
            env!("CARGO_PKG_VERSION")
        )
}

#[test]
fn the_header_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    config.after_includes = Some(version_macros());
    let mut header = Vec::new();
    cbindgen::generate_with_config(root, config)
        .unwrap()
        .write(&mut header);
    let header = String::from_utf8(header).unwrap();
    assert!(header.contains("rsp_version(void)"), "{header}");
    compare("include/resty_session_postgres.h", &header);
}

#[test]
fn the_readme_lists_every_configuration_key() {
    let (begin, end) = ("<!-- keys -->\n", "<!-- /keys -->\n");
    let readme = std::fs::read_to_string(path("README.md")).unwrap();
    let (before, rest) = readme.split_once(begin).expect("the table's begin");
    let (_, after) = rest.split_once(end).expect("the table's end");
    let mut table = String::from("| key | default | meaning |\n|---|---|---|\n");
    for key in KEYS {
        let alias = key
            .alias
            .map(|alias| format!(" (`{alias}`)"))
            .unwrap_or_default();
        table += &format!(
            "| `{}`{alias} | {} | {} |\n",
            key.name, key.default, key.doc
        );
    }
    compare("README.md", &format!("{before}{begin}{table}{end}{after}"));
}
