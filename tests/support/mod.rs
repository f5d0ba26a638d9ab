//! Real servers for the tests: started in a moment, stopped and swept away whatever happens.

#![allow(
    dead_code,
    unused_imports,
    reason = "a tool box: not every tool is in use at all times"
)]

mod calls;
mod cluster;
mod database;
mod disk;
mod initdb;
mod nginx;
mod pgbouncer;
pub mod process;
mod settings;
pub mod stage;

use std::sync::OnceLock;

pub use calls::{Calls, session};
pub use cluster::{Builder, Cluster, Stop};
pub use database::{Database, disconnect, one};
pub use nginx::{Builder as NginxBuilder, Nginx, Response};
pub use pgbouncer::PgBouncer;

/// The cluster that all tests share which do no harm to it. Each takes a database of its own.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<&Cluster> = OnceLock::new();
    SHARED.get_or_init(|| process::keep_until_exit(Cluster::builder().start(), Cluster::destroy))
}
