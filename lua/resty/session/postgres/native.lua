-- Loads the native module that was installed with this file, and binds it to nginx.

local VERSION = "0.2.0"

-- `make install` writes the name of the file that it installs with this one. Each build has another
-- name: nginx's master keeps what it has loaded under a name, also when the file is replaced.
local NATIVE = "resty_session_postgres"

local NAME = "resty.session.postgres " .. VERSION

local found, native = pcall(require, NATIVE)
if not found then
  error(
    NAME
      .. " cannot load its native module. Install both from one package, with the folder of the "
      .. "native module in lua_package_cpath: "
      .. tostring(native),
    0
  )
end

if native._VERSION ~= VERSION then
  error(
    NAME
      .. " found version "
      .. tostring(native._VERSION)
      .. " of its native module "
      .. NATIVE
      .. ". Install both from one package. If both are, restart nginx: its master has loaded the "
      .. "other version under the same file name, and goes on using it after a reload",
    0
  )
end

-- Outside of nginx and in the threads of ngx.run_worker_thread there is no event loop to yield to.
local ngx = ngx -- luacheck: globals ngx
if not (ngx and ngx.get_phase and ngx.timer) then
  return native
end

local storage = native.bind(native.pump(native.native))

storage._VERSION = VERSION

return storage
