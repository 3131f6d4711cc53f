"""Parsers of strangers' bytes. They run in a child process of `workers.sandbox`, never in a worker.

A parser is a function `(request, files, out) -> dict`: `request` and what it returns are JSON,
`files` are paths by name, `out` is a folder for what is too large for JSON. It raises Refused with
words for the caller.
"""
