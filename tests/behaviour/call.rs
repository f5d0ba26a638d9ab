//! A call, an operation's name with arguments by the names of its parameters, and its answer: the same
//! for every binding.

use std::collections::BTreeMap;

use resty_session_postgres::Error;
use resty_session_postgres::op::{Args, ParamKind, Session, Source, Spec, Value};
use resty_session_postgres::ops;

/// The time of most calls, far enough ahead that no clean-up takes these sessions for expired.
pub const NOW: f64 = 2_000_000_000.0;

#[derive(Clone, Debug)]
pub struct Call {
    pub operation: &'static str,
    arguments: BTreeMap<&'static str, Value>,
}

/// A call with the arguments that most calls have: the cookie's name and the current time.
pub fn call(operation: &'static str) -> Call {
    let mut call = Call { operation, arguments: BTreeMap::new() };
    let takes = |name| call.spec().params.iter().any(|param| param.name == name);
    let (name, time) = (takes("name"), takes("current_time"));
    if name {
        call = call.text("name", "session");
    }
    if time {
        call = call.number("current_time", NOW);
    }
    call
}

/// A set of a session that lives for a minute.
pub fn set(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Call {
    call("set").text("key", key).text("value", value).number("ttl", 60.0)
}

pub fn get(key: impl AsRef<[u8]>) -> Call {
    call("get").text("key", key)
}

pub fn delete(key: impl AsRef<[u8]>) -> Call {
    call("delete").text("key", key)
}

/// A call that concerns the sessions of a subject in an audience.
pub fn of(operation: &'static str, audience: impl AsRef<[u8]>, subject: impl AsRef<[u8]>) -> Call {
    call(operation).text("audience", audience).text("subject", subject)
}

impl Call {
    fn spec(&self) -> &'static Spec {
        ops::find(self.operation).expect("an operation").spec
    }

    fn with(mut self, parameter: &str, value: Value) -> Self {
        let mut params = self.spec().params.iter();
        let param = params.find(|param| param.name == parameter);
        let param = param.unwrap_or_else(|| panic!("{} has no {parameter}", self.operation));
        self.arguments.insert(param.name, value);
        self
    }

    pub fn text(self, parameter: &str, text: impl AsRef<[u8]>) -> Self {
        self.with(parameter, Value::Text(text.as_ref().to_vec()))
    }

    pub fn number(self, parameter: &str, number: f64) -> Self {
        self.with(parameter, Value::Number(number))
    }

    pub fn flag(self, parameter: &str, flag: bool) -> Self {
        self.with(parameter, Value::Flag(flag))
    }

    pub fn pairs<T: AsRef<[u8]>>(self, parameter: &str, pairs: &[(T, T)]) -> Self {
        let owned = pairs.iter().map(|(audience, subject)| {
            let [audience, subject] = [audience, subject].map(|text| text.as_ref().to_vec());
            (audience, subject)
        });
        let pairs = owned.collect();
        self.with(parameter, Value::Pairs(pairs))
    }

    /// The same, with one argument fewer.
    pub fn without(mut self, parameter: &str) -> Self {
        self.arguments.remove(parameter).expect("an argument");
        self
    }

    /// The parameters in their order, each with its argument.
    pub fn arguments(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let argument = |name| self.arguments.get(name).unwrap_or(&Value::Nothing);
        let params = self.spec().params.iter();
        params.map(move |param| (param.name, argument(param.name)))
    }
}

impl Source for Call {
    fn value(&self, place: usize, _: ParamKind) -> Result<Value, Error> {
        let (_, value) = self.arguments().nth(place).expect("a parameter");
        Ok(value.clone())
    }
}

impl Call {
    /// The arguments as the core reads them.
    pub fn args(&self) -> Args<'_> {
        Args::new(self.spec(), self)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Done,
    Value(Option<Vec<u8>>),
    Found(bool),
    Count(u64),
    /// Keys and the seconds in which their sessions expire.
    Expiries(BTreeMap<String, i64>),
    Sessions(Vec<Listed>),
    /// Problems, their repairs, and whether they are advice.
    Findings(Vec<(String, String, bool)>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub key: String,
    pub name: String,
    pub expires: i64,
    pub created: Option<i64>,
}

impl From<Session> for Listed {
    fn from(session: Session) -> Self {
        Listed {
            key: session.key,
            name: session.name,
            expires: session.expires.seconds(),
            created: session.created.map(|created| created.seconds()),
        }
    }
}
