--- Fills the {names} of a template. Text is escaped; markup made by this function is not.

local concat = table.concat
local gsub = string.gsub

local ENTITIES = {
  ["&"] = "&amp;",
  ["<"] = "&lt;",
  [">"] = "&gt;",
  ['"'] = "&quot;",
  ["'"] = "&#39;",
}

local markup = {}

function markup:__tostring()
  return self.text
end

local function render(value)
  if getmetatable(value) == markup then
    return value.text
  end
  if type(value) ~= "table" then
    return (gsub(tostring(value), "[&<>\"']", ENTITIES))
  end
  local parts = {}
  for i, part in ipairs(value) do
    parts[i] = render(part)
  end
  return concat(parts)
end

--- A value is text or a number, markup from an earlier call, or a list of these.
return function(template, values)
  local text = gsub(template, "{([%a_]+)}", function(name)
    return render(values[name])
  end)
  return setmetatable({ text = text }, markup)
end
