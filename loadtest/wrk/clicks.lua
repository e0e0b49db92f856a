--[[
  wrk's script of loadtest/wrk/wrk.ts: each token of a file is clicked once. Called as

    wrk … -s clicks.lua URL -- TOKENS FIRST COUNT LENGTH SECONDS THREADS

  TOKENS holds tokens of LENGTH characters, one a line; used are COUNT of them from FIRST on (0 is
  the file's first). Every thread has a stretch of its own.

  wrk drops what is under way when its time is up, and a click that was counted would not be one
  that was seen. So a thread takes no token any more after SECONDS, leaves the connections that come
  free idle (an empty request is never sent, and is no answer among the latencies), and stops once
  every token that it took is answered. wrk's own duration (-d) is a while longer.
]]
local ffi = require("ffi")
ffi.cdef([[
  typedef struct { long seconds; long nanos; } adtally_time;
  int clock_gettime(int clock, adtally_time *time);
]])

local MONOTONIC = 1
local TRIAL = "GET /healthz HTTP/1.1\r\nHost: wrk\r\n\r\n"
local NOTHING = ""
local time = ffi.new("adtally_time")

local function now()
  ffi.C.clock_gettime(MONOTONIC, time)
  return tonumber(time.seconds) + tonumber(time.nanos) / 1e9
end

-- The main state: numbers the threads, and tells what they came to.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function done(summary, latency)
  local sum = { taken = 0, redirects = 0, others = 0, left = 0 }
  local startedAt, endedAt = math.huge, 0
  for _, thread in ipairs(threads) do
    for name in pairs(sum) do sum[name] = sum[name] + thread:get(name) end
    startedAt = math.min(startedAt, thread:get("startedAt"))
    endedAt = math.max(endedAt, thread:get("endedAt"))
  end
  local errors = summary.errors
  io.write(string.format(
    '{"taken":%d,"redirects":%d,"others":%d,"left":%d,"seconds":%.6f,'
      .. '"p50Us":%d,"p95Us":%d,"p99Us":%d,"p999Us":%d,"maxUs":%d,'
      .. '"socketErrors":%d,"timeouts":%d}\n',
    sum.taken, sum.redirects, sum.others, sum.left, endedAt - startedAt,
    latency:percentile(50), latency:percentile(95), latency:percentile(99), latency:percentile(99.9), latency.max,
    errors.connect + errors.read + errors.write, errors.timeout))
end

-- A thread's own state; its globals are what the main state reads.

taken, redirects, others, left = 0, 0, 0, 0
startedAt, endedAt = 0, 0

local tokens, at, step, stopAt
local before, behind
local isTried = false

function init(args)
  local first, count, length, of = tonumber(args[2]), tonumber(args[3]), tonumber(args[4]), tonumber(args[6])
  local from = math.floor(count * number / of)
  left = math.floor(count * (number + 1) / of) - from
  step = length + 1
  local file = assert(io.open(args[1], "rb"))
  file:seek("set", (first + from) * step)
  tokens = file:read(left * step) or ""
  file:close()
  assert(#tokens == left * step, args[1] .. " holds too few tokens")
  at = 1
  before = "GET /click?i="
  behind = " HTTP/1.1\r\nHost: " .. wrk.host .. "\r\n\r\n"
  startedAt = now()
  stopAt = startedAt + tonumber(args[5])
end

function request()
  -- wrk tries the script once before the load, and sends nothing.
  if number == 0 and not isTried then
    isTried = true
    return TRIAL
  end
  if left == 0 or now() >= stopAt then
    stopAt = 0
    if redirects + others == taken then wrk.thread:stop() end
    return NOTHING
  end
  local from = at
  at = from + step
  left = left - 1
  taken = taken + 1
  return before .. tokens:sub(from, at - 2) .. behind
end

function response(status)
  if status == 302 then redirects = redirects + 1 else others = others + 1 end
  endedAt = now()
  if redirects + others == taken and (stopAt == 0 or left == 0) then wrk.thread:stop() end
end
