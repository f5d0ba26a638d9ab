//! The library under load while its database, its network and its nginx break underneath it. A
//! binary of its own: these tests measure, so they run one at a time and beside no others.
//!
//! Clients save and read without an end (`load.rs`) and know what was acknowledged
//! (`checker.rs`); a test breaks something meanwhile and mends it again. What has to come of it is
//! the same for all of them, and is in `trial.rs`.

mod checker;
mod client;
mod load;
mod random;
mod relay;
mod trial;

mod crowds;
mod database;
mod ended;
mod late;
mod life;
mod network;
mod refusals;
mod soak;

#[allow(dead_code, reason = "the stage of other tests, too")]
#[path = "../nginx/site.rs"]
mod site;
#[path = "../support/mod.rs"]
mod support;
