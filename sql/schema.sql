-- The tables of resty.session.postgres, as lua-resty-session documents them, and the one index
-- that its documentation leaves out. Safe to run again.

DO $$
BEGIN
  CREATE TABLE sessions (
    sid  TEXT PRIMARY KEY,
    name TEXT,
    data TEXT,
    exp  TIMESTAMP WITH TIME ZONE
  );
  -- For `check`: in a new table, no session's end is shifted by the server's time zone.
  COMMENT ON COLUMN sessions.exp IS 'true instants';
EXCEPTION WHEN duplicate_table THEN
  RAISE NOTICE 'There is a table sessions already.';
END
$$;
CREATE INDEX IF NOT EXISTS sessions_exp_idx ON sessions (exp);

-- Only needed where sessions are saved with metadata (store_metadata = true).
CREATE TABLE IF NOT EXISTS sessions_meta (
  aud TEXT,
  sub TEXT,
  sid TEXT REFERENCES sessions (sid) ON DELETE CASCADE ON UPDATE CASCADE,
  PRIMARY KEY (aud, sub, sid)
);
-- Each deleted session looks for its metadata by sid: without this index it reads the whole table.
CREATE INDEX IF NOT EXISTS sessions_meta_sid_idx ON sessions_meta (sid);
