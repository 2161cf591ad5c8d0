-- What wrk asks for. Its one argument is a file that returns
--   { head, tails, path }                   one path, or
--   { head, tails, prefix, ranges }         a random id: prefix .. number, every number of every range equally likely;
--                                           ranges = { { first, last, tail }, ... }
--   { head, tails, path, body }             a POST
-- where a tail holds the headers of one caller.
local threads = 0
function setup(thread)
    threads = threads + 1
    thread:set("thread_number", threads)
end

local plan, total, ends = nil, 0, {}
function init(args)
    plan = dofile(args[1])
    math.randomseed(os.time() * 16 + thread_number)
    for index, range in ipairs(plan.ranges or {}) do
        total = total + range[2] - range[1] + 1
        ends[index] = total
    end
end

function request()
    if plan.body then
        return plan.head .. plan.path .. plan.tails[1] .. "Content-Length: " .. #plan.body .. "\r\n\r\n" .. plan.body
    end
    if not plan.ranges then return plan.head .. plan.path .. plan.tails[1] .. "\r\n" end
    local wanted = math.random(total)
    local low, high = 1, #ends
    while low < high do
        local middle = math.floor((low + high) / 2)
        if ends[middle] < wanted then low = middle + 1 else high = middle end
    end
    local range = plan.ranges[low]
    return plan.head .. plan.prefix .. string.format("%012.0f", range[2] - (ends[low] - wanted)) .. plan.tails[range[3]] .. "\r\n"
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\nRESULT {"requests": %d, "seconds": %.3f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "broken": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
