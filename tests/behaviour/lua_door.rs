//! `LuaDoor`: calls the storage as Lua does, through `door.lua`, wherever that runs.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::door::{Conf, Door, Failure, Pairs, Set};
use super::request::{Answer, Request};
use super::value::{self, Value};

pub struct LuaDoor {
    phase: &'static str,
    exchange: Box<dyn Fn(&str) -> String + Send + Sync>,
}

impl LuaDoor {
    /// A door whose `exchange` has `door.lua` serve a request in that phase of nginx.
    pub fn new(
        phase: &'static str,
        exchange: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let exchange = Box::new(exchange);
        LuaDoor { phase, exchange }
    }

    /// Calls `method` with any arguments at all. Gives all that it returned, one value or several.
    pub fn call(&self, conf: &Conf, method: &str, args: &[Value]) -> Result<Vec<Value>, Failure> {
        let conf = conf
            .iter()
            .map(|(key, value)| (Value::from(&**key), value.clone()));
        let request = json!({
            "conf": Value::Table(conf.collect()).to_json().to_string(),
            "call": method,
            "args": args.iter().map(Value::to_json).collect::<Vec<_>>(),
        });
        let reply = (self.exchange)(&request.to_string());
        let reply: Json = serde_json::from_str(&reply)
            .unwrap_or_else(|error| panic!("{error}, instead of a reply came:\n{reply}"));
        assert_eq!(reply["phase"], self.phase, "it ran in another phase");
        if reply["raised"].is_null() {
            let returned = value::list(&reply["returned"]).map(Value::from_json);
            outcome(returned.collect())
        } else {
            let message = Value::from_json(&reply["raised"]).into_text();
            Err(Failure::Raised(without_position(&message).to_owned()))
        }
    }
}

fn outcome(returned: Vec<Value>) -> Result<Vec<Value>, Failure> {
    match returned.as_slice() {
        [Value::Nil, Value::String(_)] => {
            let message = returned.into_iter().next_back().expect("two values");
            Err(Failure::Failed(message.into_text()))
        }
        _ => Ok(returned),
    }
}

/// An error of level 2 begins with its caller's position; the caller is `door.lua`.
fn without_position(message: &str) -> &str {
    message
        .split_once("door.lua:")
        .and_then(|(_, rest)| rest.split_once(": "))
        .filter(|(line, _)| line.parse::<u32>().is_ok())
        .unwrap_or_else(|| panic!("raised without its caller's position: {message}"))
        .1
}

impl Door for LuaDoor {
    fn set(&self, conf: &Conf, set: &Set) -> Result<(), Failure> {
        let args = [
            set.name.into(),
            set.key.into(),
            set.value.into(),
            set.ttl.into(),
            set.now.into(),
            set.old_key.into(),
            set.stale_ttl.into(),
            metadata(set.metadata),
            set.remember.into(),
        ];
        done(self.call(conf, "set", &args)?)
    }

    fn get(
        &self,
        conf: &Conf,
        name: &[u8],
        key: &[u8],
        now: Option<f64>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let args = [name.into(), key.into(), now.into()];
        match self.call(conf, "get", &args)?.as_slice() {
            [Value::Nil] => Ok(None),
            [Value::String(value)] => Ok(Some(value.clone())),
            other => panic!("get answered {other:?}"),
        }
    }

    fn delete(
        &self,
        conf: &Conf,
        name: &[u8],
        key: &[u8],
        now: Option<f64>,
        pairs: Option<Pairs>,
    ) -> Result<(), Failure> {
        let args = [name.into(), key.into(), now.into(), metadata(pairs)];
        done(self.call(conf, "delete", &args)?)
    }

    fn read_metadata(
        &self,
        conf: &Conf,
        name: &[u8],
        audience: &[u8],
        subject: &[u8],
        now: f64,
    ) -> Result<BTreeMap<String, i64>, Failure> {
        let args = [name.into(), audience.into(), subject.into(), now.into()];
        match self.call(conf, "read_metadata", &args)?.as_slice() {
            [Value::Table(pairs)] => Ok(pairs.iter().cloned().map(session).collect()),
            other => panic!("read_metadata answered {other:?}"),
        }
    }

    fn ask(&self, conf: &Conf, request: &Request) -> Result<Answer, Failure> {
        let returned = self.call(conf, request.operation, &request.positional())?;
        Ok(request.answer(&returned))
    }
}

/// The shape in which Lua gives metadata: two lists side by side.
fn metadata(pairs: Option<Pairs>) -> Value {
    let Some(pairs) = pairs else {
        return Value::Nil;
    };
    Value::Table(vec![
        (
            "audiences".into(),
            pairs.iter().map(|pair| pair.0).collect(),
        ),
        ("subjects".into(), pairs.iter().map(|pair| pair.1).collect()),
    ])
}

fn done(returned: Vec<Value>) -> Result<(), Failure> {
    assert_eq!(returned, [Value::Boolean(true)]);
    Ok(())
}

fn session((key, expiry): (Value, Value)) -> (String, i64) {
    match expiry {
        Value::Number(seconds) if seconds.fract() == 0.0 => (key.into_text(), seconds as i64),
        other => panic!("not in whole seconds: {other:?}"),
    }
}
