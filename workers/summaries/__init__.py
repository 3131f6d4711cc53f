"""Summaries: a parent job in steps, whose children are chats on the lanes of providers.

`step` takes one step: it hears what children said, reads documents, hands out calls. What fits and
what is said is the core's (`summary`, `summary_prompts`), where each document stands is in
`summary_work`.
"""
