//! The integration suite: one binary, so that its tests share one PostgreSQL cluster and one nginx
//! a phase. `support` starts and stops those servers, every other module holds tests.
//!
//! The tests load the installed files, not the crate's objects: run `make build` first.

mod batching;
mod behaviour;
mod capi;
mod connections;
mod demo;
mod durability;
mod failover;
mod generated;
mod hostile;
mod instances;
mod large;
mod manage;
mod map;
mod nginx;
mod packages;
mod passwords;
mod pgbouncer;
mod samples;
mod serving;
mod support;
mod symbols;
mod tls;
