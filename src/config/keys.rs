//! The one table of configuration keys. The Lua module, the C interface and the README's table
//! come from it or are tested against it.

use super::limit::Beyond;
use super::tls::{Binding, Root, SslMode, TlsVersion};
use super::value::{Rejected, Value};
use super::{
    Draft, PreparedStatements, SynchronousCommit, TargetSession, server, table_name::TableName,
};

/// A configuration key.
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// A second accepted spelling.
    pub alias: Option<&'static str>,
    /// The default, as the documentation writes it.
    pub default: &'static str,
    /// What the key means, with units.
    pub doc: &'static str,
    pub(super) apply: fn(&mut Draft, &Value) -> Result<(), Rejected>,
}

/// Every key, in the order of the documentation.
pub static KEYS: &[Key] = &[
    Key {
        name: "host",
        alias: None,
        default: "\"127.0.0.1\"",
        doc: "Server name, address, or the folder of a Unix socket (`unix:/dir` or `/dir`). \
              Several as an array or comma-separated, tried in turn.",
        apply: |draft, value| {
            draft.hosts = value
                .items()
                .iter()
                .map(server::Host::parse)
                .collect::<Result<_, _>>()?;
            if draft.hosts.is_empty() {
                return Err(value.reject("at least one host"));
            }
            Ok(())
        },
    },
    Key {
        name: "port",
        alias: None,
        default: "5432",
        doc: "Server port. One for all hosts, or one a host, as an array or comma-separated.",
        apply: |draft, value| {
            draft.ports = value
                .items()
                .iter()
                .map(|port| port.whole(1, 65_535).map(|port| port as u16))
                .collect::<Result<_, _>>()?;
            if draft.ports.is_empty() {
                return Err(value.reject("at least one port"));
            }
            Ok(())
        },
    },
    Key {
        name: "application",
        alias: None,
        default: "\"pgmoon\"",
        doc: "`application_name` of the connections in `pg_stat_activity`.",
        apply: |draft, value| put(&mut draft.application, value.text()),
    },
    Key {
        name: "username",
        alias: None,
        default: "\"postgres\"",
        doc: "The database user.",
        apply: |draft, value| put(&mut draft.username, value.text()),
    },
    Key {
        name: "password",
        alias: None,
        default: "none",
        doc: "The user's password. It appears in no error, log line or debug print.",
        apply: |draft, value| put(&mut draft.password, value.secret().map(Some)),
    },
    Key {
        name: "database",
        alias: None,
        default: "the username",
        doc: "The database.",
        apply: |draft, value| put(&mut draft.database, value.text().map(Some)),
    },
    Key {
        name: "table_name",
        alias: Some("table"),
        default: "\"sessions\"",
        doc: "Table of the sessions; may be `schema.table`.",
        apply: |draft, value| put(&mut draft.sessions, table(value)),
    },
    Key {
        name: "table_name_meta",
        alias: Some("table_meta"),
        default: "table_name .. \"_meta\"",
        doc: "Table of the sessions' metadata; may be `schema.table`.",
        apply: |draft, value| put(&mut draft.metadata, table(value).map(Some)),
    },
    Key {
        name: "connect_timeout",
        alias: None,
        default: "5000",
        doc: "Milliseconds that an operation may wait for a usable connection: name look-up, TLS \
              and authentication included.",
        apply: |draft, value| put(&mut draft.connect_timeout, value.millis(1)),
    },
    Key {
        name: "send_timeout",
        alias: None,
        default: "5000",
        doc: "Milliseconds; with `read_timeout` the time an operation may take once a connection \
              is held.",
        apply: |draft, value| put(&mut draft.send_timeout, value.millis(1)),
    },
    Key {
        name: "read_timeout",
        alias: None,
        default: "5000",
        doc: "Milliseconds; see `send_timeout`.",
        apply: |draft, value| put(&mut draft.read_timeout, value.millis(1)),
    },
    Key {
        name: "keepalive_timeout",
        alias: None,
        default: "60000",
        doc: "Milliseconds that a connection may idle before it is closed; 0 keeps it for ever.",
        apply: |draft, value| {
            let timeout = value.millis(0)?;
            draft.keepalive_timeout = (!timeout.is_zero()).then_some(timeout);
            Ok(())
        },
    },
    Key {
        name: "pool",
        alias: None,
        default: "none",
        doc: "A name. Configurations that share it, and their server and credentials, share one \
              pool; the first one used sets its size.",
        apply: |draft, value| put(&mut draft.pool, value.text().map(Some)),
    },
    Key {
        name: "pool_size",
        alias: None,
        default: "4",
        doc: "Connections of a process (an nginx worker) at most.",
        apply: |draft, value| {
            put(
                &mut draft.pool_size,
                value.whole(1, 1_000).map(|n| n as usize),
            )
        },
    },
    Key {
        name: "backlog",
        alias: None,
        default: "1024",
        doc: "Operations that may wait for a connection; one more fails at once.",
        apply: |draft, value| {
            put(
                &mut draft.backlog,
                value.whole(0, 1_000_000).map(|n| n as usize),
            )
        },
    },
    Key {
        name: "cleanup_interval",
        alias: None,
        default: "60000",
        doc: "Milliseconds between two clean-ups of ended sessions in the background, by one \
              process of a machine; 0 leaves them to `cleanup`.",
        apply: |draft, value| {
            let interval = value.millis(0)?;
            draft.cleanup_interval = (!interval.is_zero()).then_some(interval);
            Ok(())
        },
    },
    Key {
        name: "max_sessions_per_subject",
        alias: None,
        default: "0",
        doc: "Live sessions that a subject may have in an audience under one cookie name; 0 is no \
              limit. It holds for sessions that are saved with metadata.",
        apply: |draft, value| put(&mut draft.max_sessions, value.whole(0, 1_000_000)),
    },
    Key {
        name: "max_sessions_beyond",
        alias: None,
        default: "\"end-oldest\"",
        doc: "What a save beyond that limit does: `end-oldest` ends those that would end first, \
              `refuse` fails.",
        apply: |draft, value| put(&mut draft.beyond, value.word(Beyond::WORDS)),
    },
    Key {
        name: "ssl",
        alias: None,
        default: "false",
        doc: "Whether to use TLS where the server offers it.",
        apply: |draft, value| put(&mut draft.tls.ssl, value.flag().map(Some)),
    },
    Key {
        name: "ssl_required",
        alias: None,
        default: "false",
        doc: "With `ssl`: refuse a server that offers no TLS instead of going on in plain text.",
        apply: |draft, value| put(&mut draft.tls.required, value.flag().map(Some)),
    },
    Key {
        name: "ssl_verify",
        alias: None,
        default: "false",
        doc: "With `ssl`: verify the server's certificate chain and its host name.",
        apply: |draft, value| put(&mut draft.tls.verify, value.flag().map(Some)),
    },
    Key {
        name: "sslmode",
        alias: None,
        default: "by `ssl` and the two after it",
        doc: "libpq's: `disable`, `prefer`, `require`, `verify-ca`, `verify-full`. The three keys \
              above may not say otherwise.",
        apply: |draft, value| put(&mut draft.tls.mode, value.word(SslMode::WORDS).map(Some)),
    },
    Key {
        name: "sslrootcert",
        alias: None,
        default: "the system's store",
        doc: "File with the certificates that the server's must come from; with it the chain is \
              verified in every mode. `system` is the system's store, and wants `verify-full`.",
        apply: |draft, value| {
            let root = match value {
                Value::Text(text) if text == "system" => Ok(Root::System),
                path => path.path().map(Root::File),
            };
            put(&mut draft.tls.root, root.map(Some))
        },
    },
    Key {
        name: "sslcrl",
        alias: None,
        default: "none",
        doc: "File with the lists of certificates that their issuers have revoked: one of each \
              issuer in the chain.",
        apply: |draft, value| put(&mut draft.tls.revoked, value.path().map(Some)),
    },
    Key {
        name: "sslcert",
        alias: None,
        default: "none",
        doc: "File with a certificate for the server to see, and those between it and its root.",
        apply: |draft, value| put(&mut draft.tls.certificate, value.path().map(Some)),
    },
    Key {
        name: "sslkey",
        alias: None,
        default: "none",
        doc: "File with the key of `sslcert`, which nobody but its owner may read (of root's, its \
              group too). Read when the storage is made, where nginx is root still.",
        apply: |draft, value| put(&mut draft.tls.key, value.path().map(Some)),
    },
    Key {
        name: "sslpassword",
        alias: None,
        default: "none",
        doc: "What `sslkey` is encrypted with.",
        apply: |draft, value| put(&mut draft.tls.password, value.secret().map(Some)),
    },
    Key {
        name: "ssl_min_protocol_version",
        alias: None,
        default: "\"TLSv1.2\"",
        doc: "The oldest version of TLS: `TLSv1`, `TLSv1.1`, `TLSv1.2` or `TLSv1.3`.",
        apply: |draft, value| put(&mut draft.tls.least_version, value.word(TlsVersion::WORDS)),
    },
    Key {
        name: "sslnegotiation",
        alias: None,
        default: "\"postgres\"",
        doc: "`direct` starts TLS without asking first: a round trip less, from PostgreSQL 17 on.",
        apply: |draft, value| {
            let words = &[("postgres", false), ("direct", true)];
            put(&mut draft.tls.direct, value.word(words))
        },
    },
    Key {
        name: "channel_binding",
        alias: None,
        default: "\"prefer\"",
        doc: "Whether SCRAM is bound to the TLS session: `disable`, `prefer` or `require`.",
        apply: |draft, value| put(&mut draft.tls.channel_binding, value.word(Binding::WORDS)),
    },
    Key {
        name: "passfile",
        alias: None,
        default: "none",
        doc: "File with passwords, in libpq's format, for where `password` is not set. Read at each \
              new connection; out of reach then, it is what it was when the storage was made. Nobody \
              but its owner may read it.",
        apply: |draft, value| put(&mut draft.passfile, value.path().map(Some)),
    },
    Key {
        name: "allow_cleartext",
        alias: None,
        default: "false",
        doc: "Whether the password may be sent in clear text without TLS, should the server ask \
              for that.",
        apply: |draft, value| put(&mut draft.allow_cleartext, value.flag()),
    },
    Key {
        name: "target_session_attrs",
        alias: None,
        default: "\"any\"",
        doc: "Of several servers, which will do: `any`, `read-write` (the primary, also after a \
              failover) or `read-only`.",
        apply: |draft, value| put(&mut draft.session.target, value.word(TargetSession::WORDS)),
    },
    Key {
        name: "load_balance_hosts",
        alias: None,
        default: "\"disable\"",
        doc: "`random` tries the servers, and the addresses of each, in a random order.",
        apply: |draft, value| {
            let words = &[("disable", false), ("random", true)];
            put(&mut draft.session.balance, value.word(words))
        },
    },
    Key {
        name: "prepared_statements",
        alias: None,
        default: "\"auto\"",
        doc: "`true` or `false`, or `auto`: unless a pooler such as PgBouncer is noticed. Where it \
              is false, nothing at all is left in the server's session.",
        apply: |draft, value| {
            put(
                &mut draft.session.prepared,
                value.word(PreparedStatements::WORDS),
            )
        },
    },
    Key {
        name: "synchronous_commit",
        alias: None,
        default: "the server's",
        doc: "When a save counts as committed: `off`, `local`, `remote_write`, `on` or \
              `remote_apply`, as PostgreSQL's setting of that name. With `off` a crash of the \
              server may lose the saves of its last moments.",
        apply: |draft, value| {
            let commit = value.word(SynchronousCommit::WORDS);
            put(&mut draft.session.synchronous_commit, commit.map(Some))
        },
    },
];

fn put<T>(slot: &mut T, checked: Result<T, Rejected>) -> Result<(), Rejected> {
    checked.map(|value| *slot = value)
}

fn table(value: &Value) -> Result<TableName, Rejected> {
    TableName::parse(&value.text()?)
}

/// The key of that name or alias.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter()
        .find(|key| key.name == name || key.alias == Some(name))
}
