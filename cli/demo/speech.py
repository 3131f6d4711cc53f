"""The demo's real speech: recordings in moonshine-voice's wheel, and how well they were heard.

Of one we know every word: the beginning of Dickens' A Tale of Two Cities (1859). Only the wheel's
recordings are used, none of its code.
"""

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

from shared.errors import ConfigError

PASSAGE = "two_cities.wav"
WORDS = """
It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of
foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of
Light, it was the season of Darkness, it was the spring of hope, it was the winter of despair, we
had everything before us, we had nothing before us, we were all going direct to Heaven, we were all
going direct the other way - in short, the period was so far like the present period, that some of
its noisiest authorities insisted on its being received, for good or for evil, in the superlative
degree of comparison only.
"""
RECORDINGS = (PASSAGE, "beckett.wav", "endgame_nagg_nell.wav")
MOST_WRONG = 0.10


def recordings() -> dict[str, Path]:
    """The recordings by name. ConfigError if they are not installed."""
    spec = importlib.util.find_spec("moonshine_voice")
    for root in (spec.submodule_search_locations or []) if spec else []:
        found = {name: Path(root) / "assets" / name for name in RECORDINGS}
        if all(path.exists() for path in found.values()):
            return found
    raise ConfigError(
        "the recordings to try speech on are not installed (moonshine-voice):"
        " pip install --no-deps --require-hashes -r requirements/speech.txt"
    )


def words(text: str) -> list[str]:
    """A text's words as they sound: no case, no punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def word_error_rate(heard: str, truth: str) -> float:
    """The share of the truth's words that are wrong, missing or too many in what was heard.

    The least number of words to change, add or take away, over the number of true words; above 1
    where more was invented than there is.
    """
    given, right = words(heard), words(truth)
    return _distance(given, right) / len(right)


def _distance(given: Sequence[str], right: Sequence[str]) -> int:
    row = list(range(len(right) + 1))
    for at, word in enumerate(given, 1):
        before, row[0] = row[0], at
        for place, other in enumerate(right, 1):
            change = before + (word != other)
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, change)
    return row[-1]
