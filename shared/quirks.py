"""How a provider's wire differs: what is known of it (`wires.py`), the catalog's words over it."""

from dataclasses import dataclass

from shared.catalog_schema import ProviderDoc, QuirksDoc
from shared.catalog_types import AUDIO_FIELDS
from shared.wires import NATIVE, WIRES


@dataclass(frozen=True, slots=True)
class Quirks:
    """How a provider's OpenAI-compatible wire differs from OpenAI's: data for the adapter.

    `wire` is whose wire it is: a native type, else the wire it is like or is named after.
    `drop` and `rename` speak of top-level fields of a chat request: first dropped, then renamed
    (`seed` → `random_seed`). `max_tokens_field` is the one name this provider takes for the output
    limit. `stream_usage` says whether `stream_options: {include_usage: true}` may be sent.
    `auth_format` holds `{key}`; an empty `auth_header` means no authentication. `rate_dialect`
    names how rate-limit headers are read: one of `catalog_types.DIALECTS`. Paths begin with a slash
    and follow the base URL, `{model}` in them is the model's id; an empty path: not offered.
    `check_path` is a cheap GET that tells a good key from a bad one, for hosts whose list of models
    asks for none.

    `takes` are the only fields of a chat request this host takes (by the caller's names; empty:
    any), `message_takes` the only fields of a message, by role. `values` spells a field's values
    as this host does (`tool_choice`: required → any); a value spelled "" is not taken. `roles`
    renames roles. `tool_ids` is `any`, `alnum9` (nine letters or digits), `max40` characters or
    `word64` (letters, digits, `_` and `-`).
    `parts` names the shape of content parts: openai or mistral. `strict_order` hosts refuse turns
    in a row and a last word of the assistant that is no prefix. Reasoning goes back to the host as
    `reasoning_field`: `never`, `always`, or for the `tools` turns only (`reasoning_back`).
    `efforts` are the reasoning efforts its models take, by pattern of their ids, the first that
    fits: others become the nearest of them; an empty list takes none (on Anthropic's wire: thinks
    by a budget in tokens), and where no pattern fits any is sent. `prefill` are the patterns of
    models that go on with an assistant's text which stands last.

    Of transcriptions: `audio_takes` are the caller's fields this host takes, `audio_grains` is what
    it calls timestamp_granularities, `audio_adds` further fields by pattern of the model's id,
    `audio_speakers` the fields that ask who speaks.
    `times_or_language`: it refuses both at once, and then times are what matters.
    """

    wire: str = ""
    max_tokens_field: str = "max_tokens"
    drop: frozenset[str] = frozenset()
    rename: tuple[tuple[str, str], ...] = ()
    stream_usage: bool = True
    auth_header: str = "Authorization"
    auth_format: str = "Bearer {key}"
    extra_headers: tuple[tuple[str, str], ...] = ()
    rate_dialect: str = "generic"
    chat_path: str = "/chat/completions"
    embeddings_path: str = "/embeddings"
    models_path: str = "/models"
    transcription_path: str = "/audio/transcriptions"
    translation_path: str = "/audio/translations"
    check_path: str = ""
    takes: frozenset[str] = frozenset()
    message_takes: tuple[tuple[str, frozenset[str]], ...] = ()
    values: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    roles: tuple[tuple[str, str], ...] = (("developer", "system"),)
    tool_ids: str = "any"
    parts: str = "openai"
    strict_order: bool = False
    reasoning_back: str = "never"
    reasoning_field: str = "reasoning_content"
    efforts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    prefill: tuple[str, ...] = ()
    audio_takes: frozenset[str] = frozenset(AUDIO_FIELDS)
    audio_grains: str = "timestamp_granularities[]"
    audio_adds: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    audio_speakers: tuple[tuple[str, str], ...] = (("response_format", "diarized_json"),)
    times_or_language: bool = False


def quirks_of(name: str, provider: ProviderDoc) -> Quirks:
    """What is known of the wire this one is like (or is named after), and the document over it.

    A native wire is known by the provider's type.
    """
    doc = provider.quirks
    known = NATIVE.get(provider.type or "") or WIRES.get(doc.like or name, {})
    said = QuirksDoc.model_validate({**known, **doc.model_dump(exclude_unset=True)}).model_dump()
    del said["like"]
    return Quirks(
        **{
            **said,
            "wire": provider.type if provider.type in NATIVE else doc.like or name,
            "drop": frozenset(said["drop"]),
            "rename": tuple(said["rename"].items()),
            "extra_headers": tuple(said["extra_headers"].items()),
            "takes": frozenset(said["takes"]),
            "message_takes": tuple((k, frozenset(v)) for k, v in said["message_takes"].items()),
            "values": tuple((k, tuple(v.items())) for k, v in said["values"].items()),
            "roles": tuple(said["roles"].items()),
            "efforts": tuple((k, tuple(v)) for k, v in said["efforts"].items()),
            "prefill": tuple(said["prefill"]),
            "audio_takes": frozenset(said["audio_takes"]),
            "audio_adds": tuple((k, tuple(v.items())) for k, v in said["audio_adds"].items()),
            "audio_speakers": tuple(said["audio_speakers"].items()),
        }
    )
