//! The functions of docs/lua.md, from the LDoc comments of the Lua module.

use std::fmt::Write;

use super::{between, read};

/// One comment: its text, and its tags, each with all of its lines.
struct Comment {
    text: Vec<String>,
    tags: Vec<(String, String)>,
}

#[test]
fn the_lua_page_lists_every_function() {
    let source = read("lua/resty/session/postgres.lua");
    let mut page = String::new();
    for comment in comments(&source) {
        let function = comment.tags.iter().find(|(tag, _)| tag == "function");
        if let Some((_, name)) = function {
            describe(&comment, name, &mut page);
        }
    }
    assert!(page.contains("storage:set("), "{page}");
    let lines = ("<!-- functions -->\n", "<!-- /functions -->\n");
    between("docs/lua.md", lines, &page);
}

/// The comments that begin with three dashes.
fn comments(source: &str) -> Vec<Comment> {
    let mut comments: Vec<Comment> = Vec::new();
    let mut inside = false;
    for line in source.lines() {
        if line == "---" {
            inside = true;
            comments.push(Comment {
                text: Vec::new(),
                tags: Vec::new(),
            });
        } else if let (true, Some(line)) = (inside, line.strip_prefix("--")) {
            let comment = comments.last_mut().expect("it has begun");
            let line = line.trim();
            if let Some(tag) = line.strip_prefix('@') {
                let (tag, rest) = tag.split_once(' ').unwrap_or((tag, ""));
                comment.tags.push((tag.to_owned(), rest.to_owned()));
            } else if let Some((_, rest)) = comment.tags.last_mut() {
                *rest += " ";
                *rest += line;
            } else {
                comment.text.push(line.to_owned());
            }
        } else {
            inside = false;
        }
    }
    comments
}

fn describe(comment: &Comment, name: &str, page: &mut String) {
    let parameters: Vec<_> = comment
        .tags
        .iter()
        .filter_map(|(tag, rest)| Some((tag.strip_prefix("tparam")?, rest)))
        .collect();
    let mut words = Vec::new();
    let mut rows = String::new();
    for (optional, rest) in parameters {
        let optional = optional == "[opt]";
        let mut parts = rest.splitn(3, ' ');
        let mut part = || parts.next().unwrap_or_default();
        let (kind, parameter, meaning) = (part(), part(), part());
        words.push(if optional {
            format!("[{parameter}]")
        } else {
            parameter.to_owned()
        });
        writeln!(rows, "| `{parameter}` | {kind} | {} |", plain(meaning)).expect("memory");
    }
    let name = name.replace("instance:", "storage:").replace("module.", "");
    writeln!(page, "\n## {name}({})\n", words.join(", ")).expect("memory");
    let text = comment.text.join("\n");
    writeln!(page, "{}\n", plain(text.trim())).expect("memory");
    if !rows.is_empty() {
        writeln!(page, "| argument | type | |\n|---|---|---|\n{rows}").expect("memory");
    }
    // A second value is always the message of a failure.
    let result = comment.tags.iter().find(|(tag, _)| tag == "treturn");
    if let Some((_, result)) = result {
        let (kind, meaning) = result.split_once(' ').unwrap_or((result, ""));
        let kind = kind.replace("|nil", "");
        let meaning = match plain(meaning) {
            meaning if meaning == "ok" => String::new(),
            meaning => format!(": {meaning}"),
        };
        writeln!(page, "Gives {}{meaning}.", article(&kind)).expect("memory");
    }
}

fn article(kind: &str) -> String {
    match kind {
        "true" => "`true`".into(),
        kind => format!("a {kind}"),
    }
}

/// With links and names in the place of LDoc's references.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, reference)) = rest.split_once("@{") {
        let (name, after) = reference.split_once('}').expect("a reference's end");
        plain += before;
        plain += &match name {
            "configuration" => "[configuration](configuration.md)".into(),
            name => format!("`{}`", name.replace("instance:", "storage:")),
        };
        rest = after;
    }
    plain + rest
}
