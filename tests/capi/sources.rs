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
fn every_function_is_guarded_and_says_what_it_asks() {
    let functions = functions();
    assert!(functions.len() > 30, "{}", functions.len());
    for (name, text) in functions {
        assert!(name.starts_with("rsp_"), "{name}");
        assert!(
            text.contains("    guard(") || text.contains("    guard_status("),
            "{name} is not guarded"
        );
        let (docs, code) = text.split_once("\npub ").expect("docs and code");
        for section in ["# Arguments", "thread"] {
            let takes_nothing = code.contains(&format!("fn {name}()"));
            assert!(
                docs.contains(section) || takes_nothing && section == "# Arguments",
                "{name} lacks {section}"
            );
        }
        let answers_with_a_status = code.contains("-> rsp_status {");
        assert_eq!(answers_with_a_status, docs.contains("# Errors"), "{name}");
        let is_unsafe = code.starts_with("unsafe ");
        assert_eq!(is_unsafe, docs.contains("# Safety"), "{name}");
        // What frees takes NULL as nothing.
        if name.ends_with("_free") {
            assert!(docs.contains("May be NULL: then nothing happens"), "{name}");
        }
    }
}
