-- Turns the tables of schema.sql into unlogged ones, for sites that would rather have every user log
-- in again than wait for the disk: saves write nothing to the write-ahead log, and
--
--   - after a crash of the server both tables are EMPTY; after a clean stop they are not;
--   - a standby does not have their rows: it cannot read them, and after a failover they are empty;
--   - backups made of the data folder (pg_basebackup) do not have them either.
--
-- Both statements rewrite their table under an exclusive lock. Back: SET LOGGED, sessions first.

ALTER TABLE sessions_meta SET UNLOGGED;
ALTER TABLE sessions SET UNLOGGED;
