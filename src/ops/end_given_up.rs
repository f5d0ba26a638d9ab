//! What the engine does after a statement was given up.

use crate::Error;
use crate::db::{Db, Fault};
use crate::op::{Args, Group, Operation, Spec};

/// Has the server end what was given up there.
pub(crate) struct EndGivenUp;

impl Operation for EndGivenUp {
    const SPEC: Spec = Spec {
        name: "end_given_up",
        group: Group::Administration,
        summary: "",
        details: "",
        params: &[],
        returns: "",
    };

    type Answer = ();

    fn read(_: &Args<'_>) -> Result<Self, Error> {
        Err(Error::internal("the engine's own operation"))
    }

    fn run(&self, db: &mut Db<'_>) -> Result<(), Fault> {
        db.end_given_up()
    }
}
