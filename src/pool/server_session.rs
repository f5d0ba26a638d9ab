//! What a session of the server may be used for. Behind a pooler each transaction may run in a
//! different session, where statements prepared and settings made before are missing, or are those
//! of another client.

use super::client::Driver;
use super::fault::causes;
use super::given_up::{self, Backend};
use super::open_error::OpenError;
use crate::config::ServerSessionConfig;
use crate::host::log::{self, Level, Limited};
use postgres::SimpleQueryMessage;
use postgres::error::SqlState;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_postgres::Client;

/// How long a statement waits for a row that another transaction has locked. The operation then
/// gives its connection back and tries again. A batch waits this long at most for each lock; a
/// normal save holds its rows for about the time of one flush to disk.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_millis(20);

/// How a pool's sessions are started and used.
pub(super) struct ServerSessions {
    config: ServerSessionConfig,
    /// The settings that statements run under, as options of the start-up message.
    options: String,
    /// A query that makes those of the settings that can be made with a statement, for its
    /// transaction.
    pub(super) settings: String,
    /// Whether a pooler was noticed in front of the servers. Once noticed, it is assumed to stay.
    pooler: AtomicBool,
    /// The log lines about backends that are unknown.
    no_backends: Limited,
}

/// How to start a session with settings.
pub(super) struct Start {
    /// The options of the start-up message.
    pub(super) options: String,
    /// The random value of a setting that is made along with ours. If it cannot be read back, a
    /// pooler has dropped the settings, or has connected us to another client's session.
    witness: String,
}

/// What is known of a new session.
pub(super) struct Inspected {
    /// The settings of its start stay.
    pub(super) settings_hold: bool,
    /// Its backend, where that is the session's own.
    pub(super) backend: Option<Backend>,
}

/// PostgreSQL accepts a setting of any name with a dot.
const WITNESS: &str = "resty_session_postgres.connection";

impl ServerSessions {
    /// The statement timeout ends a statement whose caller has given up. It counts from the
    /// statement's start, so it cannot be set with the statement itself.
    pub(super) fn new(config: ServerSessionConfig, statement_timeout: Duration) -> Self {
        let lock_timeout = LOCK_TIMEOUT.as_millis().to_string();
        let commit = config.synchronous_commit.map(str::to_owned);
        let mut options = format!("-c statement_timeout={}", statement_timeout.as_millis());
        let mut calls = Vec::new();
        for (name, value) in [("lock_timeout", Some(lock_timeout)), ("synchronous_commit", commit)]
        {
            if let Some(value) = value {
                options += &format!(" -c {name}={value}");
                calls.push(format!("pg_catalog.set_config('{name}', '{value}', true)"));
            }
        }
        ServerSessions {
            config,
            options,
            settings: format!("SELECT pg_catalog.concat({})", calls.join(", ")),
            pooler: AtomicBool::new(false),
            no_backends: Limited::new(),
        }
    }

    /// How to start a session with the settings, unless a pooler is known to be there or none of
    /// them may be left in a session.
    pub(super) fn start(&self) -> Option<Start> {
        if self.config.prepared == "false" || self.has_pooler() {
            return None;
        }
        let witness = format!("{:x}", RandomState::new().hash_one(WITNESS));
        let options = format!("{} -c {WITNESS}={witness}", self.options);
        Some(Start { options, witness })
    }

    /// Checks a new session: fails if its server is not of the wanted kind. One round trip, or none.
    pub(super) fn inspect(
        &self,
        driver: &mut Driver,
        client: &Client,
        start: Option<&Start>,
    ) -> Result<Inspected, OpenError> {
        let target = self.config.target;
        let witness = start.map(|start| &*start.witness);
        let mut inspected = Inspected { settings_hold: false, backend: None };
        if witness.is_some() || target != "any" {
            let query = format!(
                "SELECT pg_catalog.current_setting('{WITNESS}', true), \
                 pg_catalog.current_setting('transaction_read_only')"
            );
            let mut ask = |query: &str| {
                driver.run(client.simple_query(query)).ok_or_else(OpenError::no_answer)
            };
            let mut answer = ask(&format!("{query}, {}", given_up::columns()))?;
            // A role may be kept from asking for its backend.
            if let Err(error) = &answer
                && error.as_db_error().is_some()
                && !client.is_closed()
            {
                let reason = causes(error);
                answer = ask(&query)?;
                self.no_backends.log(Level::Notice, || {
                    format!("what is given up is not ended, since backends are unknown: {reason}")
                });
            }
            let answer = answer?;
            let row = answer.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            });
            let column = |at| row.and_then(|row| row.try_get(at).ok().flatten());
            let mismatch = match (target, column(1)) {
                ("read-write", Some("on")) => Some("the server is read-only"),
                ("read-only", Some("off")) => Some("the server is not read-only"),
                _ => None,
            };
            if let Some(mismatch) = mismatch {
                return Err(OpenError::failed("target_session_attrs", mismatch));
            }
            inspected.settings_hold = witness.is_some() && column(0) == witness;
            if inspected.settings_hold {
                let number = |at| column(at).and_then(|text| text.parse().ok());
                inspected.backend = match (number(2), number(3), number(4)) {
                    (Some(pid), Some(server), Some(started)) => {
                        Some(Backend { server, pid, started })
                    }
                    _ => None,
                };
            }
        }
        if !inspected.settings_hold && self.config.prepared != "false" {
            self.notice_pooler();
        }
        Ok(inspected)
    }

    /// Whether statements are prepared in a session.
    pub(super) fn prepares(&self, settings_hold: bool) -> bool {
        match self.config.prepared {
            "true" => true,
            "auto" => settings_hold,
            _ => false,
        }
    }

    /// Whether a session was treated as the server's own, and a pooler was noticed later.
    pub(super) fn is_mistaken(&self, settings_hold: bool) -> bool {
        settings_hold && self.config.prepared == "auto" && self.has_pooler()
    }

    /// Looks whether a prepared statement was missing, or was another client's: only a pooler
    /// causes that.
    pub(super) fn failed_with(&self, code: &SqlState) {
        let lost = [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT];
        if self.config.prepared == "auto" && lost.contains(code) {
            self.notice_pooler();
        }
    }

    fn has_pooler(&self) -> bool {
        self.pooler.load(Ordering::Relaxed)
    }

    fn notice_pooler(&self) {
        if !self.pooler.swap(true, Ordering::Relaxed) {
            let text = "a pooler was noticed: nothing is left in its sessions from now on";
            log::log(Level::Notice, text.to_owned());
        }
    }
}
