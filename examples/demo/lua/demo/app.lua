--- The demo's request handlers.
--
-- An object with these methods makes the sessions (see resty_sessions.lua and plain_sessions.lua).
-- A session is a table with the fields `id`, `name` and `visits`.
--
--   current()          the browser's session, nil when it has none, or nil and an error
--   sign_in(name)      starts a session, under a new id even where there was one before
--   count_visit(s)     adds one to s.visits and saves it
--   active(s)          the sessions of s.name, as a table { [id] = expiry in epoch seconds }
--   sign_out(s)        ends the session
--   sign_out_others(s) ends all other sessions of s.name
--   metrics()          this worker's counters, in Prometheus' format
--   made_by            the name of what makes the cookies
--
-- On success sign_in, count_visit and sign_out return true, and sign_out_others the number of
-- sessions it ended; on failure nil and an error.

local page = require("demo.page")
local same_origin = require("demo.same_origin")

local ngx = ngx

-- lua-resty-session keeps a replaced session readable for this many seconds by default, for
-- requests that were sent with its id.
local STALE_TTL = 10

local sessions

local function respond(status, html)
  ngx.status = status
  local header = ngx.header
  header["Cache-Control"] = "no-store"
  header["Content-Security-Policy"] = "default-src 'none'; style-src 'self'; form-action 'self'; "
    .. "base-uri 'none'; frame-ancestors 'none'"
  -- Not "no-referrer": browsers then send forms with "Origin: null".
  header["Referrer-Policy"] = "same-origin"
  header["X-Content-Type-Options"] = "nosniff"
  ngx.print(html)
end

local function respond_failure(err)
  ngx.log(ngx.ERR, "demo: ", err)
  respond(503, page.message("The sessions cannot be reached", err))
end

-- The session used last comes first. A session that was replaced a moment ago is left out.
local function list_active(session, expiries)
  local now = ngx.time()
  local list = {}
  for id, expiry in pairs(expiries) do
    if expiry > now + STALE_TTL then
      list[#list + 1] = { id = id, expiry = expiry, is_current = id == session.id }
    end
  end
  table.sort(list, function(a, b)
    return a.expiry > b.expiry or (a.expiry == b.expiry and a.id < b.id)
  end)
  return list
end

local function show()
  local session, err = sessions.current()
  if err then
    return respond_failure(err)
  end
  if not session then
    return respond(200, page.sign_in(sessions.made_by))
  end

  local ok, expiries
  ok, err = sessions.count_visit(session)
  if not ok then
    return respond_failure(err)
  end
  expiries, err = sessions.active(session)
  if not expiries then
    return respond_failure(err)
  end
  respond(200, page.signed_in(session, list_active(session, expiries), sessions.made_by))
end

local function sign_in()
  ngx.req.read_body()
  local name = ngx.req.get_post_args().name
  -- With "u", invalid UTF-8 does not match; PostgreSQL would refuse it.
  if type(name) ~= "string" or not ngx.re.find(name, [[\A(?=.*\S)[^\p{Cc}]{1,80}\z]], "ju") then
    return respond(400, page.message("Invalid name", "A name has 1 to 80 characters."))
  end

  local ok, err = sessions.sign_in(name)
  if not ok then
    return respond_failure(err)
  end
  ngx.redirect("/", 303)
end

local function sign_out_others()
  local session, err = sessions.current()
  if err then
    return respond_failure(err)
  end
  if session then
    local count
    count, err = sessions.sign_out_others(session)
    if not count then
      return respond_failure(err)
    end
  end
  ngx.redirect("/", 303)
end

local function metrics()
  local text, err = sessions.metrics()
  if not text then
    return respond_failure(err)
  end
  ngx.header["Content-Type"] = "text/plain; version=0.0.4"
  ngx.print(text)
end

local function sign_out()
  local session, err = sessions.current()
  if err then
    return respond_failure(err)
  end
  if session then
    local ok
    ok, err = sessions.sign_out(session)
    if not ok then
      return respond_failure(err)
    end
  end
  ngx.redirect("/", 303)
end

local routes = {
  ["GET /"] = show,
  ["POST /sign-in"] = sign_in,
  ["POST /sign-out"] = sign_out,
  ["POST /sign-out-others"] = sign_out_others,
  ["GET /metrics"] = metrics,
}

local app = {}

function app.init(session_source)
  sessions = session_source
end

function app.run()
  local method = ngx.req.get_method()
  local route = routes[method .. " " .. ngx.var.uri]
  if not route then
    return respond(404, page.message("Not found", "There is no such page."))
  end
  if method == "POST" and not same_origin() then
    return respond(403, page.message("Forbidden", "This form was sent by another site."))
  end
  route()
end

return app
