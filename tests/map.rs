//! The map of the code: the files that the documents name are there, and the folders of `src` know
//! each other as the table in CONTRIBUTING.md says.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below a folder whose names end so.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found
}

/// A file's name without its ending.
fn stem(path: &Path) -> String {
    let name = path.file_stem().expect("a name");
    name.to_string_lossy().into_owned()
}

/// What stands between backticks in a text, outside of its samples.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2))
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let root = Path::new(ROOT);
    let mut documents = files(&root.join("docs"), ".md");
    let others = ["README.md", "CONTRIBUTING.md", "bench/README.md"];
    documents.extend(others.map(|name| root.join(name)));
    let folders = "src/ tests/ lua/ docs/ bench/ scripts/ include/ sql/ examples/";
    let mut seen = 0;
    for document in documents {
        let text = read(&document);
        for name in quoted(&text) {
            let is_path = folders.split(' ').any(|folder| name.starts_with(folder));
            if is_path && !name.contains(['*', '<', ' ', '…']) {
                let there = root.join(name).exists();
                assert!(there, "{} names {name}", document.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "only {seen} are named");
}

/// The top of `src` that a path inside the crate begins with.
fn top_of<'a>(order: &'a [String], path: &str) -> Option<&'a String> {
    let name = match path {
        "Storage" => "storage",
        "Config" => "config",
        "CompletionQueue" | "Ticket" => "completion",
        "Epoch" | "Answer" | "Outcome" => "op",
        other => other,
    };
    order.iter().find(|top| *top == name)
}

/// The names that follow each `crate::`, or each other such root, of a source, without its comments and
/// tests.
fn imported(source: &str, root: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests").next();
    let lines = source.unwrap_or_default().lines();
    let code: Vec<_> = lines.filter(|line| !line.trim_start().starts_with("//")).collect();
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let first = |path: &str| {
        let end = path.find(|c| !is_name(c)).unwrap_or(path.len());
        path[..end].to_owned()
    };
    let mut names = Vec::new();
    for rest in code.join("\n").split(root).skip(1) {
        match rest.strip_prefix('{').and_then(|list| list.split_once('}')) {
            Some((list, _)) => names.extend(list.split(',').map(|path| first(path.trim()))),
            None => names.push(first(rest)),
        }
    }
    names
}

#[test]
fn each_folder_of_the_sources_imports_only_those_below_it() {
    let root = Path::new(ROOT);
    let map = read(&root.join("CONTRIBUTING.md"));
    let rows = map.lines().filter_map(|line| line.strip_prefix("| "));
    let firsts = rows.filter_map(|row| row.split('|').next());
    let order: Vec<String> = firsts
        .flat_map(quoted)
        .filter_map(|name| name.strip_prefix("src/"))
        .map(|name| name.trim_end_matches(".rs").trim_end_matches('/').to_owned())
        .collect();
    let mut looked_at = 0;
    for entry in fs::read_dir(root.join("src")).expect("the sources") {
        let path = entry.expect("an entry").path();
        let name = stem(&path);
        if ["lib", "error"].contains(&&*name) {
            continue;
        }
        let own = order.iter().position(|top| *top == name);
        let own = own.unwrap_or_else(|| panic!("src/{name} is not on the map"));
        let sources = if path.is_dir() { files(&path, ".rs") } else { vec![path] };
        for source in sources.iter().filter(|path| !path.ends_with("tests.rs")) {
            for import in imported(&read(source), "crate::") {
                let Some(top) = top_of(&order, &import) else {
                    continue;
                };
                let place = order.iter().position(|other| other == top);
                let is_below = place.is_some_and(|place| place >= own);
                let source = source.display();
                assert!(is_below, "{source} imports {import}, which is above it");
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 100, "only {looked_at} imports were found");
}

/// The files of a folder that import each other, directly or through others. A `mod.rs` is left out: it
/// declares its children, and they may use what it declares.
#[test]
fn no_two_files_of_a_folder_import_each_other() {
    let mut looked_at = 0;
    for parent in files(&Path::new(ROOT).join("src"), "/mod.rs") {
        let folder = parent.parent().expect("a folder");
        let entries = fs::read_dir(folder).expect("a folder");
        let names = entries.map(|entry| stem(&entry.expect("an entry").path()));
        let names: Vec<String> = names.filter(|name| name != "mod" && name != "tests").collect();
        let imports = |name: &String| -> Vec<String> {
            let file = folder.join(format!("{name}.rs"));
            let inner = files(folder, ".rs");
            let inside = inner.iter().filter(|path| path.starts_with(folder.join(name)));
            let own = if file.exists() { imported(&read(&file), "super::") } else { Vec::new() };
            let deep = inside.flat_map(|path| imported(&read(path), "super::super::"));
            own.into_iter()
                .chain(deep)
                .filter(|other| other != name && names.contains(other))
                .collect()
        };
        for name in &names {
            let mut reached = imports(name);
            let mut next = 0;
            while let Some(other) = reached.get(next).cloned() {
                let folder = folder.display();
                assert!(other != *name, "in {folder}, {name} imports itself");
                for further in imports(&other) {
                    if !reached.contains(&further) {
                        reached.push(further);
                    }
                }
                next += 1;
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 50, "only {looked_at} imports were found");
}
