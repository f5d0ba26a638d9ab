---
-- PostgreSQL storage for `resty.session`, in place of lua-resty-session's own.
--
-- The work is done by the native module `resty_session_postgres`: a few connections, prepared
-- statements, and batches of what waits at the same time. Calls yield to nginx's event loop where
-- that is possible and block, within the configured timeouts, where it is not.
--
-- @module resty.session.postgres

local native = require "resty_session_postgres"

local VERSION = "0.2.0"

if native._VERSION ~= VERSION then
  error(
    "resty.session.postgres "
      .. VERSION
      .. " found version "
      .. tostring(native._VERSION)
      .. " of its native module resty_session_postgres: install both from one package"
  )
end

-- keys: generated

---
-- Configuration; all keys are optional. Generated from the table of keys.
--
-- @field host The server. Several servers are tried in turn. Accepts a host name, an address, or a
--   socket folder (unix:/dir or /dir), or several as an array or comma-separated. Default:
--   `"127.0.0.1"`.
-- @field port The server's port: one for all hosts, or one for each host. Accepts a whole number
--   from 1 to 65535, or several as an array or comma-separated. Default: `5432`.
-- @field application The connections' `application_name` in `pg_stat_activity`. Accepts a
--   non-empty string without NUL bytes. Default: `"pgmoon"`.
-- @field username The database user. Accepts a non-empty string without NUL bytes. Default:
--   `"postgres"`.
-- @field password The user's password. No error, log line or debug output shows it. Accepts a
--   string without NUL bytes. Default: none.
-- @field database The database. Accepts a non-empty string without NUL bytes. Default: the
--   username.
-- @field table_name (`table`) The table of the sessions. Accepts a table name or schema.table,
--   each of letters, digits, _ and $ or in double quotes, at most 63 bytes. Default: `"sessions"`.
-- @field table_name_meta (`table_meta`) The table of the sessions' metadata. Accepts a table name
--   or schema.table, each of letters, digits, _ and $ or in double quotes, at most 63 bytes.
--   Default: `table_name` with `_meta` at its end.
-- @field connect_timeout How long an operation may wait for a usable connection, including name
--   look-up, TLS and authentication. Connection strings and `PGCONNECT_TIMEOUT` give it in
--   seconds. Accepts a whole number of milliseconds from 1 to 86400000. Default: `5000`.
-- @field send_timeout An operation that has a connection may take `send_timeout` and
--   `read_timeout` together. Accepts a whole number of milliseconds from 1 to 86400000. Default:
--   `5000`.
-- @field read_timeout See `send_timeout`. Accepts a whole number of milliseconds from 1 to
--   86400000. Default: `5000`.
-- @field keepalive_timeout An idle connection is closed after this time; 0 keeps it open. Accepts
--   a whole number of milliseconds from 0 to 86400000. Default: `60000`.
-- @field pool A pool's name. Configurations with the same name, server and credentials share one
--   pool. The first one used sets its size. Accepts a non-empty string without NUL bytes. Default:
--   none.
-- @field pool_size The most connections that a process (an nginx worker) opens. Accepts a whole
--   number of connections from 1 to 1000. Default: `4`.
-- @field backlog The most operations that may wait for a connection. One more fails at once.
--   Accepts a whole number of operations from 0 to 1000000. Default: `1024`.
-- @field cleanup_interval The time between two clean-ups of expired sessions in the background.
--   With 0 there are none: call `cleanup`. Accepts a whole number of milliseconds from 0 to
--   86400000. Default: `60000`.
-- @field max_sessions_per_subject The most live sessions that a subject may have in an audience
--   under one cookie name; 0 is no limit. It applies to sessions saved with metadata. Accepts a
--   whole number of sessions from 0 to 1000000. Default: `0`.
-- @field max_sessions_beyond What happens to a save beyond that limit: `end-oldest` ends the
--   sessions that would expire first, `refuse` fails the save. Accepts one of end-oldest, refuse.
--   Default: `"end-oldest"`.
-- @field ssl Use TLS if the server offers it. Accepts a boolean. Default: false, or by `sslmode`.
-- @field ssl_required With `ssl`: refuse a server that offers no TLS, rather than continue in
--   plain text. Accepts a boolean. Default: false, or by `sslmode`.
-- @field ssl_verify With `ssl`: verify the server's certificate chain and its host name. It
--   implies `ssl_required`. Accepts a boolean. Default: false, or by `sslmode`.
-- @field sslmode As in libpq. It may not contradict the three keys above. Accepts one of disable,
--   prefer, require, verify-ca, verify-full. Default: by the three keys above.
-- @field sslrootcert The certificates to trust. With a file, the chain is verified in every mode;
--   `system` requires `verify-full`. `verify-ca` requires a file. With `ssl`, it implies
--   `ssl_required`. Accepts the absolute path of a file, or "system". Default: the system's
--   certificates.
-- @field sslcrl The certificate revocation lists, one for each issuer in the chain. Accepts the
--   absolute path of a file. Default: none.
-- @field sslcert The client certificate, and the intermediate certificates up to its root. Accepts
--   the absolute path of a file. Default: none.
-- @field sslkey The key of `sslcert`. The file may be readable by its owner only, or by a group if
--   root owns it. It is read when the storage is created, while nginx still runs as root. Accepts
--   the absolute path of a file. Default: none.
-- @field sslpassword The password of an encrypted `sslkey`. Accepts a string without NUL bytes.
--   Default: none.
-- @field ssl_min_protocol_version The oldest accepted version of TLS. Accepts one of TLSv1,
--   TLSv1.1, TLSv1.2, TLSv1.3. Default: `"TLSv1.2"`.
-- @field sslnegotiation `direct` starts TLS without asking first and saves a round trip
--   (PostgreSQL 17 or later). Accepts one of postgres, direct. Default: `"postgres"`.
-- @field channel_binding Whether SCRAM authentication is bound to the TLS session. Accepts one of
--   disable, prefer, require. Default: `"prefer"`.
-- @field passfile A file with passwords in libpq's format, used if `password` is not set. It may
--   be readable by its owner only. It is read for each new connection; if that fails, what was
--   read when the storage was created is used. Accepts the absolute path of a file. Default: none.
-- @field require_auth What the server must ask for, such as `scram-sha-256`. If it asks for
--   something else, it gets no answer. Accepts several of none, password, md5, scram-sha-256, gss,
--   sspi, comma-separated, or with ! before each. Default: any.
-- @field allow_cleartext If the server asks for it, send the password in clear text over a
--   connection without TLS. Accepts a boolean. Default: `false`.
-- @field target_session_attrs Which of several servers to use. `read-write` finds the primary,
--   also after a failover. Accepts one of any, read-write, read-only. Default: `"any"`.
-- @field load_balance_hosts `random` tries the servers, and the addresses of each, in a random
--   order. Accepts one of disable, random. Default: `"disable"`.
-- @field prepared_statements Whether to prepare statements. `auto` prepares them unless it detects
--   a pooler such as PgBouncer; `false` also leaves nothing else in a server session. Accepts one
--   of auto, true, false. Default: `"auto"`.
-- @field synchronous_commit PostgreSQL's setting of that name. With `off`, a crash of the server
--   may lose the saves of its last moments. Accepts one of off, local, remote_write, on,
--   remote_apply. Default: the server's setting.
-- @table configuration

