//! The library inside nginx: it holds up no other request, survives failures of its database and of
//! nginx, and leaves its host process as it is. A file for each subject, on the site of `site.rs` and
//! `site.lua`.
//!
//! `behaviour` tests what operations do; here it is when they do it, and at whose cost.

#[path = "../faults/client.rs"]
mod client;
pub mod site;

mod abandoned;
mod concurrency;
mod fallback;
mod held_calls;
mod held_up;
mod leaving;
mod loading;
mod locks;
mod logging;
mod never_waits;
mod outage;
mod phases;
mod pump;
mod rotation;
mod tls_phases;
mod upgrades;
mod worker_threads;
mod workers;
