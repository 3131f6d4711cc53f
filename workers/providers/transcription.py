"""OpenAI's `/audio/transcriptions` and the hosts that are like it: a form with a file goes there.

What a host takes is data (`Quirks.audio_takes` and its like); what it does not take is left out and
told, by the same rule as a chat's parameters. Times are asked for wherever the model can tell them:
parts are put together by them. Sources: shared/facts/wire-chat.md 7.1 to 7.4, 7.6.
"""

import hashlib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from shared.catalog_types import TIMESTAMPS, WORD_TIMESTAMPS
from shared.credentials import Secret
from shared.wire.transcriptions import DIARIZED, TRANSLATE
from workers.providers.base import Call, HttpRequest, Sound
from workers.providers.requests import sent
from workers.providers.transcripts import Heard

PROMPT_TOKENS = 224
"""How much of a prompt Whisper looks at: the end of it. Groq refuses more."""
_WORDLIKE = 0.9
Field = tuple[str, str]


def build(call: Call, credential: Secret | None) -> HttpRequest:
    """The form to send; KeyError where the deployment offers nothing of the kind."""
    quirks = call.quirks
    path = quirks.translation_path if translated(call) else quirks.transcription_path
    if not path or call.sound is None:
        raise KeyError(call.kind)
    fields, dropped = form_of(call)
    boundary, body = multipart(fields, call.sound)
    return sent(call, credential, path, f"multipart/form-data; boundary={boundary}", body, dropped)


def form_of(call: Call) -> tuple[list[Field], tuple[str, ...]]:
    """The fields beside the file, and what the caller asked for that is not among them."""
    asked, quirks = call.request, call.quirks
    taken = quirks.audio_takes - quirks.drop
    grains = grains_of(call)
    values: dict[str, str] = {}
    dropped: list[str] = []
    for name in ("language", "prompt", "temperature"):
        value = asked.get(name)
        if value in (None, ""):
            continue
        if name not in taken or (name == "language" and grains and quirks.times_or_language):
            if value != 0:
                dropped.append(name)
            continue
        values[name] = ending(value, call) if name == "prompt" else str(value)
    if "response_format" in taken:
        values["response_format"] = "verbose_json" if times(call) else "json"
    if untold(call):
        dropped.append("timestamp_granularities")
    more = _more(call)
    if chunking := asked.get("chunking_strategy"):
        if "chunking_strategy" in more:
            del more["chunking_strategy"]
            more |= {f"chunking_strategy[{name}]": str(each) for name, each in chunking.items()}
        else:
            dropped.append("chunking_strategy")
    fields = [("model", call.deployment.model), *(values | more).items()]
    if diarized(call):
        fields += _known(asked)
    return [*fields, *((quirks.audio_grains, grain) for grain in grains)], tuple(sorted(dropped))


def _more(call: Call) -> dict[str, str]:
    """The fields that this model must be sent beside what was asked for."""
    quirks, model = call.quirks, call.deployment.model
    adds = (pairs for pattern, pairs in quirks.audio_adds if fnmatchcase(model, pattern))
    more = dict(next(adds, ()))
    return more | dict(quirks.audio_speakers) if diarized(call) else more


def translated(call: Call) -> bool:
    """Whether it is to be told in English."""
    return call.request.get("task") == TRANSLATE


def diarized(call: Call) -> bool:
    """Whether it is to be told who speaks."""
    return call.request.get("response_format") == DIARIZED


def _known(asked: Mapping[str, Any]) -> list[Field]:
    """Speakers that are known, with samples of their voices: as OpenAI's SDK sends them."""
    return [
        (f"{name}[]", each)
        for name in ("known_speaker_names", "known_speaker_references")
        for each in asked.get(name) or ()
    ]


def times(call: Call) -> bool:
    """Whether the model tells when what was said; one of which nothing is known is asked to."""
    able = call.deployment.capabilities
    return able is None or TIMESTAMPS in able


