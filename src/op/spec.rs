//! How an operation describes itself: the one place that says its name, its parameters and its
//! documentation. The Lua methods, the C requests, the command line, the statistics and the generated
//! reference read it.

/// An operation's description.
#[derive(Debug)]
pub struct Spec {
    /// Its name: a method's in Lua, a request's in C, a command's on the command line (with dashes).
    pub name: &'static str,
    /// Where the reference lists it.
    pub group: Group,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// What else a caller should know; paragraphs are separated by an empty line.
    pub details: &'static str,
    /// Its parameters, in the order of the Lua method's arguments.
    pub params: &'static [Param],
    /// What it answers.
    pub returns: &'static str,
}

/// A part of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// What `resty.session` calls. Further arguments are ignored, as upstream ignores them.
    Storage,
    /// What the people who run a site call. An argument too many is refused.
    Administration,
}

/// A parameter.
#[derive(Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: ParamKind,
    /// Whether it may be left out.
    pub optional: bool,
    /// What it means, with its unit and its default.
    pub doc: &'static str,
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// A text that PostgreSQL can store.
    Text,
    /// A session's key: a text that is not empty.
    Key,
    /// A number of seconds, possibly fractional.
    Seconds,
    /// Seconds since 1970, possibly fractional; now where it is left out.
    Time,
    /// A whole number from 1 on.
    Count,
    /// A boolean; false where it is left out.
    Flag,
    /// Pairs of an audience and a subject.
    Pairs,
    /// A text that is accepted for upstream's callers and not used.
    Unused,
}

/// cbindgen:ignore
impl Param {
    /// The key of the session that the operation is about.
    pub const KEY: Self = Param::new("key", ParamKind::Key, "session key");

    /// For how long a session lives.
    pub const TTL: Self = {
        let doc = "seconds from `current_time` until the session expires";
        Param::new("ttl", ParamKind::Seconds, doc)
    };

    /// The clock of the caller.
    pub const CURRENT_TIME: Self = {
        let doc = "seconds since 1970 (defaults to now)";
        Param::optional("current_time", ParamKind::Time, doc)
    };

    /// The cookie's name, where it is not used: keys are unique without it.
    pub const UNUSED_NAME: Self =
        Param::optional("name", ParamKind::Unused, "cookie name; not used");

    /// A parameter that must be given.
    pub const fn new(name: &'static str, kind: ParamKind, doc: &'static str) -> Self {
        Param {
            name,
            kind,
            optional: false,
            doc,
        }
    }

    /// A parameter that may be left out.
    pub const fn optional(name: &'static str, kind: ParamKind, doc: &'static str) -> Self {
        let mut param = Param::new(name, kind, doc);
        param.optional = true;
        param
    }
}
