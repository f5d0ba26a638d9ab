-- The Lua side of the tests' Lua binding: a call comes as a line of JSON, and its outcome goes back
-- as one.
--
-- A request is { conf = <a string: the configuration in JSON>, call = <method>, args = <values> }.
-- A reply is { phase = <where this ran>, returned = <values> }, or has raised = <value> instead.
-- value.rs says how values look in JSON.

local cjson = require "cjson"
local storage = require "resty.session.postgres"

local char = string.char
local find = string.find
local format = string.format
local gsub = string.gsub
local ipairs = ipairs
local pairs = pairs
local pcall = pcall
local select = select
local tonumber = tonumber
local type = type
local unpack = unpack

local digits_of, byte_of = {}, {}
for i = 0, 255 do
  local digits = format("%02x", i)
  digits_of[char(i)] = digits
  byte_of[digits] = char(i)
end

local function decode(json)
  if json == cjson.null then
    return nil
  elseif type(json) ~= "table" then
    return json
  elseif json.number then
    return tonumber(json.number)
  elseif json.hex then
    return (gsub(json.hex, "..", byte_of))
  end

  local tbl = {}
  for _, pair in ipairs(json.table) do
    tbl[decode(pair[1])] = decode(pair[2])
  end
  return tbl
end

local function encode(value)
  local kind = type(value)
  if kind == "nil" then
    return cjson.null
  elseif kind == "boolean" then
    return value
  elseif kind == "number" then
    return { number = format("%.17g", value) }
  elseif kind == "string" then
    if find(value, "[^ -~]") then
      return { hex = gsub(value, ".", digits_of) }
    end
    return value
  elseif kind ~= "table" then
    return { other = kind }
  end

  local pairs_of = {}
  for k, v in pairs(value) do
    pairs_of[#pairs_of + 1] = { encode(k), encode(v) }
  end
  return { table = pairs_of }
end

local function encode_all(...)
  local values = {}
  for i = 1, select("#", ...) do
    values[i] = encode((select(i, ...)))
  end
  return values
end

local function decode_all(json)
  local values = {}
  for i = 1, #json do
    values[i] = decode(json[i])
  end
  return values, #json
end

local instances = {}

local function instance_for(conf)
  if not instances[conf] then
    instances[conf] = storage.new(decode(cjson.decode(conf)))
  end
  return instances[conf]
end

-- The calls are no tail calls: an error of level 2 has to point here.
local function call(request)
  local args, n = decode_all(request.args)
  if request.call == "new" then
    local instance = storage.new(unpack(args, 1, n))
    return encode_all(type(instance))
  end

  local instance = instance_for(request.conf)
  if request.call == "assign" then
    instance[args[1]] = args[2]
    return encode_all()
  end
  return encode_all(instance[request.call](instance, unpack(args, 1, n)))
end

local function serve(line)
  local request = cjson.decode(line)
  local reply = { phase = ngx and ngx.get_phase() or "no nginx" }
  local ok, outcome = pcall(call, request)
  if ok then
    reply.returned = outcome
  else
    reply.raised = encode(outcome)
  end
  return cjson.encode(reply)
end

-- Serves a stream of requests until its end.
local function loop(input, output)
  for line in input:lines() do
    output:write(serve(line), "\n")
    output:flush()
  end
end

return { serve = serve, loop = loop }