-- end of keys

---
-- Create a storage instance. Opens no connection and may be called in any phase, also once for
-- each request: equal configurations share one pool in each worker.
--
-- Raises an error that names the key for a configuration that cannot be used.
--
-- @function module.new
-- @tparam[opt] table configuration see @{configuration}
-- @treturn table storage instance

-- operations: generated

---
-- Store a session, with its metadata and the change to the session that it replaces, in one
--   transaction.
--
-- A session of the same key gets the new name, data and expiry.
--
-- @function instance:set
-- @tparam string name cookie name
-- @tparam string key session key
-- @tparam string value session data
-- @tparam number ttl seconds from `current_time` until the session expires
-- @tparam[opt] number current_time seconds since 1970 (defaults to now)
-- @tparam[opt] string old_key key of the session that this one replaces
-- @tparam[opt] number stale_ttl seconds from `current_time` that the replaced session lives at
--   most; required with `old_key` unless `remember` is true
-- @tparam[opt] table metadata `{ audiences = { … }, subjects = { … } }`, of equal length
-- @tparam[opt] boolean remember true deletes the replaced session at once
-- @return true; or nil
-- @treturn string error message

---
-- Retrieve session data.
--
-- Data of more than 16 MiB is not read.
--
-- @function instance:get
-- @tparam[opt] string name cookie name; not used
-- @tparam string key session key
-- @tparam[opt] number current_time seconds since 1970 (defaults to now)
-- @return session data; a bare `nil` where there is no live session; or nil
-- @treturn string error message

