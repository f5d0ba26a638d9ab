--- Whether a request comes from a page of this very site, by what its browser says.
--
-- SameSite=Lax alone would let a page on another port of this host post forms: ports do not tell
-- sites apart. A request that carries neither header is refused.

local ngx = ngx

return function()
  local var = ngx.var
  local fetch_site = var.http_sec_fetch_site
  if fetch_site then
    return fetch_site == "same-origin"
  end
  return var.http_origin == var.scheme .. "://" .. (var.http_host or "")
end
