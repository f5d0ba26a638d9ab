-- The tables of resty.session.postgres, as lua-resty-session documents them, and the one index
-- that its documentation leaves out. Safe to run again.

CREATE TABLE IF NOT EXISTS sessions (
  sid  TEXT PRIMARY KEY,
  name TEXT,
  data TEXT,
  exp  TIMESTAMP WITH TIME ZONE
);
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
