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

---
-- Configuration; all keys are optional. The README's table gives each with its unit and default.
--
-- @field host Server name, address, or socket folder; several as an array (default `"127.0.0.1"`)
-- @field port Server port; one, or one for each host (default `5432`)
-- @field application `application_name` in `pg_stat_activity` (default `"pgmoon"`)
-- @field username Database user (default `"postgres"`)
-- @field password The user's password
-- @field database Database (defaults to the username)
-- @field table_name Sessions table, also `schema.table`; alias `table` (default `"sessions"`)
-- @field table_name_meta Metadata table; alias `table_meta` (default `table_name .. "_meta"`)
-- @field connect_timeout Milliseconds until a usable connection is held (default `5000`)
-- @field send_timeout Milliseconds; with `read_timeout` the time for an answer (default `5000`)
-- @field read_timeout Milliseconds; see `send_timeout` (default `5000`)
-- @field keepalive_timeout Milliseconds a connection may idle; 0 is for ever (default `60000`)
-- @field pool Name by which different configurations share a pool
-- @field pool_size Connections of a worker at most (default `4`)
-- @field backlog Operations that may wait; one more fails at once (default `1024`)
-- @field cleanup_interval Milliseconds between clean-ups; 0 is never (default `60000`)
-- @field max_sessions_per_subject Live sessions of a subject in an audience; 0: any (default `0`)
-- @field max_sessions_beyond `"refuse"`, or `"end-oldest"` for those that would end first (default)
-- @field ssl Use TLS where the server offers it (default `false`)
-- @field ssl_required With `ssl`: refuse a server without TLS (default `false`)
-- @field ssl_verify With `ssl`: verify certificate and host name (default `false`)
-- @field sslmode `"disable"`, `"prefer"`, `"require"`, `"verify-ca"` or `"verify-full"`
-- @field sslrootcert File with the certificates to trust, or `"system"`
-- @field sslcrl File with lists of revoked certificates
-- @field sslcert File with a certificate for the server to see
-- @field sslkey File with its key
-- @field sslpassword What that key is encrypted with
-- @field ssl_min_protocol_version The oldest version of TLS (default `"TLSv1.2"`)
-- @field sslnegotiation `"direct"` starts TLS without asking first (default `"postgres"`)
-- @field channel_binding `"disable"`, `"prefer"` or `"require"` (default `"prefer"`)
-- @field passfile File with passwords, in libpq's format
-- @field allow_cleartext Send the password in clear text without TLS (default `false`)
-- @field target_session_attrs `"any"` server, a `"read-write"` or a `"read-only"` one (`"any"`)
-- @field load_balance_hosts `"random"` tries the servers in a random order (default `"disable"`)
-- @field prepared_statements `true`, `false`, or `"auto"`: without a pooler (default `"auto"`)
-- @field synchronous_commit PostgreSQL's setting of that name (defaults to the server's)
-- @table configuration

---
-- Create a storage instance. Opens no connection and may be called in any phase, also once for
-- each request: equal configurations share one pool in each worker.
--
-- Raises an error that names the key for a configuration that cannot be used.
--
-- @function module.new
-- @tparam[opt] table configuration see @{configuration}
-- @treturn table storage instance

---
-- Store session data, all of it or nothing.
--
-- @function instance:set
-- @tparam string name cookie name
-- @tparam string key session key
-- @tparam string value session value
-- @tparam number ttl session ttl, in seconds
-- @tparam[opt] number current_time seconds since 1970 (defaults to now)
-- @tparam[opt] string old_key key of the session that this one replaces
-- @tparam[opt] number stale_ttl seconds that the replaced session lives on at most
-- @tparam[opt] table metadata `{ audiences = { … }, subjects = { … } }`, of equal length
-- @tparam[opt] boolean remember `true` deletes the replaced session at once
-- @treturn true|nil ok
-- @treturn string error message

---
-- Retrieve session data.
--
-- @function instance:get
-- @tparam string name cookie name
-- @tparam string key session key
-- @tparam[opt] number current_time seconds since 1970 (defaults to now)
-- @treturn string|nil session data; a bare `nil` where there is no live session
-- @treturn string error message

---
-- Delete a session and its metadata. That there is none is no error.
--
-- @function instance:delete
-- @tparam string name cookie name
-- @tparam string key session key
-- @tparam[opt] number current_time seconds since 1970; may be left out
-- @tparam[opt] table metadata not needed: all metadata of a session goes with it
-- @treturn true|nil ok
-- @treturn string error message

---
-- Read the live sessions of a subject.
--
-- @function instance:read_metadata
-- @tparam string name cookie name
-- @tparam string audience session audience
-- @tparam string subject session subject
-- @tparam[opt] number current_time seconds since 1970 (defaults to now)
-- @treturn table|nil `{ [key] = end of the session in seconds since 1970 }`
-- @treturn string error message

