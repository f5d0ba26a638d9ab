//! Storages: made from a table of configuration keys, and their methods that ask no server.

use super::function::{first_line, function, mistake, type_name};
use crate::config::{Draft, KEYS, Key, Value as Setting};
use crate::host::lock;
use crate::host::log::{self, Level};
use crate::op::utf8;
use crate::{Config, Error, Storage};
use mlua::{IntoLuaMulti, Lua, LuaString, MultiValue, Result, Table, UserDataRef, Value};
use std::collections::BTreeSet;
use std::result::Result as StdResult;
use std::sync::Mutex;

pub(super) struct Handle(pub(super) Storage);

impl mlua::UserData for Handle {}

/// Adds `storage(configuration)` to the module's table, and the table `local_methods` of functions that
/// take their arguments as those of `methods` do.
pub(super) fn register(lua: &Lua, native: &Table) -> Result<()> {
    let methods = lua.create_table()?;
    methods.set("set_password", function(lua, set_password)?)?;
    methods.set("stats", function(lua, stats)?)?;
    methods.set("metrics", function(lua, metrics)?)?;
    native.set("local_methods", methods)?;
    native.set("has_password", function(lua, has_password)?)?;
    native.set("count_fallback", function(lua, count_fallback)?)?;
    native.set("storage", function(lua, new)?)
}

/// Returns the storage and the seconds that its operations may take in all; or `false, message`.
fn new(lua: &Lua, configuration: Value) -> Result<MultiValue> {
    let made = match &configuration {
        Value::Nil => Ok(Storage::new(Config::default())),
        Value::Table(table) => read(table),
        other => Err(unexpected("configuration", "table", other)),
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

/// `has_password(storage, password)`: whether the storage was made with that password, or with none.
fn has_password(_: &Lua, given: (UserDataRef<Handle>, Option<LuaString>)) -> Result<bool> {
    let (storage, given) = given;
    Ok(match (&storage.0.config().connection.password, given) {
        (Some(password), Some(given)) => password.is_made_of(&given.to_str()?),
        (None, None) => true,
        _ => false,
    })
}

fn unexpected(name: &'static str, accepted: &str, given: &Value) -> Error {
    Error::argument(name, format!("{accepted} expected, got {}", type_name(given)))
}

fn read(table: &Table) -> StdResult<Storage, Error> {
    report_unknown(table);
    let mut draft = Draft::default();
    for key in KEYS {
        let mut set = None;
        for spelling in [Some(key.name), key.alias].into_iter().flatten() {
            let Some(value) = setting(table, spelling)? else {
                continue;
            };
            if set.is_some_and(|before| before != value) {
                let reason = format!("contradicts {spelling}, which means the same");
                return Err(Error::config(key.name, reason));
            }
            draft.set(spelling, &value)?;
            set = Some(value);
        }
    }
    draft.build().and_then(Storage::checked)
}

fn setting(table: &Table, key: &str) -> StdResult<Option<Setting>, Error> {
    let value: Result<Value> = table.get(key);
    let value = value.map_err(|error| Error::config(key, first_line(&error)))?;
    Ok((!value.is_nil()).then(|| convert(&value, 0)))
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
            let items = (1..=list.raw_len()).map(|at| list.raw_get(at).unwrap_or(Value::Nil));
            Setting::List(items.map(|item| convert(&item, 1)).collect())
        }
        other => Setting::Other(type_name(other)),
    }
}

/// Keys that `fallback.lua` reads.
const LUA_KEYS: [&str; 2] = ["fallback", "save_to_fallback"];

/// Callers share tables with other storages, so an unknown key is no error; but it may be a
/// misspelt one. Each is reported once a process.
fn report_unknown(table: &Table) {
    static REPORTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    for pair in table.pairs::<Value, Value>() {
        let Ok((Value::String(key), _)) = pair else {
            continue;
        };
        let key = key.to_string_lossy();
        if Key::find(&key).is_some() || LUA_KEYS.contains(&&*key) {
            continue;
        }
        let is_new = {
            let mut reported = lock(&REPORTED);
            reported.len() < 1_000 && reported.insert(key.clone())
        };
        if is_new {
            let suggestion = Key::suggestion(&key);
            let text = format!("configuration: unknown key {key:?} is ignored{suggestion}");
            log::log(Level::Warn, text);
        }
    }
}

/// `count_fallback(storage, outcome)`: the fallback was asked.
fn count_fallback(_: &Lua, (storage, outcome): (UserDataRef<Handle>, String)) -> Result<()> {
    Ok(storage.0.count_fallback(&outcome)?)
}

/// The arguments of a method: the storage, no completion queue, and the method's own.
type Given = (UserDataRef<Handle>, Value, Value);

fn refused(lua: &Lua, method: &str, param: &str, error: &Error) -> Result<MultiValue> {
    (false, mistake(method, &[param], error)).into_lua_multi(lua)
}

fn set_password(lua: &Lua, (storage, _, password): Given) -> Result<MultiValue> {
    let Value::String(password) = &password else {
        let error = unexpected("password", "string", &password);
        return refused(lua, "set_password", "password", &error);
    };
    let password = utf8("password", password.as_bytes().to_vec())?;
    storage.0.set_password(&password)?;
    true.into_lua_multi(lua)
}

/// A table from samples to values.
fn stats(lua: &Lua, (storage, ..): Given) -> Result<Table> {
    lua.create_table_from(storage.0.stats()?)
}

/// The text for Prometheus: of this process, or of the values that a table has instead.
fn metrics(lua: &Lua, (storage, _, instead): Given) -> Result<MultiValue> {
    match instead {
        Value::Nil => storage.0.metrics()?.into_lua_multi(lua),
        Value::Table(table) => {
            let text = storage.0.metrics_of(|name| table.raw_get(name).ok())?;
            text.into_lua_multi(lua)
        }
        other => refused(lua, "metrics", "stats", &unexpected("stats", "table", &other)),
    }
}
