//! How many sessions a subject may have.

/// A limit of a subject's sessions in an audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionLimit {
    /// Live sessions at most.
    pub sessions: u32,
    /// What becomes of one more.
    pub beyond: Beyond,
}

/// What becomes of a session beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Beyond {
    /// It is saved, and those that would end first are ended at once.
    #[default]
    EndOldest,
    /// It is not saved.
    Refuse,
}

impl Beyond {
    pub(super) const WORDS: &'static [(&'static str, Self)] = &[
        ("end-oldest", Beyond::EndOldest),
        ("refuse", Beyond::Refuse),
    ];
}
