//! `Value`: what Lua can be given and can answer, in a form that travels as JSON.
//!
//! A string goes as it is where it is printable ASCII, otherwise as hexadecimal digits, so that any
//! byte gets through. A number goes as text, so that `nan` does.

use serde_json::{Value as Json, json};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Nil,
    Boolean(bool),
    Number(f64),
    String(Vec<u8>),
    Table(Vec<(Value, Value)>),
}

impl Value {
    pub fn to_json(&self) -> Json {
        match self {
            Value::Nil => Json::Null,
            Value::Boolean(boolean) => json!(boolean),
            Value::Number(number) => json!({ "number": number.to_string() }),
            Value::String(bytes) => match str::from_utf8(bytes) {
                Ok(text) if bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) => json!(text),
                _ => json!({ "hex": hex(bytes) }),
            },
            Value::Table(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| [key, value].map(Value::to_json));
                json!({ "table": pairs.collect::<Vec<_>>() })
            }
        }
    }

    /// Panics on what no call of the storage may answer: a userdata, a function.
    pub fn from_json(json: &Json) -> Value {
        if json.is_null() {
            Value::Nil
        } else if let Some(boolean) = json.as_bool() {
            Value::Boolean(boolean)
        } else if let Some(text) = json["number"].as_str() {
            Value::Number(text.parse().expect("a number"))
        } else if let Some(text) = json.as_str() {
            Value::String(text.into())
        } else if let Some(digits) = json["hex"].as_str() {
            Value::String(unhex(digits))
        } else if !json["table"].is_null() {
            Value::Table(list(&json["table"]).map(pair).collect())
        } else {
            panic!("the storage answered {json}")
        }
    }

    /// The text of a string that has to be readable, such as an error.
    pub fn into_text(self) -> String {
        match self {
            Value::String(bytes) => String::from_utf8(bytes).expect("readable text"),
            other => panic!("not a string: {other:?}"),
        }
    }
}

/// The items of a JSON array. An empty one may look like an empty object: in Lua both are `{}`.
pub fn list(json: &Json) -> impl Iterator<Item = &Json> {
    json.as_array().into_iter().flatten()
}

fn pair(json: &Json) -> (Value, Value) {
    (Value::from_json(&json[0]), Value::from_json(&json[1]))
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    let digits = |byte: &u8| [digit(byte >> 4), digit(byte & 15)];
    bytes.iter().flat_map(digits).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty(), "an odd number of digits");
    pairs.iter().map(|&[high, low]| digit(high) << 4 | digit(low)).collect()
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Value::Boolean(boolean)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::String(bytes.into())
    }
}

/// `None` is nil.
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(option: Option<T>) -> Self {
        option.map_or(Value::Nil, T::into)
    }
}

/// A list, as Lua counts: from one.
impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let place = |(index, item): (u32, T)| (Value::Number(index.into()), item.into());
        Value::Table((1..).zip(items).map(place).collect())
    }
}
