"""Models that run on this machine, as OpenAI-compatible servers: no key, no network, no download.

`found` says what is installed, `chat` and `speech` serve, `local` gives them to `headrace up`.
"""
