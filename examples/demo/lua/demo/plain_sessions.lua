--- Sessions made with the storage only, for machines without lua-resty-session.
--
-- Only for the demo: unlike lua-resty-session it does not encrypt, and has no idling or absolute
-- timeouts.

local base64 = require("ngx.base64")
local cjson = require("cjson.safe")

local ngx = ngx

local COOKIE = "demo_session"
local COOKIE_FLAGS = "; Path=/; HttpOnly; SameSite=Lax"
local AUDIENCE = "demo"
local TTL = 3600
local STALE_TTL = 10
local ID_BYTES = 32
local ID_PATTERN = [[\A[A-Za-z0-9_-]{43}\z]]

local function new_id()
  local source, err = io.open("/dev/urandom", "rb")
  if not source then
    return nil, err
  end
  source:setvbuf("no")
  local bytes = source:read(ID_BYTES)
  source:close()
  if not bytes or #bytes ~= ID_BYTES then
    return nil, "no random bytes for a session id"
  end
  return base64.encode_base64url(bytes)
end

-- The id in the browser's cookie, if it has the form of an id.
local function cookie_id()
  local id = ngx.var["cookie_" .. COOKIE]
  if id and ngx.re.find(id, ID_PATTERN, "jo") then
    return id
  end
end

local function metadata(name)
  return { audiences = { AUDIENCE }, subjects = { name } }
end

local sessions = {}

--- Returns the methods that app.lua needs, for a storage of resty.session.postgres.
function sessions.new(storage)
  local self = { made_by = "the demo itself" }

  local function save(session, old_id)
    local data = cjson.encode({ name = session.name, visits = session.visits })
    local meta = metadata(session.name)
    return storage:set(COOKIE, session.id, data, TTL, ngx.time(), old_id, STALE_TTL, meta)
  end

  function self.current()
    local id = cookie_id()
    if not id then
      return nil
    end
    local value, err = storage:get(COOKIE, id, ngx.time())
    if not value then
      return nil, err
    end
    local data
    data, err = cjson.decode(value)
    if not data then
      return nil, err
    end
    return { id = id, name = data.name, visits = data.visits }
  end

  function self.sign_in(name)
    local id, err = new_id()
    if not id then
      return nil, err
    end
    -- The cookie may be that of a session that has ended, which nothing may replace.
    local before
    before, err = self.current()
    if err then
      return nil, err
    end
    local ok
    ok, err = save({ id = id, name = name, visits = 0 }, before and before.id)
    if not ok then
      return nil, err
    end
    ngx.header["Set-Cookie"] = COOKIE .. "=" .. id .. COOKIE_FLAGS
    return true
  end

  function self.count_visit(session)
    session.visits = session.visits + 1
    return save(session)
  end

  function self.active(session)
    return storage:read_metadata(COOKIE, AUDIENCE, session.name, ngx.time())
  end

  function self.sign_out_others(session)
    return storage:revoke(COOKIE, AUDIENCE, session.name, session.id)
  end

  function self.metrics()
    return storage:metrics()
  end

  function self.sign_out(session)
    local meta = metadata(session.name)
    local ok, err = storage:delete(COOKIE, session.id, ngx.time(), meta)
    if not ok then
      return nil, err
    end
    ngx.header["Set-Cookie"] = COOKIE .. "=" .. COOKIE_FLAGS .. "; Max-Age=0"
    return true
  end

  return self
end

return sessions
