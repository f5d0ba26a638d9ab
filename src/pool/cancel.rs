//! Cancels a statement behind a pooler. A server's own sessions have a `statement_timeout`, which
//! ends a statement that was given up; behind a pooler it would run on and hold its locks.

use super::client::Driver;
use super::endpoint::Endpoint;
use crate::tls::AlreadyNegotiated;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::CancelToken;

/// The time for the request. The pooler finds the statement by the client's connection, so that one
/// must stay open for as long.
const TIME: Duration = Duration::from_millis(50);

/// Cancels what one connection runs.
pub(super) struct Canceller {
    pub(super) token: CancelToken,
    pub(super) endpoint: Endpoint,
}

impl Canceller {
    /// Sends the request on a connection of its own. Always takes [`TIME`]; errors are ignored.
    pub(super) fn cancel(self) {
        let request = async {
            let socket = self.endpoint.dial().await.ok()?;
            let stream = self.endpoint.negotiate(socket).await.ok()?;
            let request = self.token.cancel_query_raw(stream, AlreadyNegotiated);
            request.await.ok()
        };
        if let Ok(mut driver) = Driver::new(Instant::now() + TIME, Arc::default()) {
            driver.wait(async {
                request.await;
                pending::<()>().await;
            });
        }
    }
}
