//! The door for Rust programs: the crate's own interface.

use std::collections::BTreeMap;
use std::sync::Arc;

use resty_session_postgres as rsp;
use rsp::config::{Draft, Value as Setting};
use rsp::manage::{Check, Cleanup, Count, Health, List, Migrate, Revoke, Scope, Touch};
use rsp::{Epoch, Error, Old, Operation, Output, Storage};

use super::door::{Conf, Door, Failure, Pairs, Set};
use super::request::{Answer, Listed, Request};
use super::value::Value;

pub struct RustDoor;

/// Opens the door.
pub fn open() -> Arc<RustDoor> {
    Arc::new(RustDoor)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if error.is_callers_mistake() {
            Failure::Raised(error.to_string())
        } else {
            Failure::Failed(error.to_string())
        }
    }
}

fn setting(value: &Value) -> Setting {
    match value {
        Value::Boolean(flag) => Setting::Flag(*flag),
        Value::Number(number) => Setting::Number(*number),
        Value::String(bytes) => Setting::Text(String::from_utf8_lossy(bytes).into_owned()),
        Value::Table(pairs) => Setting::List(pairs.iter().map(|(_, item)| setting(item)).collect()),
        Value::Nil => Setting::Other("nil"),
    }
}

fn storage(conf: &Conf) -> Result<Storage, Error> {
    let mut draft = Draft::default();
    for (key, value) in conf {
        draft.set(key, &setting(value))?;
    }
    draft.build().map(Storage::new)
}

fn time(seconds: Option<f64>) -> Result<Epoch, Error> {
    match seconds {
        Some(seconds) => Epoch::from_seconds("current_time", seconds),
        None => Ok(Epoch::now()),
    }
}

fn pairs(metadata: Option<Pairs>) -> Result<Vec<(String, String)>, Error> {
    let pair = |(audience, subject): &(&[u8], &[u8])| {
        Ok((
            rsp::text("audience", audience)?,
            rsp::text("subject", subject)?,
        ))
    };
    metadata.unwrap_or_default().iter().map(pair).collect()
}

impl Door for RustDoor {
    fn set(&self, conf: &Conf, set: &Set) -> Result<(), Failure> {
        let old = match (set.old_key, set.remember, set.stale_ttl) {
            (None, ..) => None,
            (Some(key), Some(true), _) => Some(Old::Delete {
                key: rsp::key("old_key", key)?,
            }),
            (Some(key), _, stale_ttl) => Some(Old::Expire {
                key: rsp::key("old_key", key)?,
                at: Epoch::from_seconds("stale_ttl", set.now + stale_ttl.unwrap_or_default())?,
            }),
        };
        let set = rsp::Set {
            name: rsp::text("name", set.name)?,
            key: rsp::key("key", set.key)?,
            value: rsp::text("value", set.value)?,
            expires: Epoch::from_seconds("ttl", set.now + set.ttl)?,
            old,
            metadata: pairs(set.metadata)?,
        };
        Ok(storage(conf)?.set(set)?)
    }

    fn get(
        &self,
        conf: &Conf,
        _: &[u8],
        key: &[u8],
        now: Option<f64>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let get = rsp::Get {
            key: rsp::key("key", key)?,
            now: time(now)?,
        };
        match storage(conf)?.call(rsp::Operation::Get(get))? {
            Output::Value(value) => Ok(value.map(String::into_bytes)),
            other => panic!("not the answer to a get: {other:?}"),
        }
    }

    fn delete(
        &self,
        conf: &Conf,
        _: &[u8],
        key: &[u8],
        _: Option<f64>,
        _: Option<Pairs>,
    ) -> Result<(), Failure> {
        let key = rsp::key("key", key)?;
        storage(conf)?.call(rsp::Operation::Delete { key })?;
        Ok(())
    }

    fn read_metadata(
        &self,
        conf: &Conf,
        _: &[u8],
        audience: &[u8],
        subject: &[u8],
        now: f64,
    ) -> Result<BTreeMap<String, i64>, Failure> {
        let read = rsp::ReadMetadata {
            audience: rsp::text("audience", audience)?,
            subject: rsp::text("subject", subject)?,
            now: time(Some(now))?,
        };
        match storage(conf)?.call(rsp::Operation::ReadMetadata(read))? {
            Output::Metadata(sessions) => Ok(sessions
                .into_iter()
                .map(|(sid, ends)| (sid, ends.seconds()))
                .collect()),
            other => panic!("not the answer to a read_metadata: {other:?}"),
        }
    }

    fn ask(&self, conf: &Conf, request: &Request) -> Result<Answer, Failure> {
        let answer = match storage(conf)?.call(operation(request)?)? {
            Output::Count(count) => Answer::Number(count),
            Output::Touched(found) => Answer::Number(found.into()),
            Output::Sessions(sessions) => {
                let listed = |session: rsp::manage::Session| Listed {
                    key: session.key,
                    name: session.name,
                    expires: session.expires.seconds(),
                    created: session.created.map(Epoch::seconds),
                };
                Answer::Sessions(sessions.into_iter().map(listed).collect())
            }
            Output::Findings(findings) => {
                let pair = |found: rsp::manage::Finding| (found.problem, found.repair);
                Answer::Findings(findings.into_iter().map(pair).collect())
            }
            other => panic!("not the answer to {request:?}: {other:?}"),
        };
        Ok(answer)
    }
}

fn operation(request: &Request) -> Result<Operation, Error> {
    let text = |name, bytes: Option<&[u8]>| bytes.map(|bytes| rsp::text(name, bytes)).transpose();
    let key = |name, bytes: Option<&[u8]>| bytes.map(|bytes| rsp::key(name, bytes)).transpose();
    let audience = text("audience", request.audience)?;
    let subject = text("subject", request.subject)?;
    let now = time(request.now)?;
    Ok(match request.operation {
        "revoke" | "revoke_audience" => Revoke {
            audience: audience.expect("an audience"),
            subject,
            except: key("except_key", request.except_key)?,
        }
        .into(),
        "list" => List {
            scope: Scope::new(audience, subject)?,
            now,
            after: key("after_key", request.after_key)?,
            limit: request.limit.map_or(List::PAGE, |limit| limit as u32),
        }
        .into(),
        "count" => Count {
            scope: Scope::new(audience, subject)?,
            now,
            estimate: request.estimate,
        }
        .into(),
        "cleanup" => Cleanup {
            limit: request.limit.map(|limit| limit as u32),
            now,
        }
        .into(),
        "migrate" => Migrate::default().into(),
        "check" => Check::default().into(),
        "health" => Health::default().into(),
        "touch" => Touch {
            key: key("key", request.key)?.expect("a key"),
            now,
            expires: now.plus(request.ttl.expect("a ttl").floor() as i64),
        }
        .into(),
        other => panic!("no operation {other}"),
    })
}
