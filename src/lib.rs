//! A PostgreSQL session storage for OpenResty's `resty.session`, as a shared library.
//!
//! A binding (`lua` for Lua, `capi` for C) or a Rust caller makes an operation of [`ops`], checked, and
//! hands it to a [`Storage`]. The engine, which all storages of equal configuration share, queues it; one
//! of its threads runs it on a pooled connection, with others that may share its statement. The outcome
//! goes to a blocking caller, or to the [`CompletionQueue`] of an event loop. docs/design.md follows a
//! `get` from file to file.
//!
//! Nothing here blocks a caller beyond its configured timeouts. The rules of running inside
//! a host process are in `host`.

// Both belong to the host; see `host::log`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "capi")]
pub mod capi;
mod completion;
pub mod config;
mod db;
mod engine;
mod error;
mod host;
#[cfg(feature = "lua-module")]
mod lua;
pub mod op;
pub mod ops;
mod pool;
mod storage;
mod tls;

pub use completion::{CompletionQueue, Ticket, WakeAddress};
pub use config::Config;
pub use error::Error;
pub use host::log;
pub use op::{Answer, Epoch, MAX_TEXT_BYTES, Outcome};
pub use storage::Storage;

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
