--- Checks by the browser's headers whether a request comes from a page of this site.
--
-- With SameSite=Lax only, a page on another port of this host could post forms: it counts as the
-- same site. A request that carries neither header is refused.

local ngx = ngx

return function()
  local var = ngx.var
  local fetch_site = var.http_sec_fetch_site
  if fetch_site then
    return fetch_site == "same-origin"
  end
  return var.http_origin == var.scheme .. "://" .. (var.http_host or "")
end
