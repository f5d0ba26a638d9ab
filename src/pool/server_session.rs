//! What a session of the server may be used for. Behind a pooler each transaction may run in a
//! different session, where statements prepared and settings made before are missing, or are those of
//! another client.

use super::client::Client;
use super::open_error::OpenError;
use super::settings::Settings;
use crate::config::{PreparedStatements, ServerSessionConfig, TargetSession};
use crate::host::log::{self, Level};
use postgres::SimpleQueryMessage;
use postgres::error::SqlState;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_postgres::Config;

/// Whether a pooler was noticed in front of the servers. Once noticed, it is assumed to stay.
#[derive(Default)]
pub(crate) struct Pooler(AtomicBool);

impl Pooler {
    pub(super) fn noticed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn notice(&self) {
        if !self.0.swap(true, Ordering::Relaxed) {
            let text = "a pooler was noticed: nothing is left in its sessions from now on";
            log::log(Level::Notice, text.to_owned());
        }
    }
}

/// How statements are run in a session.
#[derive(Clone)]
pub(crate) struct ServerSession {
    mode: PreparedStatements,
    pub(super) settings: Settings,
    pub(super) pooler: Arc<Pooler>,
    /// The settings were made when the session started, and stay.
    pub(super) settings_hold: bool,
    /// Statements are prepared.
    pub(super) prepares: bool,
}

impl ServerSession {
    /// Whether the session was treated as the server's own, and a pooler was noticed later.
    pub(super) fn is_mistaken(&self) -> bool {
        self.prepares && self.mode == PreparedStatements::Auto && self.pooler.noticed()
    }

    /// A prepared statement was missing, or was another client's: only a pooler causes that.
    pub(super) fn lost_a_statement(&self, code: &SqlState) {
        let lost = [
            SqlState::INVALID_SQL_STATEMENT_NAME,
            SqlState::DUPLICATE_PSTATEMENT,
        ];
        if self.mode == PreparedStatements::Auto && lost.contains(code) {
            self.pooler.notice();
        }
    }
}

/// How new sessions are started.
pub(super) struct ServerSessions {
    config: ServerSessionConfig,
    settings: Settings,
    pooler: Arc<Pooler>,
}

/// What is asked of a new session, and checked.
#[derive(Clone)]
pub(super) struct Wanted {
    target: TargetSession,
    /// The random value of a setting that is made along with ours. If it cannot be read back, a pooler
    /// has dropped the settings, or has connected us to another client's session.
    witness: Option<String>,
}

/// PostgreSQL accepts a setting of any name with a dot.
const WITNESS: &str = "resty_session_postgres.connection";

impl ServerSessions {
    pub(super) fn new(config: ServerSessionConfig, settings: Settings) -> Self {
        ServerSessions {
            config,
            settings,
            pooler: Arc::default(),
        }
    }

    /// What to ask of a new session, in the order of the attempts. A pooler may refuse a connection
    /// for the settings in its start-up message.
    pub(super) fn tries(&self) -> Vec<Wanted> {
        let target = self.config.target;
        let plain = Wanted {
            target,
            witness: None,
        };
        if self.config.prepared == PreparedStatements::Never || self.pooler.noticed() {
            return vec![plain];
        }
        let witness = format!("{:x}", RandomState::new().hash_one(target));
        let with_settings = Wanted {
            target,
            witness: Some(witness),
        };
        vec![with_settings, plain]
    }

    /// Adds the settings to the start-up message.
    pub(super) fn prepare(&self, wanted: &Wanted, options: &mut Config) {
        if let Some(witness) = &wanted.witness {
            let settings = self.settings.as_options();
            options.options(format!("{settings} -c {WITNESS}={witness}"));
        }
    }

    /// How statements are run in a session, depending on whether its settings stay.
    pub(super) fn session(&self, settings_hold: bool) -> ServerSession {
        let mode = self.config.prepared;
        if !settings_hold && mode != PreparedStatements::Never {
            self.pooler.notice();
        }
        ServerSession {
            mode,
            settings: self.settings.clone(),
            pooler: Arc::clone(&self.pooler),
            settings_hold,
            prepares: match mode {
                PreparedStatements::Always => true,
                PreparedStatements::Auto => settings_hold,
                PreparedStatements::Never => false,
            },
        }
    }
}

/// Checks a new session: fails if its server is not of the wanted kind; otherwise returns whether its
/// settings stay. One round trip, or none.
pub(super) fn inspect(client: &mut Client, wanted: &Wanted) -> Result<bool, OpenError> {
    if wanted.witness.is_none() && wanted.target == TargetSession::Any {
        return Ok(false);
    }
    let query = format!(
        "SELECT current_setting('{WITNESS}', true), current_setting('transaction_read_only')"
    );
    let answer = client.simple_query(&query)?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let column = |at| row.and_then(|row| row.try_get(at).ok().flatten());
    let mismatch = match (wanted.target, column(1)) {
        (TargetSession::ReadWrite, Some("on")) => "the server is read-only",
        (TargetSession::ReadOnly, Some("off")) => "the server is not read-only",
        _ => return Ok(wanted.witness.is_some() && column(0) == wanted.witness.as_deref()),
    };
    Err(OpenError::failed("target_session_attrs", mismatch))
}
