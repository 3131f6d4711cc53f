-- uses: prelude lanes accepting hooks usage sharing
-- Accepts a batch of jobs: all that is written for one job is written together, or not at all.
-- ARGS[1]: {jobs: [{id tenant kind priority lane sig need weight deadline_ms grain_ms max_wait_ms delay_ms
--   idem: [key, body] live join watch hook as batch parent like share cache}], sigs: {sig: {c: [lane], p: [lane]}}};
--   ARGS[2..]: docs.
-- Returns [[how, job id, created ms, status, whose answer], ...] in order. Repeating it changes nothing.
learn_signatures(A.sigs)
local out = {}
for i, j in ipairs(A.jobs) do out[i] = accept(j, ARGS[i + 1]) end
flush()
return out
