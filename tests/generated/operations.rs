//! The reference of the operations: the methods of docs/lua.md, the LDoc comments of the Lua module, and
//! the table of docs/c.md.

use resty_session_postgres::op::{Param, ParamKind, Spec};
use resty_session_postgres::ops::KINDS;

use super::{between, wrap};

#[test]
fn the_lua_page_describes_every_operation() {
    let page: String = KINDS.iter().map(|kind| method(kind.spec)).collect();
    let lines = ("<!-- operations: generated -->\n", "<!-- end of operations -->\n");
    between("docs/lua.md", lines, &format!("\n{page}"));
}

#[test]
fn the_lua_module_documents_every_operation() {
    let comments: String = KINDS.iter().map(|kind| comment(kind.spec)).collect();
    let lines = ("-- operations: generated\n", "-- end of operations\n");
    between("lua/resty/session/postgres.lua", lines, &comments);
}

#[test]
fn the_c_page_lists_every_operation() {
    let mut table =
        String::from("| operation | text | number | flag | pair |\n|---|---|---|---|---|\n");
    for kind in KINDS {
        let of = |wanted: &str| {
            let params = kind.spec.params.iter();
            let params = params.filter(|param| c_type(param.kind) == wanted);
            let names: Vec<_> = params.map(|param| format!("`{}`", param.name)).collect();
            names.join(", ")
        };
        let columns = ["text", "number", "flag", "pair"].map(of);
        table += &format!("| `{}` | {} |\n", kind.spec.name, columns.join(" | "));
    }
    let lines = ("<!-- operations: generated -->\n", "<!-- end of operations -->\n");
    between("docs/c.md", lines, &table);
}

fn method(spec: &Spec) -> String {
    let names: Vec<String> = spec.params.iter().map(bracketed).collect();
    let mut text = format!("## storage:{}({})\n\n", spec.name, names.join(", "));
    text += &format!("{}\n\n", spec.summary);
    if !spec.details.is_empty() {
        text += &format!("{}\n\n", spec.details);
    }
    if !spec.params.is_empty() {
        text += "| argument | type | |\n|---|---|---|\n";
        for param in spec.params {
            let kind = lua_type(param.kind);
            text += &format!("| `{}` | {kind} | {} |\n", param.name, param.doc);
        }
        text += "\n";
    }
    text + &format!("Returns {}.\n\n", spec.returns)
}

fn comment(spec: &Spec) -> String {
    let mut text = String::from("\n---\n");
    text += &wrap(spec.summary);
    for paragraph in spec.details.split("\n\n").filter(|text| !text.is_empty()) {
        text += "--\n";
        text += &wrap(paragraph);
    }
    text += "--\n";
    text += &format!("-- @function instance:{}\n", spec.name);
    for param in spec.params {
        let optional = if param.optional { "[opt]" } else { "" };
        let kind = lua_type(param.kind);
        text += &wrap(&format!("@tparam{optional} {kind} {} {}", param.name, param.doc));
    }
    text += &wrap(&format!("@return {}; or nil", spec.returns));
    text + "-- @treturn string error message\n"
}

/// The name of a parameter in a method's head. The cookie's name stands first even where it is not used.
fn bracketed(param: &Param) -> String {
    match param.optional && param.kind != ParamKind::Unused {
        true => format!("[{}]", param.name),
        false => param.name.to_owned(),
    }
}

fn lua_type(kind: ParamKind) -> &'static str {
    match kind {
        ParamKind::Text | ParamKind::Key | ParamKind::Unused => "string",
        ParamKind::Seconds | ParamKind::Time | ParamKind::Count => "number",
        ParamKind::Flag => "boolean",
        ParamKind::Pairs => "table",
    }
}

/// The end of the name of the C function that sets such a parameter.
fn c_type(kind: ParamKind) -> &'static str {
    match kind {
        ParamKind::Text | ParamKind::Key | ParamKind::Unused => "text",
        ParamKind::Seconds | ParamKind::Time | ParamKind::Count => "number",
        ParamKind::Flag => "flag",
        ParamKind::Pairs => "pair",
    }
}
