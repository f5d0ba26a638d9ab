-- The tables of resty.session.postgres, as `resty-session-postgres migrate` makes them: those that
-- lua-resty-session documents, with an index that its documentation leaves out, and the time at which a
-- key was first saved. Keys are compared as bytes, which is faster than in the order of a language. A
-- vacuum comes after each fiftieth row: sessions change all the time, and are deleted soon.
--
-- Safe to run again: tables that are there stay as they are, and get missing indexes.

DO $$
BEGIN
  CREATE TABLE sessions (
    sid     text COLLATE "C" PRIMARY KEY,
    name    text,
    data    text,
    exp     timestamp with time zone,
    created timestamp with time zone DEFAULT now()
  ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
  -- For `check`: in a new table, no session's end is shifted by the server's time zone.
  COMMENT ON COLUMN sessions.exp IS 'true instants';
EXCEPTION WHEN duplicate_table THEN
  RAISE NOTICE 'There is a table sessions already.';
END
$$;
CREATE INDEX IF NOT EXISTS sessions_exp_idx ON sessions (exp);

-- Only needed where sessions are saved with metadata (store_metadata = true).
CREATE TABLE IF NOT EXISTS sessions_meta (
  aud text COLLATE "C",
  sub text COLLATE "C",
  sid text COLLATE "C" REFERENCES sessions (sid) ON DELETE CASCADE ON UPDATE CASCADE,
  PRIMARY KEY (aud, sub, sid)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
-- Each deleted session looks for its metadata by sid: without this index it reads the whole table.
CREATE INDEX IF NOT EXISTS sessions_meta_sid_idx ON sessions_meta (sid);
