//! The binding of Rust programs: the crate's own interface.

use std::sync::Arc;

use resty_session_postgres::config::{Draft, Value as Setting};
use resty_session_postgres::{Answer as RustAnswer, Error, Storage, ops};

use super::binding::{Binding, Conf, Failure};
use super::call::{Answer, Call, Listed};
use super::value::Value;

pub struct RustBinding;

pub fn open() -> Arc<RustBinding> {
    Arc::new(RustBinding)
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

impl Binding for RustBinding {
    fn call(&self, conf: &Conf, call: &Call) -> Result<Answer, Failure> {
        let kind = ops::find(call.operation).expect("an operation");
        let operation = (kind.read)(&call.args())?;
        Ok(match storage(conf)?.call_any(operation)? {
            RustAnswer::Done => Answer::Done,
            RustAnswer::Value(value) => Answer::Value(value.map(String::into_bytes)),
            RustAnswer::Found(found) => Answer::Found(found),
            RustAnswer::Count(count) => Answer::Count(count),
            RustAnswer::Expiries(sessions) => {
                let seconds = sessions.into_iter();
                Answer::Expiries(seconds.map(|(key, at)| (key, at.seconds())).collect())
            }
            RustAnswer::Sessions(sessions) => {
                Answer::Sessions(sessions.into_iter().map(Listed::from).collect())
            }
            RustAnswer::Findings(findings) => {
                let found = findings.into_iter();
                let found = found.map(|it| (it.problem, it.repair.unwrap_or_default(), it.advice));
                Answer::Findings(found.collect())
            }
        })
    }
}
