"""Rate-limited fake providers that speak the real wire formats. Imports nothing of ours.

`python -m simulator --config sim.yaml --port 9200 --speed 10`, or in a test

    with running(load_config(mapping)) as address:
        address.base_urls["alpha"]  # http://127.0.0.1:…/alpha/v1

A configuration; all but `models` may be left out, and every span is simulated time, divided by
`speed`, while headers and `/admin` tell real time:

    speed: 10                      # a minute lasts 6 seconds
    own_ports: false               # true: a port a provider, with /v1/… and no name before it
    remember_ids: 200000           # per-id counts kept, oldest forgotten first
    providers:
      alpha:
        dialect: groq              # openai groq mistral anthropic-like cerebras none
        # personality: gemini      # instead of a dialect: the provider's own wire
        announce: {headers: true, retry_after: true, body: true}
        counts: input+output       # or input, input+max_output
        count_rejected: false
        keys:
          - {id: a1, key: sk-sim-alpha-1, organisation: org_a, plan: free}
        models:
          - {id: sim-small, kinds: [chat], context_window: 131072, max_output_tokens: 4096}
          - {id: sim-embed, kinds: [embedding], dimensions: 256, limits: {rpm: 600}}
          - {id: sim-whisper, kinds: [transcription], limits: {ash: 7200, asd: 28800, rpm: 20},
             max_audio_bytes: 26214400, min_billed_seconds: 10, translates: true}
          - {id: sim-listen, kinds: [transcription], timestamps: false}   # json and text only
          - {id: sim-voices, kinds: [transcription], timestamps: false, speakers: known}
        limits:                    # each key and model has its own, unless scope: key
          - {requests: 60, per: 1m, kind: sliding}
          - {tokens: 8000, per: 1m, kind: fixed, anchor: epoch}   # or first_use, or a time zone
          - {requests: 1000, per: 1d, kind: bucket, scope: key}
          - {concurrency: 8}
        latency: {median_ms: 300, sigma: 0.4, seed: 1}
        output: {median_tokens: 48, sigma: 0.5, tokens_per_s: 200, audio_x: 150}

`simulator.answers` says what is answered and how tokens count, `simulator.faults` what can be
broken, `simulator.markers` how requests are counted by id.

Sound sent to `/audio/transcriptions` (OpenAI's wire, or the personalities openai, groq, mistral)
or `/audio/translations` (openai, groq) is really heard: `simulator.speech` makes files whose words
are known, and whatever part of one is sent, the words in it come back with their times, and from a
model with `speakers` who said them. `audio_x: 150` hears 150 seconds in one.

A `personality` (openai groq gemini cohere mistral anthropic openrouter) brings that provider's
paths, keys, bodies, streams, headers and errors, below the provider's name:

    openai /v1  groq /openai/v1  gemini /v1beta  cohere /v2  mistral /v1  anthropic /v1
    openrouter /api/v1

The admin API, on the common port:

    GET  /admin/  /admin/state  /admin/faults  /admin/rows
    GET  /admin/requests/{id}   /admin/requests?min_received=2&min_admitted=&min_answered=&limit=
    POST /admin/faults    {"kind": "error", "status": 503, "provider": "alpha", "count": 3, …}
    DELETE /admin/faults  /admin/faults/{id}
    POST /admin/limits    {"provider": "alpha", "factor": 0.1, "announced": false}
    POST /admin/reset
"""

from simulator.answers import expected_answer
from simulator.app import Simulator
from simulator.config import (
    Announce,
    Key,
    Latency,
    LimitSpec,
    Model,
    Output,
    SimulatedProvider,
    SimulatorConfig,
)
from simulator.headrace import headrace_config
from simulator.loading import load_config, load_file
from simulator.presets import preset
from simulator.reading import ConfigError
from simulator.server import Address, running, serve

__all__ = [
    "Address",
    "Announce",
    "ConfigError",
    "Key",
    "Latency",
    "LimitSpec",
    "Model",
    "Output",
    "SimulatedProvider",
    "Simulator",
    "SimulatorConfig",
    "expected_answer",
    "headrace_config",
    "load_config",
    "load_file",
    "preset",
    "running",
    "serve",
]
