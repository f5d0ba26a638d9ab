--- Sessions made by lua-resty-session, which stores them with resty.session.postgres.
--
-- Its configuration is in resty-session.conf.in. The name is the session's subject, so that the
-- storage can list a subject's sessions. The visits are in the session's info, because saving the
-- info keeps the id, while session:save() makes a new one each time.

local base64 = require("ngx.base64")
local resty_session = require("resty.session")

local ngx = ngx

local AUDIENCE = "demo"

local sessions = {
  made_by = "lua-resty-session " .. resty_session._VERSION,
}

function sessions.current()
  local session, err, exists = resty_session.start()
  if not exists then
    -- Most errors are about the cookie, which may be missing, old or forged: there is no session
    -- then. Only this one means that the storage failed.
    if err and err:find("unable to load session (", 1, true) then
      return nil, err
    end
    return nil
  end
  return {
    handle = session,
    id = session:get_property("id"),
    name = session:get_subject(),
    visits = session.info:get("visits") or 0,
  }
end

function sessions.sign_in(name)
  local session = resty_session.open()
  session:set_subject(name)
  session.info:set("visits", 0)
  return session:save()
end

function sessions.count_visit(session)
  local info = session.handle.info
  session.visits = session.visits + 1
  info:set("visits", session.visits)
  -- In 4.1 info:save() returns nothing on success, so check the error.
  local _, err = info:save()
  if err then
    return nil, err
  end
  return true
end

-- By default lua-resty-session stores audience and subject as base64url.
local function stored_as(session)
  return base64.encode_base64url(AUDIENCE), base64.encode_base64url(session.name)
end

function sessions.active(session)
  local handle = session.handle
  local audience, subject = stored_as(session)
  return handle.storage:read_metadata(handle.cookie_name, audience, subject, ngx.time())
end

function sessions.sign_out_others(session)
  local handle = session.handle
  local audience, subject = stored_as(session)
  return handle.storage:revoke(handle.cookie_name, audience, subject, session.id)
end

function sessions.metrics()
  return resty_session.new().storage:metrics()
end

function sessions.sign_out(session)
  return session.handle:logout()
end

return sessions
