-- What the samples take for granted, and the way to run one. The storage is the real one; it is
-- led to the database of the tests, and no call of it may fail.

local given = {}

local function checked(first, second)
  if second ~= nil then
    error(second, 3)
  end
  return first
end

-- A storage whose every failure is a failure of the sample.
local function strict(storage)
  return setmetatable({}, {
    __index = function(_, name)
      local method = storage[name]
      return method and function(_, ...)
        return checked(method(storage, ...))
      end
    end,
  })
end

local function environment(here)
  local module = require "resty.session.postgres"

  local function new(configuration)
    module.new(configuration)
    local conf = {}
    for key, value in pairs(configuration or {}) do
      conf[key] = value
    end
    for key, value in pairs(here) do
      conf[key] = value
    end
    conf.username, conf.ssl, conf.ssl_required = nil, nil, nil
    return strict(module.new(conf))
  end

  local key = "wVUNSyVTBB2x4uh8kUGZzkLmGp-ypxFGbR3GFLyg9XQ"
  local storage = new()
  storage:set("session", key, "{}", 3600)
  return setmetatable({
    storage = storage,
    key = key,
    this_key = key,
    old_key = "replaced",
    value = '{"visits":1}',
    ttl = 3600,
    stale_ttl = 10,
    new = "a new password",
    audience = "shop",
    subject = "ada",
    session = {
      storage = storage,
      get_property = function(_, name)
        return name == "id" and key or nil
      end,
    },
    require = function(name)
      return name == "resty.session.postgres" and { new = new } or require(name)
    end,
  }, { __index = _G })
end

-- A sample that only shows a configuration: its keys have to be there, with values that they take.
local function check(configuration)
  local native = require "resty_session_postgres"
  local ok, why = pcall(native.new, configuration)
  -- The files of the samples are not on this machine.
  assert(ok or why:find("cannot read /", 1, true), why)
  for _, complaint in pairs(native.native.take_log() or {}) do
    error(complaint)
  end
end

function given.run(here, sample, place)
  local run = assert(loadstring(sample, "@" .. place))
  local globals = environment(here)
  setfenv(run, globals)()
  local configuration = rawget(globals, "postgres")
  if configuration then
    check(configuration)
  end
  ngx.print "done"
end

return given
