"""What a transcription is asked to be: OpenAI's fields, and where the audio is.

The HTTP route puts an upload into the object store and names it here (`object`); a job or a line of
a batch names a file (`file_id`) or an address (`url`). An unknown field is refused: what we do not
know of would be left out of every call unseen.
"""

from typing import Annotated, Any, Final, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.types import StringConstraints

from shared.addresses import web_problem
from shared.core.languages import NAMES
from shared.errors import Refused
from shared.nearest import Problem, nearest
from shared.wire.openai import ModelName, refused, refused_from

DIARIZED: Final = "diarized_json"
TRANSLATE: Final = "translate"
NOT_TRANSLATED: Final = {
    "language": "a translation tells the language by what is heard: leave it out",
    "timestamp_granularities": "a translation has times of segments only: leave it out",
}
MAX_PROMPT: Final = 8_192  # characters; models look at the last 224 tokens
MAX_URL: Final = 8_192
SOURCES: Final = ("file_id", "url", "object")
INTERNAL: Final = ("object", "filename")
MOST_SPEAKERS: Final = 4
MAX_REFERENCE: Final = 450_000  # characters: ten seconds of 16 kHz mono WAV are 427,000
SPEAKERS: Final = ("known_speaker_names", "known_speaker_references")
# OpenAI's fields that no merging of parts could keep the promise of
UNSERVED: Final = {
    "stream": "is a field of POST /v1/audio/transcriptions and of a job, beside its request",
    "include": "logprobs are not served, for those of parts cannot be joined: leave it out",
    "keywords": "is not served: leave it out, and name such words in prompt",
    "languages": "is not served: leave it out, and the language is told by what is heard",
}


def _language(value: str) -> str:
    if value not in NAMES:
        near = nearest(value, NAMES) or next(
            (code for code, name in NAMES.items() if name == value.lower()), None
        )
        hint = f"; did you mean {near!r}?" if near else ""
        raise ValueError(f"should be an ISO 639-1 code such as 'en'{hint}")
    return value


def _address(value: str) -> str:
    if (problem := web_problem(value)) is not None:
        raise ValueError(problem)
    return value


def _sample(value: str) -> str:
    if not value.startswith("data:audio/") or ";base64," not in value[:100]:
        raise ValueError("should be a data URL of sound, as data:audio/wav;base64,UklGR…")
    return value


class ServerVad(BaseModel):
    """How a model that tells speakers finds where somebody speaks; others are not asked to."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    type: Literal["server_vad"]
    prefix_padding_ms: Annotated[int, Field(ge=0, le=60_000)] | None = None
    silence_duration_ms: Annotated[int, Field(ge=0, le=60_000)] | None = None
    threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None


class TranscriptionRequest(BaseModel):
    """A transcription. `object` and `filename` are the API's own: an upload in the object store.

    `timestamp_granularities` say what `verbose_json` holds; without any it holds segments.
    Audio is always cut by us, at silences, which is what `chunking_strategy: auto` asks for; how
    `server_vad` is tuned is told to models that take it. `task: translate` is ours: what
    `POST /v1/audio/translations` asks for, English. `known_speaker_references` are samples of
    the voices that are called `known_speaker_names`.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, protected_namespaces=()
    )

    model: ModelName
    task: Literal["transcribe", "translate"] | None = None
    file_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    url: Annotated[str, StringConstraints(max_length=MAX_URL), AfterValidator(_address)] | None = (
        None
    )
    object: Annotated[str, StringConstraints(min_length=1, max_length=512)] | None = None
    filename: Annotated[str, StringConstraints(max_length=1_024)] | None = None
    language: Annotated[str, AfterValidator(_language)] | None = None
    prompt: Annotated[str, StringConstraints(max_length=MAX_PROMPT)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"] = "json"
    timestamp_granularities: (
        Annotated[list[Literal["word", "segment"]], Field(max_length=2)] | None
    ) = None
    stream: Literal[False] | None = None
    chunking_strategy: Any = None  # see `_check_chunking`
    known_speaker_names: (
        Annotated[
            list[Annotated[str, StringConstraints(min_length=1, max_length=64)]],
            Field(max_length=MOST_SPEAKERS),
        ]
        | None
    ) = None
    known_speaker_references: (
        Annotated[
            list[
                Annotated[str, StringConstraints(max_length=MAX_REFERENCE), AfterValidator(_sample)]
            ],
            Field(max_length=MOST_SPEAKERS),
        ]
        | None
    ) = None


def transcription_request(
    body: object, where: str = "", *, internal: bool = False, early: bool = False
) -> dict[str, Any]:
    """`body` itself, if it asks for a transcription; else Refused (400) that names the field.

    `internal`: it was made by the API, which alone may name an object of the store. `where` is what
    the body is called in its own request, as `request` in `POST /v1/jobs`. `early`: more of it may
    come, so that nothing is missing yet.
    """
    if isinstance(body, dict):
        _check_served(body, where)
        _check_chunking(body.get("chunking_strategy"), where)
        ours = () if internal else (name for name in INTERNAL if name in body)
        for name in ours:
            raise refused(Problem(name, "is ours: give file_id or url", unknown=True), where)
    try:
        asked = TranscriptionRequest.model_validate(body)
    except ValidationError as exc:
        raise refused_from(exc, where, TranscriptionRequest) from None  # it quotes the caller
    given = [name for name in SOURCES if getattr(asked, name) is not None]
    if not given:
        raise refused(Problem("file_id", "is required"), where)
    if len(given) > 1:
        raise refused(Problem(given[1], f"give only one of {' and '.join(given)}"), where)
    if not early:
        _check_together(asked, where)
    return cast("dict[str, Any]", body)


def _check_chunking(value: object, where: str) -> None:
    """Refused where it is neither `auto` nor a `server_vad`."""
    name = "chunking_strategy"
    if isinstance(value, dict):
        try:
            ServerVad.model_validate(value)
        except ValidationError as exc:
            path = f"{where}.{name}" if where else name
            raise refused_from(exc, path, ServerVad) from None
    elif value not in (None, "auto"):
        raise refused(Problem(name, "should be auto, or an object of type server_vad"), where)


def _check_together(asked: TranscriptionRequest, where: str) -> None:
    """Refused where one field needs another to be what it is not."""
    form = asked.response_format
    if asked.timestamp_granularities and form != "verbose_json":
        raise refused(
            Problem("timestamp_granularities", "needs response_format verbose_json"), where
        )
    if asked.task == TRANSLATE:
        for field, why in NOT_TRANSLATED.items():
            if getattr(asked, field):
                raise refused(Problem(field, why), where)
        if form == DIARIZED:
            raise refused(Problem("response_format", f"a translation is no {form}"), where)
    names, samples = asked.known_speaker_names or [], asked.known_speaker_references or []
    for field in SPEAKERS:
        if getattr(asked, field) and form != DIARIZED:
            raise refused(Problem(field, f"needs response_format {DIARIZED}"), where)
    if len(names) != len(samples):
        raise refused(
            Problem(SPEAKERS[1], f"there are {len(samples)} for {len(names)} known_speaker_names"),
            where,
        )
    if len(set(names)) < len(names):
        raise refused(Problem(SPEAKERS[0], "the same name stands here twice"), where)


def _check_served(body: dict[str, Any], where: str) -> None:
    """Refused where something is asked for that would have to be left out."""
    for name, advice in UNSERVED.items():
        if body.get(name):
            path = f"{where}.{name}" if where else name
            raise Refused(f"{path}: {advice}", param=path, code="not_supported")
