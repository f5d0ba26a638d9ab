--- The demo's pages.

local html = require("demo.html")

local os_date = os.date

local FRAME = [[
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
{content}
</main>
<footer>{footer}</footer>
</body>
</html>
]]

local SIGN_IN = [[
<h1>Who are you?</h1>
<p>Any name will do. Your session becomes a row in PostgreSQL, your browser keeps its id.</p>
<form method="post" action="/sign-in">
  <label for="name">Name</label>
  <div class="row">
    <input id="name" name="name" maxlength="80" required autofocus autocomplete="off">
    <button>Sign in</button>
  </div>
</form>
]]

local SIGNED_IN = [[
<h1>Hello, <span id="who">{name}</span></h1>
<p class="count"><strong id="visits">{visits}</strong> {unit} in this session</p>
<h2>Your active sessions</h2>
<table>
<thead><tr><th>Session</th><th>Expires (UTC)</th><th></th></tr></thead>
<tbody>
{rows}</tbody>
</table>
<p class="hint">Reload to count. Sign in under the same name in a second browser,
or in a private window, and it appears here.</p>
<div class="row">
<form method="post" action="/sign-out-others">
<button id="others" class="quiet">Sign out my other sessions</button></form>
<form method="post" action="/sign-out"><button class="quiet">Sign out</button></form>
</div>
<p class="hint"><a href="/metrics">Metrics of this worker</a></p>
]]

-- A session id is a secret. The page shows only as much of it as tells two sessions apart.
local ROW = [[
<tr class="session"><td><code>{id}…</code></td><td>{expires}</td><td>{note}</td></tr>
]]

local MESSAGE = [[
<h1>{heading}</h1>
<p>{text}</p>
<p><a href="/">Back</a></p>
]]

local function frame(title, content, footer)
  return html(FRAME, { title = title, content = content, footer = footer or "" }).text
end

local function made_by(who)
  return "Stored by resty.session.postgres. Cookies by " .. who .. "."
end

local page = {}

function page.sign_in(who)
  return frame("Sign in", html(SIGN_IN, {}), made_by(who))
end

function page.signed_in(session, active, who)
  local rows = {}
  for i, entry in ipairs(active) do
    rows[i] = html(ROW, {
      id = entry.id:sub(1, 6),
      expires = os_date("!%Y-%m-%d %H:%M:%S", entry.expiry),
      note = entry.is_current and html('<span class="here">this browser</span>', {}) or "",
    })
  end
  local content = html(SIGNED_IN, {
    name = session.name,
    visits = session.visits,
    unit = session.visits == 1 and "visit" or "visits",
    rows = rows,
  })
  return frame("Hello, " .. session.name, content, made_by(who))
end

function page.message(heading, text)
  return frame(heading, html(MESSAGE, { heading = heading, text = text }))
end

return page
