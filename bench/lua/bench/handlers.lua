-- The handlers of the benchmark's nginx. The Lua path decides which resty.session.postgres is used.

local handlers = {}

local md5 = ngx.md5
local random = math.random
local say = ngx.say
local time = ngx.time

local TTL = 360000
-- The keys of resty.session have 43 characters; bench/lib/postgres.sh makes the same ones.
local PADDING = ("_"):rep(11)

local options
local storage
local value
local has_session, session

-- Finished sets, for the samples.
local finished, failed = 0, 0
local samples = {}

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

function handlers.init(given)
  options = given
  value = read(options.value_file)
  storage = require("resty.session.postgres").new(options.storage)
  has_session, session = pcall(require, "resty.session")
  if has_session then
    session.init({ secret = "of the benchmark", storage = storage })
  end
end

local function sample(premature)
  if not premature then
    ngx.update_time()
    samples[#samples + 1] = ngx.now() .. " " .. finished .. " " .. failed
  end
end

function handlers.init_worker()
  math.randomseed(ngx.worker.pid() + time())
  if options.samples then
    assert(ngx.timer.every(0.1, sample))
  end
end

local function key_of(n)
  return md5(n) .. PADDING
end

local function refuse(message)
  ngx.log(ngx.ERR, message)
  return ngx.exit(500)
end

local function set(n)
  local ok, err = storage:set("session", key_of(n), value, TTL, time())
  if not ok then
    failed = failed + 1
    return refuse(err)
  end
  finished = finished + 1
  say("ok")
end

function handlers.set()
  return set(random(options.rows))
end

-- Session 0, which no other path uses.
function handlers.set0()
  return set(0)
end

function handlers.get()
  local found, err = storage:get("session", key_of(random(options.rows)), time())
  if not found or #found ~= #value then
    return refuse(err or "not the value that was stored")
  end
  say("ok")
end

function handlers.mix()
  if random(10) == 1 then
    return handlers.set()
  end
  return handlers.get()
end

function handlers.login()
  local new = session.new()
  new:set_subject("user" .. random(1000))
  new:set("value", value)
  local ok, err = new:save()
  if not ok then
    return refuse(err)
  end
  say("ok")
end

function handlers.visit()
  local opened, err = session.open()
  if err or not opened:get_subject() then
    return refuse(err or "a session without a subject")
  end
  say("ok")
end

-- The versions of what is measured.
function handlers.about()
  local lua = ngx.config.ngx_lua_version
  say(
    ("ngx_lua %d.%d.%d"):format(lua / 1000000, lua / 1000 % 1000, lua % 1000),
    has_session and ", resty.session " .. session._VERSION or ", no resty.session"
  )
end

-- A line for each tenth of a second: the time, and how many sets have succeeded and failed so far.
function handlers.samples()
  say(table.concat(samples, "\n"))
end

return handlers
