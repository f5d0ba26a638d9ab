//! The configuration keys, each stated once. The checks, the defaults, the reading of connection
//! strings and of libpq's environment variables, and the documentation use this table.

use super::value::Kind;

/// A configuration key.
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// A second accepted spelling.
    pub alias: Option<&'static str>,
    /// The keyword that means the same in libpq's connection strings.
    pub keyword: Option<&'static str>,
    /// The environment variable that means the same to libpq.
    pub variable: Option<&'static str>,
    /// The type of its value, with the accepted range or words.
    pub kind: Kind,
    /// The value that holds if none is set, as a text; or, in words, what holds then.
    pub default: Result<&'static str, &'static str>,
    /// The meaning.
    pub doc: &'static str,
}

/// Every key, in the order of the documentation.
pub static KEYS: &[Key] = &[
    key("host", Kind::Hosts, Ok("127.0.0.1"))
        .libpq("host", "PGHOST")
        .doc("The server. Several servers are tried in turn."),
    key("port", Kind::Ports, Ok("5432"))
        .libpq("port", "PGPORT")
        .doc("The server's port: one for all hosts, or one for each host."),
    key("application", Kind::Text, Ok("pgmoon"))
        .libpq("application_name", "PGAPPNAME")
        .doc("The connections' `application_name` in `pg_stat_activity`."),
    key("username", Kind::Text, Ok("postgres")).libpq("user", "PGUSER").doc("The database user."),
    key("password", Kind::Secret, NONE)
        .libpq("password", "PGPASSWORD")
        .doc("The user's password. No error, log line or debug output shows it."),
    key("database", Kind::Text, Err("the username"))
        .libpq("dbname", "PGDATABASE")
        .doc("The database."),
    key("table_name", Kind::Table, Ok("sessions")).alias("table").doc("The table of the sessions."),
    key("table_name_meta", Kind::Table, Err("`table_name` with `_meta` at its end"))
        .alias("table_meta")
        .doc("The table of the sessions' metadata."),
    key("connect_timeout", millis(1), Ok("5000"))
        .libpq("connect_timeout", "PGCONNECT_TIMEOUT")
        .doc(
            "How long an operation may wait for a usable connection, including name look-up, TLS \
             and authentication. Connection strings and `PGCONNECT_TIMEOUT` give it in seconds.",
        ),
    key("send_timeout", millis(1), Ok("5000")).doc(
        "An operation that has a connection may take `send_timeout` and `read_timeout` \
             together.",
    ),
    key("read_timeout", millis(1), Ok("5000")).doc("See `send_timeout`."),
    key("keepalive_timeout", millis(0), Ok("60000"))
        .doc("An idle connection is closed after this time; 0 keeps it open."),
    key("pool", Kind::Text, NONE).doc(
        "A pool's name. Configurations with the same name, server and credentials share one \
             pool. The first one used sets its size.",
    ),
    key("pool_size", Kind::Number("connections", 1..=1_000), Ok("4"))
        .doc("The most connections that a process (an nginx worker) opens."),
    key("backlog", Kind::Number("operations", 0..=1_000_000), Ok("1024"))
        .doc("The most operations that may wait for a connection. One more fails at once."),
    key("cleanup_interval", millis(0), Ok("60000")).doc(
        "The time between two clean-ups of expired sessions in the background. With 0 there \
             are none: call `cleanup`.",
    ),
    key("ended_ttl", millis(0), Ok("60000")).doc(
        "For how long a session that was deleted, revoked or ended by the limit is remembered as \
             ended: a save that replaces it is refused. With 0 its row is deleted at once.",
    ),
    key("max_sessions_per_subject", Kind::Number("sessions", 0..=1_000_000), Ok("0")).doc(
        "The most live sessions that a subject may have in an audience under one cookie name; \
             0 is no limit. It applies to sessions saved with metadata.",
    ),
    word("max_sessions_beyond", &["end-oldest", "refuse"]).doc(
        "What happens to a save beyond that limit: `end-oldest` ends the sessions that would \
             expire first, `refuse` fails the save.",
    ),
    switch("ssl").doc("Use TLS if the server offers it."),
    switch("ssl_required")
        .doc("With `ssl`: refuse a server that offers no TLS, rather than continue in plain text."),
    switch("ssl_verify").doc(
        "With `ssl`: verify the server's certificate chain and its host name. It implies \
             `ssl_required`.",
    ),
    key("sslmode", SSL_MODE, Err("by the three keys above"))
        .libpq("sslmode", "PGSSLMODE")
        .doc("As in libpq. It may not contradict the three keys above."),
    key("sslrootcert", Kind::PathOr("system"), Err("the system's certificates"))
        .libpq("sslrootcert", "PGSSLROOTCERT")
        .doc(
            "The certificates to trust. With a file, the chain is verified in every mode; \
             `system` requires `verify-full`. `verify-ca` requires a file. With `ssl`, it implies \
             `ssl_required`.",
        ),
    key("sslcrl", Kind::Path, NONE)
        .libpq("sslcrl", "PGSSLCRL")
        .doc("The certificate revocation lists, one for each issuer in the chain."),
    key("sslcert", Kind::Path, NONE)
        .libpq("sslcert", "PGSSLCERT")
        .doc("The client certificate, and the intermediate certificates up to its root."),
    key("sslkey", Kind::Path, NONE).libpq("sslkey", "PGSSLKEY").doc(
        "The key of `sslcert`. The file may be readable by its owner only, or by a group if \
             root owns it. It is read when the storage is created, while nginx still runs as \
             root.",
    ),
    key("sslpassword", Kind::Secret, NONE)
        .keyword("sslpassword")
        .doc("The password of an encrypted `sslkey`."),
    key("ssl_min_protocol_version", TLS_VERSION, Ok("TLSv1.2"))
        .libpq("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION")
        .doc("The oldest accepted version of TLS."),
    word("sslnegotiation", &["postgres", "direct"])
        .libpq("sslnegotiation", "PGSSLNEGOTIATION")
        .doc(
            "`direct` starts TLS without asking first and saves a round trip (PostgreSQL 17 or later).",
        ),
    key("channel_binding", BINDING, Ok("prefer"))
        .libpq("channel_binding", "PGCHANNELBINDING")
        .doc("Whether SCRAM authentication is bound to the TLS session."),
    key("passfile", Kind::Path, NONE).libpq("passfile", "PGPASSFILE").doc(
        "A file with passwords in libpq's format, used if `password` is not set. It may be \
             readable by its owner only. It is read for each new connection; if that fails, what \
             was read when the storage was created is used.",
    ),
    key("require_auth", Kind::AuthMethods, Err("any"))
        .libpq("require_auth", "PGREQUIREAUTH")
        .doc(
            "What the server must ask for, such as `scram-sha-256`. If it asks for something else, it \
             gets no answer.",
        ),
    key("allow_cleartext", Kind::Flag, Err("`false`")).doc(
        "If the server asks for it, send the password in clear text over a connection without \
             TLS.",
    ),
    word("target_session_attrs", &["any", "read-write", "read-only"])
        .libpq("target_session_attrs", "PGTARGETSESSIONATTRS")
        .doc(
            "Which of several servers to use. `read-write` finds the primary, also after a \
             failover.",
        ),
    word("load_balance_hosts", &["disable", "random"])
        .libpq("load_balance_hosts", "PGLOADBALANCEHOSTS")
        .doc("`random` tries the servers, and the addresses of each, in a random order."),
    word("prepared_statements", &["auto", "true", "false"]).doc(
        "Whether to prepare statements. `auto` prepares them unless it detects a pooler such \
             as PgBouncer; `false` also leaves nothing else in a server session.",
    ),
    key("synchronous_commit", COMMIT, Err("the server's setting")).doc(
        "PostgreSQL's setting of that name. With `off`, a crash of the server may lose the \
             saves of its last moments.",
    ),
];

