//! What a session of the server's may be relied on for. Behind a pooler each transaction may run in
//! another one: what was prepared or set before is not there, or somebody else's.

use super::settings::Settings;
use super::status::Failure;
use crate::config::{PreparedStatements, ServerSessionConfig, TargetSession};
use crate::host::log::{self, Level};
use postgres::error::SqlState;
use postgres::{Client, Config, SimpleQueryMessage};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a pooler was noticed between here and the servers. Once it was, it is believed to stay.
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
    /// The settings were made when the session started, and hold.
    pub(super) settings_hold: bool,
    /// Statements are prepared.
    pub(super) prepares: bool,
}

impl ServerSession {
    /// Whether the session was taken for one of the server's own, and turned out to be a pooler's.
    pub(super) fn is_mistaken(&self) -> bool {
        self.prepares && self.mode == PreparedStatements::Auto && self.pooler.noticed()
    }

    /// A prepared statement was gone, or of another client: the server itself loses none.
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

/// How sessions are to be.
pub(super) struct ServerSessions {
    config: ServerSessionConfig,
    settings: Settings,
    pooler: Arc<Pooler>,
}

/// What a new session is looked at for.
#[derive(Clone)]
pub(super) struct Wanted {
    target: TargetSession,
    /// A setting of a random value, made along with ours: where it cannot be read back, a pooler
    /// has dropped them, or put a session of somebody else's behind the connection.
    witness: Option<String>,
}

/// Any name with a dot is free to be set.
const WITNESS: &str = "resty_session_postgres.connection";

impl ServerSessions {
    pub(super) fn new(config: ServerSessionConfig, settings: Settings) -> Self {
        ServerSessions {
            config,
            settings,
            pooler: Arc::default(),
        }
    }

    /// What to ask of a new session, in the order in which it is to be tried. A pooler may refuse
    /// the connection for the settings that come with it.
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

    /// Adds to the start-up message what is to be set.
    pub(super) fn prepare(&self, wanted: &Wanted, options: &mut Config) {
        if let Some(witness) = &wanted.witness {
            let settings = self.settings.as_options();
            options.options(&format!("{settings} -c {WITNESS}={witness}"));
        }
    }

    /// How statements are run in a session that was found to hold its settings or not.
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

/// Whether the connection was refused for what is asked of its session, as poolers do.
pub(super) fn refuses_settings(wanted: &Wanted, error: &postgres::Error) -> bool {
    wanted.witness.is_some() && error.code() == Some(&SqlState::PROTOCOL_VIOLATION)
}

/// Looks at a new session: fails if it is with the wrong server, and otherwise says whether its
/// settings hold. One round trip, or none.
pub(super) fn inspect(client: &mut Client, wanted: &Wanted) -> Result<bool, Failure> {
    if wanted.witness.is_none() && wanted.target == TargetSession::Any {
        return Ok(false);
    }
    let query = format!(
        "SELECT current_setting('{WITNESS}', true), current_setting('transaction_read_only')"
    );
    let answer = client
        .simple_query(&query)
        .map_err(|error| Failure::new("start-up", error, false))?;
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
    Err(Failure::new("target_session_attrs", mismatch, false))
}
