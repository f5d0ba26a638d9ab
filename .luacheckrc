-- Every Lua file runs inside ngx_lua, or on a plain Lua whose globals are among these.
std = "ngx_lua"
max_line_length = 100
exclude_files = { "target" }
