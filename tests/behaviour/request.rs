//! What the operations of people who run a site are asked, and what they answer, at every door.

use super::store::{NAME, NOW};
use super::value::Value;

/// An operation by its name, with the arguments that it takes; the others are left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    pub operation: &'a str,
    pub key: Option<&'a [u8]>,
    pub audience: Option<&'a [u8]>,
    pub subject: Option<&'a [u8]>,
    pub except_key: Option<&'a [u8]>,
    pub after_key: Option<&'a [u8]>,
    pub ttl: Option<f64>,
    pub now: Option<f64>,
    pub limit: Option<f64>,
    pub estimate: bool,
}

/// A request at the time of most calls.
pub fn request(operation: &str) -> Request<'_> {
    Request {
        operation,
        now: Some(NOW),
        ..Request::default()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A number; 1 and 0 where the answer is whether there was something.
    Number(u64),
    Sessions(Vec<Listed>),
    /// Problems and their repairs.
    Findings(Vec<(String, String)>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub key: String,
    pub name: String,
    pub expires: i64,
    pub created: Option<i64>,
}

impl Request<'_> {
    /// The arguments of the Lua method.
    pub fn positional(&self) -> Vec<Value> {
        let estimate = self.estimate.then_some(true);
        let rest: Vec<Value> = match self.operation {
            "revoke" => vec![
                self.audience.into(),
                self.subject.into(),
                self.except_key.into(),
            ],
            "revoke_audience" => vec![self.audience.into()],
            "list" => vec![
                self.audience.into(),
                self.subject.into(),
                self.now.into(),
                self.after_key.into(),
                self.limit.into(),
            ],
            "count" => vec![
                self.audience.into(),
                self.subject.into(),
                self.now.into(),
                estimate.into(),
            ],
            "cleanup" => return vec![self.limit.into(), self.now.into()],
            "migrate" | "check" | "health" => return vec![],
            "touch" => vec![self.key.into(), self.ttl.into(), self.now.into()],
            other => panic!("no operation {other}"),
        };
        [vec![NAME.into()], rest].concat()
    }

    /// What the Lua method's value says.
    pub fn answer(&self, returned: &[Value]) -> Answer {
        match returned {
            [Value::Number(number)] => Answer::Number(*number as u64),
            [Value::Boolean(true)] => Answer::Number(1),
            [Value::Nil] => Answer::Number(0),
            [Value::Table(list)] if self.operation == "check" => {
                Answer::Findings(list.iter().map(|(_, item)| finding(item)).collect())
            }
            [Value::Table(list)] => {
                Answer::Sessions(list.iter().map(|(_, item)| listed(item)).collect())
            }
            other => panic!("{} answered {other:?}", self.operation),
        }
    }
}

fn finding(item: &Value) -> (String, String) {
    let Value::Table(fields) = item else {
        panic!("not a finding: {item:?}");
    };
    let get = |name: &str| {
        let field = fields.iter().find(|(key, _)| *key == name.into());
        field.expect("a field").1.clone().into_text()
    };
    (get("problem"), get("repair"))
}

fn listed(item: &Value) -> Listed {
    let Value::Table(fields) = item else {
        panic!("not a session: {item:?}");
    };
    let get = |name: &str| {
        let field = fields.iter().find(|(key, _)| *key == name.into());
        field.map(|(_, value)| value.clone())
    };
    let number = |value| match value {
        Value::Number(seconds) if seconds.fract() == 0.0 => seconds as i64,
        other => panic!("not in whole seconds: {other:?}"),
    };
    Listed {
        key: get("key").expect("a key").into_text(),
        name: get("name").expect("a name").into_text(),
        expires: number(get("expires").expect("an end")),
        created: get("created").map(number),
    }
}
