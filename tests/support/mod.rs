//! Real servers for the tests, which start quickly and are stopped and removed whatever happens.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

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

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

pub use calls::{Calls, session, stat, together};
pub use cluster::{Builder, Cluster, Stop};
pub use database::{Database, NO_MARK, disconnect, one};
pub use nginx::{Builder as NginxBuilder, Nginx, Response};
pub use pgbouncer::PgBouncer;

/// The password of every role, by TCP: any user of the machine can connect to these servers. It is
/// another one in each run.
pub fn password() -> &'static str {
    static PASSWORD: OnceLock<String> = OnceLock::new();
    PASSWORD.get_or_init(|| {
        let random = |n: u8| RandomState::new().hash_one(n);
        format!("{:016x}{:016x}", random(1), random(2))
    })
}

/// The cluster of all tests that do not change it. Each has its own database.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<&Cluster> = OnceLock::new();
    SHARED.get_or_init(|| process::keep_until_exit(Cluster::builder().start(), Cluster::destroy))
}
