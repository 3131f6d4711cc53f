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

FORMATS: Final = ("json", "text", "srt", "verbose_json", "vtt")
MAX_PROMPT: Final = 8_192  # characters; models look at the last 224 tokens
MAX_URL: Final = 8_192
SOURCES: Final = ("file_id", "url", "object")
INTERNAL: Final = ("object", "filename")
# OpenAI's fields that no merging of parts could keep the promise of
UNSERVED: Final = {
    "stream": "a transcription is not streamed; the job's events tell its progress",
    **dict.fromkeys(
        ("include", "known_speaker_names", "known_speaker_references", "keywords", "languages"),
        "is not served: leave it out",
    ),
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


class TranscriptionRequest(BaseModel):
    """A transcription. `object` and `filename` are the API's own: an upload in the object store.

    `timestamp_granularities` say what `verbose_json` holds; without any it holds segments.
    `chunking_strategy` is taken and does nothing: audio is always cut by us, at silences.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, protected_namespaces=()
    )

    model: ModelName
    file_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    url: Annotated[str, StringConstraints(max_length=MAX_URL), AfterValidator(_address)] | None = (
        None
    )
    object: Annotated[str, StringConstraints(min_length=1, max_length=512)] | None = None
    filename: Annotated[str, StringConstraints(max_length=1_024)] | None = None
    language: Annotated[str, AfterValidator(_language)] | None = None
    prompt: Annotated[str, StringConstraints(max_length=MAX_PROMPT)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] = "json"
    timestamp_granularities: (
        Annotated[list[Literal["word", "segment"]], Field(max_length=2)] | None
    ) = None
    stream: Literal[False] | None = None
    chunking_strategy: Any = None


def transcription_request(
    body: object, where: str = "", *, internal: bool = False
) -> dict[str, Any]:
    """`body` itself, if it asks for a transcription; else Refused (400) that names the field.

    `internal`: it was made by the API, which alone may name an object of the store. `where` is what
    the body is called in its own request, as `request` in `POST /v1/jobs`.
    """
    if isinstance(body, dict):
        _check_served(body, where)
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
    return cast("dict[str, Any]", body)


def _check_served(body: dict[str, Any], where: str) -> None:
    """Refused where something is asked for that would have to be left out."""
    for name, advice in UNSERVED.items():
        if body.get(name):
            path = f"{where}.{name}" if where else name
            raise Refused(f"{path}: {advice}", param=path, code="not_supported")
