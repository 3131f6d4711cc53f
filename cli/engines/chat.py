"""The chat engine: llama.cpp (xllamacpp) with SmolLM2 135M, as an OpenAI-compatible server."""

import os
import signal

from cli.engines import found, limits
from shared.errors import ConfigError

PARALLEL = 2
CONTEXT_TOKENS = 4_096
OUTPUT_TOKENS = 1_024
UNASKED_TOKENS = 512
READ_S = 60


def serve(port: int, key: str) -> None:
    """Serves the model on that loopback port until SIGTERM, to callers with the key. Never returns.

    Without `max_tokens` an answer ends after 512: a model this small seldom ends by itself.
    ConfigError if it is not installed, or has no build for this processor.
    """
    file = found.CHAT.file()
    try:
        import xllamacpp  # noqa: PLC0415 - not always there
    except ImportError as exc:
        raise ConfigError(f"the local chat engine cannot run here: {exc}") from exc
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # the engine's threads are born with it
    limits.bound_memory()
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.model_alias = {found.CHAT.model}
    params.n_parallel = PARALLEL
    params.n_ctx = CONTEXT_TOKENS * PARALLEL
    params.n_predict = UNASKED_TOKENS
    params.cpuparams.n_threads = limits.threads()
    params.cpuparams_batch.n_threads = limits.threads()
    params.cache_ram_mib = 0
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.api_keys = [key]
    params.timeout_read = READ_S
    params.endpoint_slots = False  # they show what others asked
    params.offline = True
    params.ui = False
    params.warmup = False
    params.verbosity = -1
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as exc:
        raise ConfigError(f"the local chat engine cannot serve on port {port}: {exc}") from exc
    print(f"serving {found.CHAT.title} at {server.listening_address}", flush=True)
    signal.sigwait(stops)
    os._exit(0)  # the engine's own threads have nothing to say at the end
