-- What the locations of these tests run: an operation of the storage, as the query's arguments say.
-- The configuration comes from the environment, so that every Lua VM can read it.

local cjson = require "cjson"

local assert = assert
local getenv = os.getenv
local tostring = tostring

local site = {}

function site.configuration()
  return cjson.decode((assert(getenv "STORAGE", "no STORAGE in the environment")))
end

-- The instance is made at its first use: which phase that is in is what some tests are about.
function site.storage()
  if not site.instance then
    site.instance = require("resty.session.postgres").new(site.configuration())
  end
  return site.instance
end

local operations = {}

function operations.get(storage, args)
  return storage:get("session", args.key)
end

function operations.set(storage, args)
  local metadata = args.audience and { audiences = { args.audience }, subjects = { args.subject } }
  local old_key, stale_ttl = args.old_key, args.stale_ttl
  return storage:set("session", args.key, args.value, 3600, nil, old_key, stale_ttl, metadata)
end

-- Carries out `args["do"]`; gives a status of HTTP (404 is a miss, 503 a failure) and a text: of a
-- failure what follows the module's name, with which each message begins.
function site.run(args, storage)
  local first, second = operations[args["do"]](storage or site.storage(), args)
  if first ~= nil then
    return 200, tostring(first)
  elseif second ~= nil then
    return 503, (assert(second:match "^resty%.session%.postgres: (.*)", second))
  end
  return 404, ""
end

-- Answers the request with its operation's outcome.
function site.answer()
  local status, text = site.run(ngx.req.get_uri_args())
  ngx.status = status
  ngx.print(text)
end

-- Keeps an outcome for `/outcome`, where the response cannot bring it. It is written in one piece,
-- so that no reader finds half of it.
function site.record(name, args)
  local status, text = site.run(args)
  assert(ngx.shared.outcomes:set(name, cjson.encode { status = status, text = text }))
end

function site.recorded()
  local name = ngx.var.arg_of
  for _ = 1, 1000 do
    local outcome = ngx.shared.outcomes:get(name)
    if outcome then
      outcome = cjson.decode(outcome)
      ngx.shared.outcomes:delete(name)
      ngx.status = outcome.status
      return ngx.print(outcome.text)
    end
    ngx.sleep(0.01)
  end
  ngx.status = 504
end

return site