/// Words of other clients, and the keys that mean the same.
pub(super) const OTHER_WORDS: &[(&str, &str)] = &[
    ("db", "database"),
    ("dbuser", "username"),
    ("hostname", "host"),
    ("hosts", "host"),
    ("login", "username"),
    ("max_pool_size", "pool_size"),
    ("pass", "password"),
    ("passwd", "password"),
    ("poolsize", "pool_size"),
    ("ports", "port"),
    ("pwd", "password"),
    ("role", "username"),
    ("server", "host"),
    ("servers", "host"),
    ("socket", "host"),
    ("socket_path", "host"),
    ("tls", "ssl"),
    ("user_name", "username"),
];

const NONE: Result<&str, &str> = Err("none");
const SSL_MODE: Kind = Kind::Word(&["disable", "prefer", "require", "verify-ca", "verify-full"]);
const TLS_VERSION: Kind = Kind::Word(&["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]);
const BINDING: Kind = Kind::Word(&["disable", "prefer", "require"]);
const COMMIT: Kind = Kind::Word(&["off", "local", "remote_write", "on", "remote_apply"]);

const fn key(name: &'static str, kind: Kind, default: Result<&'static str, &'static str>) -> Key {
    Key { name, alias: None, keyword: None, variable: None, kind, default, doc: "" }
}

/// A time in milliseconds, of a day at most.
const fn millis(least: u32) -> Kind {
    Kind::Number("milliseconds", least..=86_400_000)
}

/// A choice, whose first word is the default.
const fn word(name: &'static str, words: &'static [&'static str]) -> Key {
    key(name, Kind::Word(words), Ok(words[0]))
}

/// A switch of lua-resty-session's own storage.
const fn switch(name: &'static str) -> Key {
    key(name, Kind::Flag, Err("false, or by `sslmode`"))
}

impl Key {
    /// The key of that name or alias.
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name || key.alias == Some(name))
    }

    /// The key that is probably meant by an unknown one: that which libpq or another client calls so, or one
    /// that differs by a letter or two.
    pub fn meant(unknown: &str) -> Option<&'static str> {
        let lower = unknown.to_ascii_lowercase();
        let libpq = KEYS.iter().find(|key| key.keyword == Some(&*lower)).map(|key| key.name);
        let other = OTHER_WORDS.iter().find(|(word, _)| *word == lower).map(|(_, key)| *key);
        let names = |key: &Key| {
            let keyword = key.keyword.map(|keyword| (keyword, key.name));
            [Some((key.name, key.name)), key.alias.map(|alias| (alias, alias)), keyword]
        };
        let known = KEYS.iter().flat_map(names).flatten();
        let distance = |(known, _): &(&str, _)| strsim::osa_distance(&lower, known);
        // Of a short word, two letters are too much of it.
        let near = |known: &(&str, _)| distance(known) <= if lower.len() < 5 { 1 } else { 2 };
        libpq.or(other).or_else(|| known.filter(near).min_by_key(distance).map(|(_, name)| name))
    }

    /// What to say of an unknown key.
    pub fn suggestion(unknown: &str) -> String {
        Key::meant(unknown).map_or(String::new(), |known| format!(" (is {known} meant?)"))
    }

    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    const fn keyword(mut self, keyword: &'static str) -> Self {
        self.keyword = Some(keyword);
        self
    }

    const fn libpq(mut self, keyword: &'static str, variable: &'static str) -> Self {
        self.variable = Some(variable);
        self.keyword(keyword)
    }

    const fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }
}
