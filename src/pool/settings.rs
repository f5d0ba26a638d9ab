//! The server settings that our statements run under. They are made once for a session, when it
//! starts, or for each statement.

use std::time::Duration;

/// The server settings that our statements run under.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// How long a statement waits for a lock. The operation then gives its connection back and tries
    /// again.
    pub(super) lock_timeout: Duration,
    /// Ends a statement whose caller has given up. It counts from the statement's start, so it cannot
    /// be set with the statement itself.
    pub(super) statement_timeout: Duration,
    /// When a save counts as committed.
    pub(super) synchronous_commit: Option<&'static str>,
}

impl Settings {
    /// Those that can be set with a statement.
    fn for_a_statement(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![("lock_timeout", self.lock_timeout.as_millis().to_string())];
        if let Some(commit) = self.synchronous_commit {
            settings.push(("synchronous_commit", commit.to_string()));
        }
        settings
    }

    /// A session's settings, as options of the start-up message.
    pub(super) fn as_options(&self) -> String {
        let timeout = self.statement_timeout.as_millis();
        let mut options = format!("-c statement_timeout={timeout}");
        for (name, value) in self.for_a_statement() {
            options += &format!(" -c {name}={value}");
        }
        options
    }

    /// A query that makes the settings for its transaction.
    pub(super) fn as_query(&self) -> String {
        let settings: Vec<String> = self
            .for_a_statement()
            .iter()
            .map(|(name, value)| format!("set_config('{name}', '{value}', true)"))
            .collect();
        format!("SELECT concat({})", settings.join(", "))
    }
}
