//! A PostgreSQL session storage for OpenResty's `resty.session`, as a shared library.
//!
//! The road of an operation, from a caller to PostgreSQL and back:
//!
//! 1. A binding (`lua` for Lua, `capi` for C) or a Rust caller makes an [`Operation`], checked, and
//!    hands it to a [`Storage`].
//! 2. The storage's `engine`, shared by all storages of equal configuration, queues it. A worker
//!    thread takes it in a `batch` with others that may share its statement.
//! 3. The worker checks a connection out of the `pool` (r2d2) and runs the statement (`sql`).
//! 4. The outcome goes to the `completion` of its caller: a blocking one is woken, an event loop
//!    gets one byte on a socket and drains its queue.
//!
//! Nothing here blocks a caller beyond its configured timeouts. What living in another program's
//! process asks of the library is in `host`.

#[cfg(feature = "capi")]
pub mod capi;
mod completion;
pub mod config;
mod deadline;
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
