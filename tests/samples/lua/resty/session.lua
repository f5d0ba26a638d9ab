-- In the place of lua-resty-session, which is not installed where tests run: what its `init` does
-- with the configuration of a storage. `make test-migration` runs the real one.

local session = {}

function session.init(configuration)
  local name = configuration.storage
  local module = name == "postgres" and "resty.session.postgres" or name
  session.storage = require(module).new(configuration[name])
end

return session
