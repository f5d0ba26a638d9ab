//! An HTTP client that reports how a request ended, where the other tests' client fails the test.

use std::time::Duration;

use crate::support::Response;

/// Far beyond any deadline here: a request that takes so long hangs.
const TIMEOUT: Duration = Duration::from_secs(20);

pub struct Client {
    port: u16,
    http: ureq::Agent,
}

impl Client {
    /// With `keep`, a connection serves more than one request.
    pub fn new(port: u16, keep: bool) -> Self {
        let http = ureq::Agent::config_builder()
            .timeout_recv_response(Some(TIMEOUT))
            .timeout_recv_body(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_idle_connections(usize::from(keep))
            .build();
        Client { port, http: http.into() }
    }

    /// Sends a request and reads its response.
    pub fn get(&self, path: &str) -> Result<Response, ureq::Error> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let mut response = self.http.get(url).call()?;
        Ok(Response {
            status: response.status().as_u16(),
            body: response.body_mut().read_to_string()?,
        })
    }
}