---
-- End all sessions that were saved with an audience and a subject, or all but one ("sign out
-- everywhere else"). A session with further audiences or subjects is ended, too.
--
-- Saves with metadata and revocations of one audience take place one after the other: what was
-- saved before the revocation is ended, also if that save was still under way when `revoke` was
-- called; what is saved later lives. A request that has read its session before and saves it
-- afterwards saves a new one.
--
-- More than 1,000 sessions are ended in several transactions. Where a later one fails, the sessions
-- that are ended stay so, and another call ends the rest.
--
-- @function instance:revoke
-- @tparam string name cookie name; not used
-- @tparam string audience session audience, as it was saved
-- @tparam string subject session subject, as it was saved
-- @tparam[opt] string except_key key of the session that stays
-- @treturn number|nil how many of them were alive
-- @treturn string error message

---
-- End all sessions that were saved with an audience; otherwise as @{instance:revoke}.
--
-- @function instance:revoke_audience
-- @tparam string name cookie name; not used
-- @tparam string audience session audience, as it was saved
-- @treturn number|nil how many of them were alive
-- @treturn string error message

---
-- List live sessions, a page at a time, in the order of their keys. The next page begins after the
-- last key of this one.
--
-- @function instance:list
-- @tparam string name cookie name; not used
-- @tparam[opt] string audience `nil` for the sessions of all audiences, and of none
-- @tparam[opt] string subject `nil` for those of all subjects
-- @tparam[opt] number current_time seconds since 1970 (defaults to now)
-- @tparam[opt] string after_key only sessions whose key is greater
-- @tparam[opt] number limit sessions at most, up to 10000 (default `1000`)
-- @treturn table|nil array of `{ key = …, name = …, expires = … }`, with `created` where the
-- sessions table has a column of that name; times in seconds since 1970
-- @treturn string error message

---
-- Count live sessions.
--
-- @function instance:count
-- @tparam string name cookie name; not used
-- @tparam[opt] string audience `nil` for the sessions of all audiences, and of none
-- @tparam[opt] string subject `nil` for those of all subjects
-- @tparam[opt] number current_time seconds since 1970 (defaults to now)
-- @tparam[opt] boolean estimate of all sessions: `true` if PostgreSQL's own estimate of the number
-- of rows is enough, which costs next to nothing
-- @treturn number|nil how many
-- @treturn string error message

---
-- Let a live session end at another time, without sending its data.
--
-- @function instance:touch
-- @tparam string name cookie name; not used
-- @tparam string key session key
-- @tparam number ttl seconds from current_time until the session ends
-- @tparam[opt] number current_time seconds since 1970 (defaults to now)
-- @treturn true|nil ok; a bare `nil` where there is no live session
-- @treturn string error message

---
-- Delete sessions that are over, at once instead of in the background. It takes up to half of the
-- time that an operation may take; where more is left, call it again.
--
-- @function instance:cleanup
-- @tparam[opt] number limit sessions at most
-- @tparam[opt] number current_time what is alive then stays, also if it is over on the database's
-- clock (defaults to now)
-- @treturn number|nil how many were deleted
-- @treturn string error message

---
-- Replace the password that this worker opens further connections with; those that are open stay.
-- Each worker has to be told: from `init_worker_by_lua`, a timer or a request.
--
-- @function instance:set_password
-- @tparam string password the new password
-- @treturn true|nil ok
-- @treturn string error message

---
-- Create the tables, or make of older ones what they should be: what @{instance:check} finds about
-- their structure is repaired, each in a transaction of its own. Changes nothing where there is
-- nothing to do; several may run at the same time. Saves wait while an index is made: on large
-- tables that are in use, run the statements that `check` gives by hand, with `CONCURRENTLY` after
-- `INDEX`.
--
-- @function instance:migrate
-- @tparam[opt] boolean unlogged `true` creates unlogged tables: faster, and empty after a crash
-- @treturn number|nil how many changes that took
-- @treturn string error message

---
-- Look at the tables.
--
-- @function instance:check
-- @treturn table|nil array of `{ problem = …, repair = … }`: what is wrong or slow, in words, and
-- the statement that repairs it; empty where all is well
-- @treturn string error message

---
-- Whether the tables can be read now, for readiness probes: answers within two seconds, whatever
-- the timeouts.
--
-- @function instance:health
-- @treturn true|nil ok
-- @treturn string error message

---
-- What this worker's connections and operations have come to, since it started: no server is
-- asked. Instances that share a pool share it.
--
-- @function instance:stats
-- @treturn table|nil the samples of @{instance:metrics} by their names, labels included
-- @treturn string error message

---
-- The same as Prometheus reads it. `examples/metrics` sums the workers.
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