---
-- Delete a session and its metadata.
--
-- It is no error where there is no such session.
--
-- @function instance:delete
-- @tparam[opt] string name cookie name; not used
-- @tparam string key session key
-- @tparam[opt] number current_time seconds since 1970 (defaults to now)
-- @tparam[opt] table metadata not used: all metadata of a session is deleted with it
-- @return true; or nil
-- @treturn string error message

---
-- Read the live sessions of a subject.
--
-- At most 100,000 of them: where there are more, it fails, and `list` reads them in pages.
--
-- @function instance:read_metadata
-- @tparam[opt] string name cookie name; not used
-- @tparam string audience session audience
-- @tparam string subject session subject
-- @tparam[opt] number current_time seconds since 1970 (defaults to now)
-- @return `{ [key] = second in which the session expires, since 1970 }`; or nil
-- @treturn string error message

---
-- Give a live session another expiry, without its data.
--
-- @function instance:touch
-- @tparam[opt] string name cookie name; not used
-- @tparam string key session key
-- @tparam number ttl seconds from `current_time` until the session expires
-- @tparam[opt] number current_time seconds since 1970 (defaults to now)
-- @return true; a bare `nil` where there is no live session; or nil
-- @treturn string error message

---
-- End all sessions that were saved with an audience and a subject, or all but one ("sign out
--   everywhere else").
--
-- A session with further audiences or subjects is ended, too.
--
-- Saves with metadata and revocations of one audience take place one after the other. A save that
--   was committed before the revocation is ended, also if it was still under way when `revoke` was
--   called; a session that is saved later lives. A request that has read its session before and
--   saves it afterwards saves a new one.
--
-- More than 1,000 sessions are ended in several transactions. If a later one fails, the sessions
--   that are ended stay so, and another call ends the rest.
--
-- @function instance:revoke
-- @tparam[opt] string name cookie name; not used
-- @tparam string audience session audience, as it was saved
-- @tparam string subject session subject, as it was saved
-- @tparam[opt] string except_key key of a session that stays
-- @return how many of them were alive; or nil
-- @treturn string error message

---
-- End all sessions that were saved with an audience.
--
-- Otherwise as `revoke`.
--
-- @function instance:revoke_audience
-- @tparam[opt] string name cookie name; not used
-- @tparam string audience session audience, as it was saved
-- @return how many of them were alive; or nil
-- @treturn string error message

---
-- List live sessions, a page at a time, in the order of their keys.
--
-- The next page begins after the last key of this one.
--
-- @function instance:list
-- @tparam[opt] string name cookie name; not used
-- @tparam[opt] string audience only sessions saved with this audience (defaults to all)
-- @tparam[opt] string subject only those saved with this subject (defaults to all)
-- @tparam[opt] number current_time seconds since 1970 (defaults to now)
-- @tparam[opt] string after_key only sessions whose key is greater
-- @tparam[opt] number limit sessions at most, up to 10000 (defaults to 1000)
-- @return array of `{ key = …, name = …, expires = … }`, with `created` where the sessions
--   table has a column of that name and the type timestamptz; times in seconds since 1970; or nil
-- @treturn string error message

---
-- Count live sessions.
--
-- An estimate costs next to nothing. It is as old as the last vacuum or analyze of the table, and
--   includes expired sessions that are not cleaned up yet.
--
-- @function instance:count
-- @tparam[opt] string name cookie name; not used
-- @tparam[opt] string audience only sessions saved with this audience (defaults to all)
-- @tparam[opt] string subject only those saved with this subject (defaults to all)
-- @tparam[opt] number current_time seconds since 1970 (defaults to now)
-- @tparam[opt] boolean estimate of all sessions: true for PostgreSQL's estimate of the number of
--   rows
-- @return how many; or nil
-- @treturn string error message

---
-- Delete sessions that expired a minute ago or more, at once instead of in the background.
--
-- The minute covers callers whose clocks are behind the database's. It takes up to half of the
--   time that an operation may take, and about 5 seconds at most; if more is left, call it again.
--   One process at a time cleans a table up; another one waits for its turn. Sessions that cannot
--   be deleted, because a foreign key of another table forbids it, for example, are passed over
--   and logged.
--
-- @function instance:cleanup
-- @tparam[opt] number limit sessions at most (defaults to as many as the time allows)
-- @tparam[opt] number current_time seconds since 1970 (defaults to now)
-- @return how many were deleted; or nil
-- @treturn string error message

---
-- Create the tables, or change older ones into what they should be.
--
-- It repairs what `check` finds about their structure, each step by itself, and changes nothing
--   where nothing is to be done. A step that fails keeps none of the others from being made; the
--   error then says what is left. Several may run at the same time: each waits for the one before.
--
-- Saves do not wait while an index is made or a foreign key is validated. They wait for a unique
--   index, where it is missing, and while the type of a column changes.
--
-- @function instance:migrate
-- @tparam[opt] boolean unlogged true creates unlogged tables: faster, and empty after a crash of
--   the server
-- @tparam[opt] boolean dry_run true changes nothing
-- @return array of the changes that were made, or with `dry_run` are to be made: `{ problem = …,
--   repair = … }`, as of `check`; empty where nothing was to be done; or nil
-- @treturn string error message

---
-- Report what is wrong or slow about the tables, with the statements that repair it.
--
-- A finding with `advice` is no defect: everything works without it.
--
-- @function instance:check
-- @tparam[opt] boolean try true also saves a session with metadata, reads it, replaces it and
--   deletes it, and rolls all of that back
-- @return array of `{ problem = …, repair = …, advice = … }`: what, in words, the statements
--   that repair it, if there are any, and whether it is advice; empty where nothing was found; or
--   nil
-- @treturn string error message

---
-- Say whether the sessions table can be read now, for readiness probes.
--
-- It waits a second at most for a connection, and another one for the answer, whatever the
--   timeouts.
--
-- @function instance:health
-- @return true; or nil
-- @treturn string error message
-- end of operations

---
-- Replace the password that this worker opens further connections with. Open connections stay.
-- Call it in each worker: from `init_worker_by_lua`, a timer or a request.
--
-- @function instance:set_password
-- @tparam string password the new password
-- @treturn true|nil ok
-- @treturn string error message

---
-- Counters and gauges of this worker's connections and operations since it started. No server is
-- asked. Instances that share a pool share them.
--
-- @function instance:stats
-- @treturn table|nil the samples of @{instance:metrics} by their names, labels included
-- @treturn string error message

---
-- The same in Prometheus' text format. `examples/metrics` adds up the workers.
--
-- @function instance:metrics
-- @tparam[opt] table stats values to print instead of this worker's own
-- @treturn string|nil text
-- @treturn string error message

-- Outside of nginx and in the threads of ngx.run_worker_thread there is no event loop to yield to.
local ngx = ngx -- luacheck: globals ngx
if not (ngx and ngx.get_phase and ngx.timer) then
  return native
end

local storage = native.bind(require "resty.session.postgres.pump")

storage._VERSION = VERSION

return storage
