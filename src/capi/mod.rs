//! The C interface. Each function answers for itself: no panic leaves it, no pointer is trusted
//! beyond what its documentation asks. The header is made of these files (`make generate`).
//!
//! A file a handle: `config` and `storage` to begin with, `set` for what one save is given, `bytes`
//! and `metadata` for what comes back, `request` and `call` for the operations beside those of a
//! session's life, `queue`, `submit` and `completion` for event loops, `log`, `version`. What they
//! share is in `status`, `guard`, `pointer`, `growing` (structs of the caller's), `fields` (arguments
//! of a request) and `operation` (arguments and results of the others).
#![allow(unsafe_code)]
#![allow(
    non_camel_case_types,
    reason = "the types are named for C, where they are used"
)]

mod fields;
mod growing;
mod guard;
mod operation;
mod pointer;

// The header has the functions in this order.
mod status;
mod version;

mod config;

mod set;
mod storage;

mod password;

mod bytes;
mod metadata;

mod queue;

mod request;

mod call;
mod submit;

mod completion;

mod log;

#[cfg(test)]
mod tests;

pub use bytes::*;
pub use call::*;
pub use completion::*;
pub use config::*;
pub use log::*;
pub use metadata::*;
pub use password::*;
pub use queue::*;
pub use request::*;
pub use set::*;
pub use status::*;
pub use storage::*;
pub use submit::*;
pub use version::*;

use crate::op::Epoch;

/// In the place of a time: the second in which the function is called.
pub const RSP_NOW: i64 = i64::MIN;

/// The time that a caller named by a number of seconds, or by [`RSP_NOW`].
fn time(name: &'static str, seconds: i64) -> Result<Epoch, crate::Error> {
    match seconds {
        RSP_NOW => Ok(Epoch::now()),
        // Exact for every time that can be stored; the others are refused either way.
        seconds => Epoch::from_seconds(name, seconds as f64),
    }
}
