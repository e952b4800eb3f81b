-- For wrk: POST /v1/batch with 100 events a body, every event new. benches/service.py starts it, with the key in KEY.

local counter = 0
local threads = {}

function setup(thread)
  thread:set("id", #threads)
  table.insert(threads, thread)
end

function init(args)
  kept, refused = 0, 0
  wrk.method = "POST"
  wrk.path = "/v1/batch"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. os.getenv("KEY")
end

function request()
  local events = {}
  for i = 1, 100 do
    counter = counter + 1
    local n = id * 1000000000 + counter
    events[i] = string.format(
      '{"type":"track","event":"Product Viewed","messageId":"m-%d","userId":"u-%d",'
        .. '"properties":{"product_id":"p-%d","price":%d.5,"currency":"EUR","url":"https://shop.test/p/%d"}}',
      n, n * 7919 % 50000, n % 500, n % 90, n % 500)
  end
  return wrk.format(nil, nil, nil, '{"batch":[' .. table.concat(events, ",") .. "]}")
end

function response(status)
  if status == 200 then kept = kept + 1 else refused = refused + 1 end
end

function done(summary, latency)
  local kept, refused = 0, 0
  for _, thread in ipairs(threads) do
    kept = kept + thread:get("kept")
    refused = refused + thread:get("refused")
  end
  io.write(string.format("RESULT %d %d %d %d\n", kept, refused, summary.duration, latency:percentile(99)))
end
