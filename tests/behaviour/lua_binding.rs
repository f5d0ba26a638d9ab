//! The binding of Lua programs: `binding.lua` calls the storage, wherever it runs.

use resty_session_postgres::op::Value as Argument;
use serde_json::{Value as Json, json};

use super::binding::{Binding, Conf, Failure};
use super::call::{Answer, Call, Listed};
use super::value::{self, Value};

pub struct LuaBinding {
    phase: &'static str,
    exchange: Box<dyn Fn(&str) -> String + Send + Sync>,
}

impl LuaBinding {
    /// A binding whose `exchange` has `binding.lua` serve a request in that phase of nginx.
    pub fn new(
        phase: &'static str,
        exchange: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let exchange = Box::new(exchange);
        LuaBinding { phase, exchange }
    }

    /// Calls a method with any arguments at all. Gives all that it returned, one value or several.
    pub fn call_method(
        &self,
        conf: &Conf,
        method: &str,
        args: &[Value],
    ) -> Result<Vec<Value>, Failure> {
        let conf = conf.iter().map(|(key, value)| (Value::from(&**key), value.clone()));
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

/// An error of level 2 begins with its caller's position; the caller is `binding.lua`.
fn without_position(message: &str) -> &str {
    message
        .split_once("binding.lua:")
        .and_then(|(_, rest)| rest.split_once(": "))
        .filter(|(line, _)| line.parse::<u32>().is_ok())
        .unwrap_or_else(|| panic!("raised without its caller's position: {message}"))
        .1
}

impl Binding for LuaBinding {
    fn call(&self, conf: &Conf, call: &Call) -> Result<Answer, Failure> {
        let args: Vec<Value> = call.arguments().map(|(_, value)| argument(value)).collect();
        let returned = self.call_method(conf, call.operation, &args)?;
        Ok(answer(call.operation, &returned))
    }
}

fn argument(value: &Argument) -> Value {
    match value {
        Argument::Nothing => Value::Nil,
        Argument::Text(bytes) => bytes.as_slice().into(),
        Argument::Number(number) => (*number).into(),
        Argument::Flag(flag) => (*flag).into(),
        // Two lists side by side.
        Argument::Pairs(pairs) => {
            let audiences = pairs.iter().map(|(audience, _)| &**audience).collect();
            let subjects = pairs.iter().map(|(_, subject)| &**subject).collect();
            Value::Table(vec![("audiences".into(), audiences), ("subjects".into(), subjects)])
        }
        Argument::Other(kind) => panic!("no argument is a {kind}"),
    }
}

/// What the values that a method returned say.
fn answer(operation: &str, returned: &[Value]) -> Answer {
    match (operation, returned) {
        ("get" | "state", [Value::Nil]) => Answer::Value(None),
        ("get" | "state", [Value::String(value)]) => Answer::Value(Some(value.clone())),
        ("touch", [Value::Boolean(true)]) => Answer::Found(true),
        ("touch", [Value::Nil]) => Answer::Found(false),
        ("set" | "delete" | "health", [Value::Boolean(true)]) => Answer::Done,
        ("read_metadata", [Value::Table(sessions)]) => {
            let expiry = |(key, at): &(Value, Value)| (key.clone().into_text(), seconds(at));
            Answer::Expiries(sessions.iter().map(expiry).collect())
        }
        ("check" | "migrate", [Value::Table(findings)]) => {
            let finding = |(_, item): &(Value, Value)| {
                let advice = field(item, "advice") == Some(&Value::Boolean(true));
                (text(item, "problem"), text(item, "repair"), advice)
            };
            Answer::Findings(findings.iter().map(finding).collect())
        }
        ("list", [Value::Table(sessions)]) => {
            Answer::Sessions(sessions.iter().map(|(_, item)| listed(item)).collect())
        }
        (_, [Value::Number(count)]) => Answer::Count(*count as u64),
        _ => panic!("{operation} returned {returned:?}"),
    }
}

fn field<'a>(item: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Table(fields) = item else {
        panic!("not a table: {item:?}");
    };
    let found = fields.iter().find(|(key, _)| *key == name.into());
    found.map(|(_, value)| value)
}

fn seconds(value: &Value) -> i64 {
    match value {
        Value::Number(seconds) if seconds.fract() == 0.0 => *seconds as i64,
        other => panic!("not in whole seconds: {other:?}"),
    }
}

fn text(item: &Value, name: &str) -> String {
    field(item, name).expect("a field").clone().into_text()
}

fn listed(item: &Value) -> Listed {
    Listed {
        key: text(item, "key"),
        name: text(item, "name"),
        expires: seconds(field(item, "expires").expect("a field")),
        created: field(item, "created").map(seconds),
    }
}
