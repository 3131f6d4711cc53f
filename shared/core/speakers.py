"""Who speaks: names that hold for a whole recording, of labels that hold for one part of it each.

A model that hears one part calls its speakers A, B and so on in the order in which they begin: the
A of the next part may be anybody. Parts whose speakers are to be told share sound at every cut, and
who speaks at the same moments there is one person. Who says nothing there is nobody that is known:
a new name is given, rather than one that may be another's.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from shared.core.strands import Heard
from shared.core.transcript import Segment, Transcript, joined

LEAST_MS: Final = 300  # so far two models' clocks are apart
SAME_SHARE: Final = 0.5  # of what the one says there who says less

Spoken = tuple[str, int, int]
"""A speaker, and from when to when, ms from the beginning of the recording."""


def linked(parts: Sequence[Heard], known: Collection[str] = ()) -> tuple[Heard, ...]:
    """The parts, the same person by the same name in all of them, as far as that can be told.

    Names in `known` are a person's in every part. The text of a part is that of its segments:
    they alone say who says it.
    """
    found: list[Heard] = []
    for number, part in enumerate(parts):
        same = _same(found[-1], part, known) if found else {}
        segments = tuple(
            replace(one, speaker=_named(one.speaker, number, same, known))
            for one in part.said.segments or ()
        )
        said = replace(part.said, segments=segments, text=joined(one.text for one in segments))
        found.append(replace(part, said=said))
    return tuple(found)


def lettered(heard: Transcript, known: Collection[str] = ()) -> Transcript:
    """Speakers as A, B, … in the order in which they first speak; those in `known` by their names.

    A segment whose speaker nobody told is of whom spoke before.
    """
    letters = (letter for letter in _letters() if letter not in known)
    names: dict[str, str] = {name: name for name in known}
    told: list[Segment] = []
    last: str | None = None
    for one in heard.segments or ():
        speaker = one.speaker if one.speaker is not None else last
        if speaker is None:
            speaker = ""
        if speaker not in names:
            names[speaker] = next(letters)
        last = speaker
        told.append(replace(one, speaker=names[speaker]))
    return replace(heard, segments=tuple(told))


def _named(
    speaker: str | None, number: int, same: Mapping[str, str], known: Collection[str]
) -> str | None:
    if speaker is None or speaker in known:
        return speaker
    return same.get(speaker) or f"{number}\0{speaker}"


def _same(left: Heard, right: Heard, known: Collection[str]) -> dict[str, str]:
    """Which label of the right part is which name of the left one: each is one person at most."""
    from_ms, to_ms = right.span.start_ms, left.span.end_ms
    if from_ms >= to_ms:
        return {}
    before = [one for one in _spoken(left, from_ms, to_ms) if one[0] not in known]
    after = [one for one in _spoken(right, from_ms, to_ms) if one[0] not in known]
    together: Counter[tuple[str, str]] = Counter()
    for name, start_ms, end_ms in before:
        for label, other_start_ms, other_end_ms in after:
            shared_ms = min(end_ms, other_end_ms) - max(start_ms, other_start_ms)
            if shared_ms > 0:
                together[name, label] += shared_ms
    in_all = _sums(before), _sums(after)
    found: dict[str, str] = {}
    for (name, label), shared_ms in together.most_common():
        least_ms = max(LEAST_MS, SAME_SHARE * min(in_all[0][name], in_all[1][label]))
        if shared_ms >= least_ms and label not in found and name not in found.values():
            found[label] = name
    return found


def _spoken(part: Heard, from_ms: int, to_ms: int) -> Iterator[Spoken]:
    """Who speaks when in a span of the recording."""
    by_ms = part.span.start_ms
    for one in part.said.segments or ():
        start_ms, end_ms = max(from_ms, by_ms + one.start_ms), min(to_ms, by_ms + one.end_ms)
        if one.speaker is not None and start_ms < end_ms:
            yield one.speaker, start_ms, end_ms


def _sums(spoken: Sequence[Spoken]) -> Counter[str]:
    found: Counter[str] = Counter()
    for name, start_ms, end_ms in spoken:
        found[name] += end_ms - start_ms
    return found


def _letters() -> Iterator[str]:
    """A to Z, then AA, AB and on."""
    number = 0
    while True:
        number += 1
        rest, name = number, ""
        while rest:
            rest, digit = divmod(rest - 1, 26)
            name = chr(ord("A") + digit) + name
        yield name
