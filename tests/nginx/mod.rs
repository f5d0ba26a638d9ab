//! The library inside nginx: that it holds up nobody, survives what happens to its database and to
//! nginx, and behaves as a guest. A file for each subject; `site.rs` and `site.lua` are the stage.
//!
//! What comes of an operation is the business of `behaviour`; here it is when, and at whose cost.

#[path = "../faults/client.rs"]
mod client;
pub mod site;

mod abandoned;
mod concurrency;
mod guest;
mod held_up;
mod leaving;
mod loading;
mod locks;
mod logging;
mod never_waits;
mod outage;
mod phases;
mod rotation;
mod tls_phases;
mod worker_threads;
