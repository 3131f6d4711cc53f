"""Transcriptions: a parent job in steps, whose children are parts of audio on providers' lanes.

`step` takes one step: it reads and cuts the recording, hands parts out, hears what came of them,
joins it. Where each part stands is the core's (`audio_work`), and so is the joining (`joining`).
"""
