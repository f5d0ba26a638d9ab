-- `luarocks make` in the sources, or `luarocks build` beside the archive that `make dist` makes.
-- The rock is for LuaJIT, the Lua of OpenResty. It needs Rust, a C compiler and OpenSSL's headers.
rockspec_format = "3.0"
package = "resty-session-postgres"
version = "0.2.0-1"

source = {
  url = "file://resty-session-postgres-0.2.0.tar.gz",
}

description = {
  summary = "PostgreSQL session storage for OpenResty's resty.session",
  detailed = [[
A drop-in replacement for lua-resty-session's PostgreSQL storage, written in Rust. It does not make
nginx's event loop wait, needs a handful of connections for each worker, and sends the operations
that wait at the same time as one statement.]],
  license = "MIT OR Apache-2.0",
  labels = { "openresty", "session", "postgresql" },
}

supported_platforms = { "linux" }

dependencies = {
  "lua == 5.1",
}

build = {
  type = "make",
  build_target = "build-rock",
  install_target = "install-lua",
  install_variables = {
    LUA_LIB_DIR = "$(LUADIR)",
    LUA_CLIB_DIR = "$(LIBDIR)",
  },
  copy_directories = { "sql" },
}