def grains_of(call: Call) -> tuple[str, ...]:
    """The times to ask for: what the caller wants of what the model has, else segments."""
    able, quirks = call.deployment.capabilities, call.quirks
    if (
        diarized(call)
        or translated(call)
        or not times(call)
        or "timestamp_granularities" not in quirks.audio_takes - quirks.drop
    ):
        return ()
    wanted = call.request.get("timestamp_granularities") or ("segment",)
    words = able is None or WORD_TIMESTAMPS in able
    found = tuple(grain for grain in wanted if words or grain != "word")
    if quirks.audio_grains.endswith("[]"):
        return found
    return ("word",) if "word" in found else found[:1]  # Mistral tells either


def untold(call: Call) -> bool:
    """Whether times were asked for that will not come; segments can be made of words."""
    if diarized(call):
        return False
    wanted, grains = set(call.request.get("timestamp_granularities") or ()), grains_of(call)
    return bool(wanted - {*grains, *(("segment",) if "word" in grains else ())})


def ending(prompt: Any, call: Call) -> str:
    """As much of the end of a prompt as is looked at, cut between words."""
    text = str(prompt)
    while call.count(text) > PROMPT_TOKENS:
        words = text.split(" ", 1)
        text = (
            words[1] if len(words) > 1 and len(text) < PROMPT_TOKENS * 8 else text[len(text) // 4 :]
        )
    return text.strip()


def multipart(fields: Iterable[Field], sound: Sound) -> tuple[str, bytes]:
    """The boundary and the body of a form (RFC 7578), the file last."""
    seed = f"{sound.filename} {len(sound.data)}".encode() + sound.data[:256] + sound.data[-256:]
    boundary = f"headrace{hashlib.blake2b(seed, digest_size=16).hexdigest()}"
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n'
        for name, value in fields
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file";'
        f' filename="{_quoted(sound.filename)}"\r\nContent-Type: {sound.content_type}\r\n\r\n'
    )
    return boundary, b"".join((head.encode(), sound.data, f"\r\n--{boundary}--\r\n".encode()))


def _quoted(name: str) -> str:
    """As HTML's forms write names that hold quotes or ends of lines."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def heard(call: Call, value: Mapping[str, Any]) -> Heard | None:
    """OpenAI's, Groq's, Mistral's or Cohere's answer; None where it has no text."""
    text = value.get("text")
    if not isinstance(text, str):
        return None
    segments, words = _listed(value.get("segments")), _listed(value.get("words"))
    segments = [
        {**each, "speaker": each["speaker_id"]} if each.get("speaker_id") is not None else each
        for each in segments
    ]
    if not words and "word" in grains_of(call) and _are_words(segments):
        words = [{**each, "word": each.get("text")} for each in segments]
        segments = grouped(words)
    language = value.get("language")
    usage = value.get("usage")
    told = value.get("duration")
    return Heard(
        text=text,
        language=language if isinstance(language, str) and language else None,
        segments=segments,
        words=words,
        seconds=float(told) if isinstance(told, int | float) and told > 0 else None,
        usage=usage if isinstance(usage, dict) else None,
    )


def _listed(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _are_words(segments: list[dict[str, Any]]) -> bool:
    """Whether what stands as segments are the words that were asked for."""
    single = sum(len(str(each.get("text") or "").split()) == 1 for each in segments)
    return bool(segments) and single >= _WORDLIKE * len(segments)


def grouped(words: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Segments of words, cut where a sentence ends or another speaks."""
    found: list[dict[str, Any]] = []
    held: list[Mapping[str, Any]] = []
    for word in words:
        if held and word.get("speaker") != held[-1].get("speaker"):
            found.append(_segment(held))
            held = []
        held.append(word)
        if str(word.get("word")).strip().endswith((".", "?", "!", "…")):
            found.append(_segment(held))
            held = []
    return [*found, _segment(held)] if held else found


def _segment(words: list[Mapping[str, Any]]) -> dict[str, Any]:
    text = " ".join(str(word.get("word")).strip() for word in words)
    told = {"start": words[0].get("start"), "end": words[-1].get("end"), "text": text}
    speaker = words[0].get("speaker")
    return told if speaker is None else told | {"speaker": speaker}
