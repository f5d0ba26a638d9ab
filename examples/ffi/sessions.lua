-- The four operations from LuaJIT without the Lua module, by its FFI. They block, so this is for
-- command-line programs; inside nginx use resty.session.postgres.
--
--     luajit sessions.lua /usr/local/include/resty_session_postgres.h 127.0.0.1 5432 sessions

local ffi = require("ffi")

local header, host, port, database = unpack(arg)

-- The installed header, so that no declaration is written twice. FFI reads C without a
-- preprocessor: its lines go, and with them what is for C++ and for newer C alone.
local function declare(path)
  local kept, skipping = {}, {}
  for line in io.lines(path) do
    if line:find("^#if") then
      local ours = line:find("^#ifndef")
        or not line:find("cplusplus") and not line:find("STDC_VERSION")
      table.insert(skipping, not ours)
    elseif line:find("^#else") then
      skipping[#skipping] = not skipping[#skipping]
    elseif line:find("^#endif") then
      table.remove(skipping)
    elseif not line:find("^#") then
      local skip = false
      for _, skips in ipairs(skipping) do
        skip = skip or skips
      end
      kept[#kept + 1] = not skip and line or nil
    end
  end
  ffi.cdef(table.concat(kept, "\n"))
end

declare(header)
local C = ffi.load("resty_session_postgres")

local RSP_NOW = -0x8000000000000000LL -- a macro of the header

local message = ffi.new("char[256]")

local function check(status)
  if status ~= C.RSP_OK then
    error(ffi.string(C.rsp_status_name(status)) .. ": " .. ffi.string(message), 2)
  end
end

-- A pointer that the library writes a handle to; `free` is called when Lua collects the handle.
local function out(kind, free)
  local pointer = ffi.new(kind .. "*[1]")
  return pointer, function()
    return ffi.gc(pointer[0], free)
  end
end

local function open(settings)
  local config_out, config = out("rsp_config", C.rsp_config_free)
  check(C.rsp_config_new(config_out))
  config = config()
  for key, value in pairs(settings) do
    check(C.rsp_config_set(config, key, #key, value, #value, message, 256))
  end
  local storage_out, storage = out("rsp_storage", C.rsp_storage_free)
  check(C.rsp_storage_new(config, storage_out, message, 256))
  return storage()
end

local function set(storage, key, value, ttl, audience, subject)
  local pair = ffi.new("rsp_pair", audience, #audience, subject, #subject)
  local request = ffi.new("rsp_set")
  check(C.rsp_set_init(request, ffi.sizeof(request)))
  request.name, request.name_len = "session", 7
  request.key, request.key_len = key, #key
  request.value, request.value_len = value, #value
  request.ttl_s = ttl
  request.metadata, request.metadata_len = pair, 1
  check(C.rsp_storage_set(storage, request, message, 256))
end

local function get(storage, key)
  local value_out, value = out("rsp_bytes", C.rsp_bytes_free)
  check(C.rsp_storage_get(storage, key, #key, RSP_NOW, value_out, message, 256))
  if value_out[0] == nil then
    return nil
  end
  value = value()
  return ffi.string(C.rsp_bytes_data(value), C.rsp_bytes_len(value))
end

local function read_metadata(storage, audience, subject)
  local sessions_out, sessions = out("rsp_metadata", C.rsp_metadata_free)
  check(
    C.rsp_storage_read_metadata(
      storage,
      audience,
      #audience,
      subject,
      #subject,
      RSP_NOW,
      sessions_out,
      message,
      256
    )
  )
  sessions = sessions()
  local key, length, expires =
    ffi.new("const char *[1]"), ffi.new("size_t[1]"), ffi.new("int64_t[1]")
  local found = {}
  for index = 0, tonumber(C.rsp_metadata_len(sessions)) - 1 do
    check(C.rsp_metadata_get(sessions, index, key, length, expires))
    found[ffi.string(key[0], length[0])] = tonumber(expires[0])
  end
  return found
end

local storage = open({ host = host, port = port, database = database })
local key = "wVUNSyVTBB2x4uh8kUGZzkLmGp-ypxFGbR3GFLyg9XQ"

set(storage, key, '{"visits":1}', 3600, "shop", "ada")
print("saved")
print("found: " .. get(storage, key))
for found, expires in pairs(read_metadata(storage, "shop", "ada")) do
  print("1 session, " .. found .. ", which ends at " .. expires)
end
check(C.rsp_storage_delete(storage, key, #key, message, 256))
print("deleted")
print(get(storage, key) or "gone")
