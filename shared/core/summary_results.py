"""What a summary comes to, as its caller sees it: docs/BULK.md has the shape. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from shared.core.model import Usage
from shared.core.summary_work import COMBINED, Stage, Work

MOST_NAMED: Final = 10  # of the documents that a failed job's message names
MOST_WORDS: Final = 300


def entry(
    work: Work, source: Mapping[str, Any] | None, title: str | None, answer: Mapping[str, Any]
) -> dict[str, Any]:
    """One document's entry; `answer` holds its `summary` or `json`, where it has one."""
    shown: dict[str, Any] = {
        "status": "completed" if work.stage is Stage.DONE else "failed",
        "tokens": work.tokens,
        "chunks": work.chunks,
        "levels": work.level,
        "summary": answer.get("summary"),
        "json": answer.get("json"),
        "error": None if work.error is None else dict(work.error),
    }
    if work.index == COMBINED:
        return shown
    about = {"index": work.index, "title": title, "source": dict(source or {}), "type": work.type}
    return about | {"warnings": [work.warning] if work.warning else []} | shown


def result(
    model: str,
    models: Sequence[str],
    documents: Sequence[Mapping[str, Any]],
    combined: Mapping[str, Any] | None,
    usage: Usage | None,
) -> dict[str, Any]:
    """The result of a summary of which at least one document was summarised."""
    used = usage or Usage()
    return {
        "object": "summary",
        "model": model,
        "models": list(models),
        "documents": list(documents),
        "combined": combined,
        "usage": {
            "input_tokens": used.input_tokens,
            "output_tokens": used.output_tokens,
            "total_tokens": used.input_tokens + used.output_tokens,
        },
    }


def error(message: str, code: str, index: int) -> dict[str, Any]:
    """What went wrong with one document."""
    param = None if index == COMBINED else f"documents[{index}]"
    return {"message": message, "type": "document_error", "param": param, "code": code}


def nothing_done(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The error of a summary of which no document was summarised: it names each of several."""
    said = [
        ("" if len(entries) == 1 else f"{_named(one)}: ") + one["error"]["message"][:MOST_WORDS]
        for one in entries[:MOST_NAMED]
        if one["error"]
    ]
    more = len(entries) - len(said)
    rest = f"; and {more} more" if more > 0 else ""
    codes = {one["error"]["code"] for one in entries if one["error"]}
    return {
        "message": f"no document could be summarised: {'; '.join(said)}{rest}",
        "type": "document_error",
        "param": "request.documents",
        "code": codes.pop() if len(codes) == 1 else "no_document",
    }


def _named(one: Mapping[str, Any]) -> str:
    return str(one["title"] or f"document {one['index']}")
