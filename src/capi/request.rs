//! `rsp_request`: an operation by its name, with arguments by their names. The table of operations
//! says which there are, so only the limit of a list is about a certain one.

use super::guard::{guard, guard_status};
use super::pointer::{self, Message, required};
use super::status::rsp_status;
use crate::Error;
use crate::op::{AnyOperation, Args, Kind, Operation, ParamKind, Source, Value};
use crate::ops::{self, List};
use std::ffi::c_char;
use std::mem::MaybeUninit;

/// An operation with its arguments. It may be carried out several times, and changed in between.
pub struct rsp_request {
    kind: &'static Kind,
    /// A value for each of the operation's parameters, in their order.
    values: Vec<Value>,
}

impl rsp_request {
    pub(super) fn new(operation: &str) -> Result<Self, Error> {
        let kind = ops::find(operation).ok_or_else(|| {
            let known: Vec<&str> = ops::KINDS.iter().map(|kind| kind.spec.name).collect();
            let known = known.join(", ");
            Error::argument("operation", format!("{operation:?} is none of {known}"))
        })?;
        Ok(rsp_request { kind, values: kind.spec.params.iter().map(|_| Value::Nothing).collect() })
    }

    /// The place for the argument of a parameter that takes values of that type.
    fn place(&mut self, parameter: &str, given: &str) -> Result<(&'static str, &mut Value), Error> {
        let spec = self.kind.spec;
        let mut params = spec.params.iter().zip(&mut self.values);
        let found = params.find(|(param, _)| param.name == parameter);
        let Some((param, value)) = found else {
            let known: Vec<&str> = spec.params.iter().map(|param| param.name).collect();
            let reason = match known.as_slice() {
                [] => format!("{} takes no parameters, got {parameter:?}", spec.name),
                known => format!("{} has {}, not {parameter:?}", spec.name, known.join(", ")),
            };
            return Err(Error::argument("parameter", reason));
        };
        let expected = type_of(param.kind);
        if expected != given {
            let reason = format!("{expected} expected, got {given}");
            return Err(Error::argument(param.name, reason));
        }
        Ok((param.name, value))
    }

    /// How many sessions it lists at most, if it lists a page.
    pub(super) fn limit(&self) -> Option<usize> {
        let spec = self.kind.spec;
        if spec.name != List::SPEC.name {
            return None;
        }
        let given = spec.params.iter().zip(&self.values).find_map(|it| match it {
            (param, Value::Number(limit)) if param.name == "limit" => Some(*limit as usize),
            _ => None,
        });
        Some(given.unwrap_or(List::PAGE as usize))
    }

    /// The operation, with all checks of its arguments.
    pub(super) fn operation(&self) -> Result<Box<dyn AnyOperation>, Error> {
        (self.kind.read)(&Args::new(self.kind.spec, self))
    }
}

impl Source for rsp_request {
    fn value(&self, place: usize, _: ParamKind) -> Result<Value, Error> {
        Ok(self.values[place].clone())
    }
}

/// The type of a parameter's argument, for each of which there is a function.
fn type_of(kind: ParamKind) -> &'static str {
    match kind {
        ParamKind::Text | ParamKind::Key | ParamKind::Unused => "text",
        ParamKind::Seconds | ParamKind::Time | ParamKind::Count => "number",
        ParamKind::Flag => "flag",
        ParamKind::Pairs => "pair",
    }
}

/// Makes a request for an operation by its name: "get", "set", "revoke" and so on. docs/c.md lists the
/// operations and their parameters.
///
/// Errors: RSP_INVALID_ARGUMENT for an unknown operation.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_request_new(
    operation: *const c_char,
    request_out: Option<&mut MaybeUninit<*mut rsp_request>>,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        // SAFETY: the conventions.
        let operation = unsafe { pointer::name("operation", operation) }?;
        let out = required("request_out", request_out)?;
        out.write(Box::into_raw(Box::new(rsp_request::new(&operation)?)));
        Ok(())
    })
}

/// Sets a parameter that takes a text, such as "key". A parameter may be set again.
///
/// Errors: RSP_INVALID_ARGUMENT for a parameter that the operation does not have or that takes
/// something else, RSP_INVALID_TEXT. The request is then unchanged. Whether PostgreSQL can store the
/// text is checked when the request is carried out.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_request_text(
    request: Option<&mut rsp_request>,
    parameter: *const c_char,
    text: *const c_char,
    text_len: usize,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let request = required("request", request)?;
        // SAFETY: the conventions.
        let parameter = unsafe { pointer::name("parameter", parameter) }?;
        let (name, value) = request.place(&parameter, "text")?;
        // SAFETY: the conventions.
        let text = unsafe { pointer::text(name, text, text_len) }?;
        *value = Value::Text(text.to_vec());
        Ok(())
    })
}

/// Sets a parameter that takes a number, such as "ttl".
///
/// Errors: RSP_INVALID_ARGUMENT, as in rsp_request_text.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_request_number(
    request: Option<&mut rsp_request>,
    parameter: *const c_char,
    number: f64,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let request = required("request", request)?;
        // SAFETY: the conventions.
        let parameter = unsafe { pointer::name("parameter", parameter) }?;
        let (_, value) = request.place(&parameter, "number")?;
        *value = Value::Number(number);
        Ok(())
    })
}

/// Sets a parameter that takes a boolean, such as "remember".
///
/// Errors: RSP_INVALID_ARGUMENT, as in rsp_request_text.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_request_flag(
    request: Option<&mut rsp_request>,
    parameter: *const c_char,
    flag: bool,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let request = required("request", request)?;
        // SAFETY: the conventions.
        let parameter = unsafe { pointer::name("parameter", parameter) }?;
        let (_, value) = request.place(&parameter, "flag")?;
        *value = Value::Flag(flag);
        Ok(())
    })
}

/// Adds a pair of an audience and a subject to a parameter that takes pairs, such as "metadata".
///
/// Errors: RSP_INVALID_ARGUMENT and RSP_INVALID_TEXT, as in rsp_request_text.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_request_pair(
    request: Option<&mut rsp_request>,
    parameter: *const c_char,
    audience: *const c_char,
    audience_len: usize,
    subject: *const c_char,
    subject_len: usize,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let request = required("request", request)?;
        // SAFETY: the conventions.
        let parameter = unsafe { pointer::name("parameter", parameter) }?;
        let (_, value) = request.place(&parameter, "pair")?;
        // SAFETY: the conventions.
        let audience = unsafe { pointer::text("audience", audience, audience_len) }?;
        // SAFETY: the conventions.
        let subject = unsafe { pointer::text("subject", subject, subject_len) }?;
        let pair = (audience.to_vec(), subject.to_vec());
        match value {
            Value::Pairs(pairs) => pairs.push(pair),
            empty => *empty = Value::Pairs(vec![pair]),
        }
        Ok(())
    })
}

/// Removes all arguments from a request.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_request_clear(request: Option<&mut rsp_request>) {
    guard((), || {
        let values = request.into_iter().flat_map(|request| &mut request.values);
        values.for_each(|value| *value = Value::Nothing);
    });
}

/// Frees a request.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_request_free(request: Option<Box<rsp_request>>) {
    guard((), || drop(request));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_of_every_operation_has_a_place() {
        for kind in ops::KINDS {
            let mut request = rsp_request::new(kind.spec.name).expect("an operation");
            for param in kind.spec.params {
                let types = ["text", "number", "flag", "pair"];
                let taken = types.map(|given| request.place(param.name, given).is_ok());
                assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
            }
        }
    }
}
