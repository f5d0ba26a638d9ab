//! `health`: whether the sessions can be read now.

use crate::Error;
use crate::db::{Db, Fault, Fixed};
use crate::op::{Args, Group, Operation, Spec};
use std::time::Duration;

/// Reads a row of the sessions table, if there is one.
#[derive(Default)]
pub struct Health {}

const HEALTH: Fixed = Fixed::reads("SELECT 1 FROM {sessions} LIMIT 1", &[]);

impl Operation for Health {
    const SPEC: Spec = Spec {
        name: "health",
        group: Group::Administration,
        summary: "Say whether the sessions table can be read now, for readiness probes.",
        details: "It waits a second at most for a connection, and another one for the answer, \
                  whatever the timeouts.",
        params: &[],
        returns: "true",
    };

    const TIME_LIMIT: Option<Duration> = Some(Duration::from_secs(1));

    type Answer = ();

    fn read(_: &Args<'_>) -> Result<Self, Error> {
        Ok(Health {})
    }

    fn run(&self, db: &mut Db<'_>) -> Result<(), Fault> {
        db.execute(&HEALTH, &[])
    }
}
