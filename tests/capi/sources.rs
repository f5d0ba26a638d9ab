//! What the sources of the C interface promise as a whole.

use std::fs;
use std::path::Path;

/// The extern functions with their documentation and their bodies, each as the lines of the file from
/// the first line of one's documentation to the closing brace.
fn functions() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/capi");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut parts = text.split("#[unsafe(no_mangle)]\n");
        let mut before = parts.next().unwrap();
        for part in parts {
            let name = part.split_once("extern \"C\" fn ").unwrap().1;
            let name = name.split_once('(').unwrap().0.to_owned();
            let end = part.find("\n}\n").expect("the function's end");
            let lines: Vec<_> = before.lines().rev().collect();
            let docs = lines.iter().take_while(|line| line.starts_with("///"));
            let docs: Vec<_> = docs.copied().collect();
            found.push((
                name,
                docs.into_iter().rev().collect::<Vec<_>>().join("\n") + "\n" + &part[..end],
            ));
            before = &part[end..];
        }
    }
    found
}

#[test]
fn every_function_is_guarded_and_has_the_conventions() {
    let functions = functions();
    assert!(functions.len() > 40, "{}", functions.len());
    for (name, text) in functions {
        assert!(name.starts_with("rsp_"), "{name}");
        let is_guarded = ["    guard(", "    guard_status("].map(|call| text.contains(call));
        assert!(is_guarded.contains(&true), "{name} is not guarded");
        let (docs, code) = text.split_once("\npub ").expect("docs and code");
        let is_unsafe = code.starts_with("unsafe ");
        assert_eq!(is_unsafe, docs.contains("# Safety"), "{name}");
        // All functions report errors in the same form.
        let (parameters, rest) = code.split_once("{\n").expect("a body");
        let last = "    message: *mut c_char,\n    message_size: usize,\n) -> rsp_status ";
        let has_status = parameters.contains("-> rsp_status");
        assert_eq!(has_status, parameters.ends_with(last), "{name}");
        assert_eq!(has_status, rest.contains("guard_status("), "{name}");
        // The header is C: nothing of rustdoc's is in it.
        let is_plain = !docs.contains(['[', '`', '\\']);
        assert!(is_plain || is_unsafe && !has_status, "{name}");
    }
}
