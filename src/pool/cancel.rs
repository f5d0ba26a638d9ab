//! A word to a pooler about what nobody waits for any more. The server's own sessions have a
//! statement_timeout, which ends it; behind a pooler nothing does, and it holds its locks.

use crate::deadline::Deadline;
use crate::host::thread;
use crate::tls::Connector;
use postgres::CancelToken;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long it may take to be told. The pooler finds the statement by its client, whose connection
/// has to stay for as long.
const TIME: Duration = Duration::from_millis(50);

/// Cancels what one connection runs.
pub(super) struct Canceller {
    pub(super) token: CancelToken,
    pub(super) connector: Connector,
    /// The connector's.
    pub(super) deadline: Arc<Deadline>,
}

impl Canceller {
    /// Asks for it on a connection of its own, and waits as long as that may take. It has a thread of
    /// its own, too: to connect may take longer, and is then left behind.
    pub(super) fn cancel(self) {
        self.deadline.set(Instant::now() + TIME);
        let ask = move || drop(self.token.cancel_query(self.connector));
        if thread::spawn("rsp-cancel", ask).is_ok() {
            std::thread::sleep(TIME);
        }
    }
}
