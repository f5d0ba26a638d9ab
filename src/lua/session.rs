//! The arguments of the operations of a session's life: `set`, `get`, `delete` and `read_metadata`.

use super::args;
use crate::Error;
use crate::op::{Epoch, Get, Old, Operation, ReadMetadata, Set};
use mlua::{Lua, Value};

/// What is made of a caller's arguments.
pub(super) type Checked = Result<Operation, Error>;

/// A method: its name, its parameters, and how an operation is made of as many arguments or more.
pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) parameters: &'static [&'static str],
    pub(super) read: fn(&Lua, &[Value]) -> Checked,
}

pub(super) const METHODS: [Method; 4] = [
    Method {
        name: "set",
        parameters: &[
            "name",
            "key",
            "value",
            "ttl",
            "current_time",
            "old_key",
            "stale_ttl",
            "metadata",
            "remember",
        ],
        read: set,
    },
    Method {
        name: "get",
        parameters: &["name", "key", "current_time"],
        read: get,
    },
    Method {
        name: "delete",
        parameters: &["name", "key", "current_time", "metadata"],
        read: delete,
    },
    Method {
        name: "read_metadata",
        parameters: &["name", "audience", "subject", "current_time"],
        read: read_metadata,
    },
];

fn set(lua: &Lua, given: &[Value]) -> Checked {
    let [
        name,
        key,
        value,
        ttl,
        now,
        old_key,
        stale_ttl,
        metadata,
        remember,
        ..,
    ] = given
    else {
        return Err(too_few());
    };
    let now = match now {
        Value::Nil => Epoch::now().seconds() as f64,
        given => args::finite_seconds(lua, "current_time", given)?,
    };
    let name = args::text("name", name)?;
    let key = args::key("key", key)?;
    let value = args::text("value", value)?;
    let ttl = args::finite_seconds(lua, "ttl", ttl)?;
    let old = match old_key {
        Value::Nil => None,
        given => {
            let key = args::key("old_key", given)?;
            Some(if matches!(remember, Value::Boolean(true)) {
                Old::Delete { key }
            } else {
                let stale_ttl = args::finite_seconds(lua, "stale_ttl", stale_ttl)?;
                let at = Epoch::from_seconds("stale_ttl", now + stale_ttl)?;
                Old::Expire { key, at }
            })
        }
    };
    Ok(Operation::Set(Set {
        name,
        key,
        value,
        expires: Epoch::from_seconds("ttl", now + ttl)?,
        old,
        metadata: args::metadata(metadata)?,
    }))
}

fn get(lua: &Lua, given: &[Value]) -> Checked {
    let [name, key, now, ..] = given else {
        return Err(too_few());
    };
    args::unused_name(name)?;
    Ok(Operation::Get(Get {
        key: args::key("key", key)?,
        now: args::time(lua, "current_time", now)?,
    }))
}

/// Also `delete(name, key, metadata)`, the form of upstream's documentation. Neither the time nor
/// the metadata is needed: all metadata of a session goes with it.
fn delete(lua: &Lua, given: &[Value]) -> Checked {
    let [name, key, now, ..] = given else {
        return Err(too_few());
    };
    args::unused_name(name)?;
    if !matches!(now, Value::Table(_)) {
        args::time(lua, "current_time", now)?;
    }
    let key = args::key("key", key)?;
    Ok(Operation::Delete { key })
}

fn read_metadata(lua: &Lua, given: &[Value]) -> Checked {
    let [name, audience, subject, now, ..] = given else {
        return Err(too_few());
    };
    args::unused_name(name)?;
    Ok(Operation::ReadMetadata(ReadMetadata {
        audience: args::text("audience", audience)?,
        subject: args::text("subject", subject)?,
        now: args::time(lua, "current_time", now)?,
    }))
}

/// `methods` fills the arguments up, so this is a defect.
fn too_few() -> Error {
    Error::internal("too few arguments")
}
