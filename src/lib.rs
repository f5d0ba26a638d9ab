//! A PostgreSQL session storage for OpenResty's `resty.session`, as a shared library.
//!
//! A binding (`lua` for Lua, `capi` for C) or a Rust caller makes an [`Operation`], checked, and hands
//! it to a [`Storage`]. The engine, which all storages of equal configuration share, queues it; one of
//! its threads runs it on a pooled connection, with others that may share its statement. The outcome
//! goes to a blocking caller, or to the [`CompletionQueue`] of an event loop. docs/design.md follows it
//! from file to file.
//!
//! Nothing here blocks a caller beyond its configured timeouts. What living in another program's
//! process asks of the library is in `host`.

// Both belong to the host; see `host::log`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "capi")]
pub mod capi;
mod completion;
pub mod config;
mod engine;
mod error;
mod host;
#[cfg(feature = "lua-module")]
mod lua;
pub mod manage;
mod op;
mod pool;
mod sql;
mod statements;
mod storage;
mod tls;

pub use completion::{CompletionQueue, Ticket};
pub use config::Config;
pub use error::Error;
pub use host::log;
pub use op::{
    Epoch, Get, MAX_TEXT_BYTES, Old, Operation, Outcome, Output, ReadMetadata, Set, key, text,
};
pub use storage::Storage;

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
