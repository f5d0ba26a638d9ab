//! `storage(configuration)`: from a Lua table to a storage.

use super::function::first_line;
use super::message::{mistake, type_name};
use crate::config::{Draft, KEYS, Key, Value as Setting};
use crate::host::log::{self, Level};
use crate::{Error, Storage};
use mlua::{IntoLuaMulti, Lua, MultiValue, Result, Table, Value};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// A storage as Lua holds it.
pub(super) struct Handle(pub(super) Storage);

impl mlua::UserData for Handle {}

/// Returns the storage and the seconds that its operations may take in all; or `false, message`.
pub(super) fn storage(lua: &Lua, configuration: Value) -> Result<MultiValue> {
    let made = match &configuration {
        Value::Nil => Ok(Storage::new(crate::Config::default())),
        Value::Table(table) => read(table),
        other => Err(Error::argument(
            "configuration",
            format!("table expected, got {}", type_name(other)),
        )),
    };
    match made {
        Ok(storage) => {
            let seconds = storage.config().timeouts.total().as_secs_f64();
            (Handle(storage), seconds).into_lua_multi(lua)
        }
        Err(error) => {
            // The caller is often lua-resty-session, whose line says little.
            let message = mistake("new", &["configuration"], &error);
            (false, format!("resty.session.postgres: {message}")).into_lua_multi(lua)
        }
    }
}

fn read(table: &Table) -> std::result::Result<Storage, Error> {
    let mut draft = Draft::default();
    for key in KEYS {
        let named = setting(table, key.name)?;
        let aliased = match key.alias {
            Some(alias) => setting(table, alias)?,
            None => None,
        };
        match (named, aliased, key.alias) {
            (Some(named), Some(aliased), Some(alias)) if named != aliased => {
                let reason = format!("contradicts {alias}, which means the same");
                return Err(Error::config(key.name, reason));
            }
            (Some(value), _, _) => draft.set(key.name, &value)?,
            (None, Some(value), Some(alias)) => draft.set(alias, &value)?,
            _ => {}
        }
    }
    report_unknown(table);
    draft.build().and_then(Storage::checked)
}

fn setting(table: &Table, key: &str) -> std::result::Result<Option<Setting>, Error> {
    let value: Value = table
        .get(key)
        .map_err(|error| Error::config(key, first_line(&error.to_string())))?;
    Ok(match value {
        Value::Nil => None,
        value => Some(convert(&value, 0)),
    })
}

fn convert(value: &Value, depth: usize) -> Setting {
    match value {
        Value::Boolean(flag) => Setting::Flag(*flag),
        Value::Integer(number) => Setting::Number(*number as f64),
        Value::Number(number) => Setting::Number(*number),
        Value::String(text) => match text.to_str() {
            Ok(text) => Setting::Text(text.to_owned()),
            Err(_) => Setting::Other("string that is not valid UTF-8"),
        },
        Value::Table(list) if depth == 0 => {
            let items = (1..=list.raw_len()).map(|at| {
                let item = list.raw_get(at).unwrap_or(Value::Nil);
                convert(&item, depth + 1)
            });
            Setting::List(items.collect())
        }
        other => Setting::Other(type_name(other)),
    }
}

/// Logs each unknown key once a process. It is no error, since callers share tables with other
/// storages, but it may be a misspelt key.
fn report_unknown(table: &Table) {
    static REPORTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    for pair in table.pairs::<Value, Value>() {
        let Ok((Value::String(key), _)) = pair else {
            continue;
        };
        let key = key.to_string_lossy();
        if Key::find(&key).is_some() {
            continue;
        }
        let mut reported = REPORTED
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if reported.len() < 1_000 && reported.insert(key.clone()) {
            let nearest = Key::nearest(&key);
            log::log(
                Level::Warn,
                format!("configuration: unknown key {key:?} is ignored (is {nearest:?} meant?)"),
            );
        }
    }
}
