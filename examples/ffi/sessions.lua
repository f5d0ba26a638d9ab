-- The operations from LuaJIT's FFI, without the Lua module. They block, so this is for command-line
-- programs; inside nginx use resty.session.postgres.
--
--     luajit sessions.lua DECLARATIONS "host=db dbname=sessions"
--
-- DECLARATIONS is the installed file: /opt/sessions/include/resty_session_postgres.cdef. The system
-- finds the library after ldconfig (docs/installing.md), or with LD_LIBRARY_PATH=/opt/sessions/lib.

local ffi = require("ffi")

local declarations, dsn = unpack(arg)

-- The installed declarations, so that none is written twice.
local file = assert(io.open(declarations))
ffi.cdef(file:read("*a"))
file:close()

local C = ffi.load("resty_session_postgres")

local message = ffi.new("char[256]")

local function check(status)
  if status ~= C.RSP_OK then
    error(ffi.string(C.rsp_status_name(status)) .. ": " .. ffi.string(message), 2)
  end
end

-- A text with its length; the library refuses the length 0, and a Lua string ends in NUL.
local NUL_TERMINATED = ffi.cast("size_t", -1) -- a macro of the header

local function text(str)
  return str, #str > 0 and #str or NUL_TERMINATED
end

-- Calls a function that writes a handle to its output. Lua frees the handle when it collects it.
local function make(kind, new, ...)
  local out = ffi.new("rsp_" .. kind .. "*[1]")
  local args = { ... }
  args[#args + 1] = out
  args[#args + 1] = message
  args[#args + 1] = 256
  check(new(unpack(args)))
  return ffi.gc(out[0], C["rsp_" .. kind .. "_free"])
end

local function open()
  local config = make("config", C.rsp_config_new)
  local data, length = text(dsn)
  check(C.rsp_config_dsn(config, data, length, message, 256))
  return make("storage", C.rsp_storage_new, config)
end

-- Carries an operation out. Its arguments are a table by the names of the parameters; pairs are
-- tables of an audience and a subject.
local function call(storage, operation, arguments)
  local request = make("request", C.rsp_request_new, operation)
  for name, value in pairs(arguments) do
    if type(value) == "string" then
      local data, length = text(value)
      check(C.rsp_request_text(request, name, data, length, message, 256))
    elseif type(value) == "number" then
      check(C.rsp_request_number(request, name, value, message, 256))
    elseif type(value) == "boolean" then
      check(C.rsp_request_flag(request, name, value, message, 256))
    else
      for _, pair in ipairs(value) do
        local audience, audience_length = text(pair[1])
        local subject, subject_length = text(pair[2])
        check(
          C.rsp_request_pair(
            request,
            name,
            audience,
            audience_length,
            subject,
            subject_length,
            message,
            256
          )
        )
      end
    end
  end
  return make("completion", C.rsp_call, storage, request)
end

local length = ffi.new("size_t[1]")

local function get(storage, key)
  local completion = call(storage, "get", { key = key })
  local value = C.rsp_completion_value(completion, length)
  return value ~= nil and ffi.string(value, length[0]) or nil
end

local function read_metadata(storage, audience, subject)
  local completion = call(storage, "read_metadata", { audience = audience, subject = subject })
  local expires = ffi.new("int64_t[1]")
  local found = {}
  for index = 0, tonumber(C.rsp_completion_sessions(completion)) - 1 do
    local key = C.rsp_completion_session_key(completion, index, length)
    C.rsp_completion_session_expires(completion, index, expires)
    found[ffi.string(key, length[0])] = tonumber(expires[0])
  end
  return found
end

local storage = open()
local key = "wVUNSyVTBB2x4uh8kUGZzkLmGp-ypxFGbR3GFLyg9XQ"

call(storage, "set", {
  name = "session",
  key = key,
  value = '{"visits":1}',
  ttl = 3600,
  metadata = { { "shop", "ada" } },
})
print("saved")
print("found: " .. get(storage, key))
for found, expires in pairs(read_metadata(storage, "shop", "ada")) do
  print("1 session, " .. found .. ", which expires at " .. expires)
end
call(storage, "delete", { key = key })
print("deleted")
print(get(storage, key) or "gone")
