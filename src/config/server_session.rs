//! What is asked of a session of the server's: which server it is with, and how statements are run in it.

use std::fmt;

/// What is asked of a session of the server's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ServerSessionConfig {
    /// Which of several servers will do.
    pub target: TargetSession,
    /// Whether the servers, and the addresses of each, are tried in a random order.
    pub balance: bool,
    /// Whether statements are prepared.
    pub prepared: PreparedStatements,
    /// When a save counts as committed; `None` leaves that to the server.
    pub synchronous_commit: Option<SynchronousCommit>,
}

/// Which of several servers will do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TargetSession {
    /// Each that accepts the connection.
    #[default]
    Any,
    /// One that takes writes.
    ReadWrite,
    /// One that takes none, such as a standby.
    ReadOnly,
}

/// Whether statements are prepared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum PreparedStatements {
    /// Unless a pooler is noticed between here and the server.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never, and nothing else is left in a session either.
    Never,
}

/// PostgreSQL's `synchronous_commit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SynchronousCommit {
    /// Not even on the server's own disk.
    Off,
    /// On the server's disk.
    Local,
    /// Handed to the standby's operating system.
    RemoteWrite,
    /// On the standby's disk.
    On,
    /// Visible on the standby.
    RemoteApply,
}

impl TargetSession {
    pub(super) const WORDS: &'static [(&'static str, Self)] = &[
        ("any", TargetSession::Any),
        ("read-write", TargetSession::ReadWrite),
        ("read-only", TargetSession::ReadOnly),
    ];
}

impl PreparedStatements {
    pub(super) const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", PreparedStatements::Auto),
        ("true", PreparedStatements::Always),
        ("false", PreparedStatements::Never),
    ];
}

impl SynchronousCommit {
    pub(super) const WORDS: &'static [(&'static str, Self)] = &[
        ("off", SynchronousCommit::Off),
        ("local", SynchronousCommit::Local),
        ("remote_write", SynchronousCommit::RemoteWrite),
        ("on", SynchronousCommit::On),
        ("remote_apply", SynchronousCommit::RemoteApply),
    ];
}

impl fmt::Display for SynchronousCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(_, value)| value == self);
        f.write_str(word.map_or("on", |(word, _)| word))
    }
}
