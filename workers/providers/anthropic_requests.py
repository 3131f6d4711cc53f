"""A chat request as Anthropic's Messages API takes it. Pure.

Sources: shared/facts/wire-chat.md section 5; platform.claude.com/docs, pages "extended thinking",
"adaptive thinking", "effort" and "structured outputs" (2026-11).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from workers.providers import anthropic_messages, messages, parameters, schemas, thinking
from workers.providers.base import Call
from workers.providers.openai_compatible import OUTPUT_LIMITS, bounded
from workers.providers.toolbox import Toolbox, read

UNKNOWN_MAX_TOKENS = 4_096  # what every model of theirs can give
LEAST_BUDGET_TOKENS = 1_024
_LEAST_TOP_P_THINKING = 0.95
_NATIVE = ("cache_control", "inference_geo", "service_tier", "speed", "top_k")
# What structured outputs refuse, as their own SDK takes it out (anthropic 2.13).
_REFUSED = frozenset({*schemas.SIZES, "pattern", "default", "examples", "$schema", "$id"})
_JSON_ONLY = "Answer with one JSON object and nothing else: no words around it, no code fence."

Body = dict[str, Any]


def body_of(call: Call) -> tuple[Body, tuple[str, ...]]:
    """The request's body, and what of the caller's is not in it."""
    quirks, deployment = call.quirks, call.deployment
    fitted = parameters.fit(call.request, quirks)
    asked = fitted.body
    talk, unsent = messages.fit(asked.get("messages"), quirks)
    lost = {*fitted.dropped, *unsent}
    body: Body = {"model": deployment.model}
    limit = next((asked[name] for name in OUTPUT_LIMITS if name in asked), None)
    default = deployment.max_output_tokens or UNKNOWN_MAX_TOKENS
    body["max_tokens"] = bounded(limit or default, deployment.max_output_tokens)
    tools = read(asked.get("tools"), asked.get("tool_choice"))
    lost.update(tools.lost)
    known = _is_talk(talk)
    system: list[Body] = []
    body["messages"] = talk
    if known:
        system, body["messages"] = anthropic_messages.turns(talk, lost)
    body |= _tools(tools, asked, body["messages"] if known else ())
    body |= {name: asked[name] for name in _NATIVE if name in asked}
    _format(body, asked, system, lost)
    _think(body, asked, call, talk if known else (), tools, lost)
    _sample(body, asked, lost)
    if system:
        body["system"] = system
    user = asked.get("user") or asked.get("safety_identifier")
    if isinstance(user, str):
        body["metadata"] = {"user_id": user}
    if call.stream:
        body["stream"] = True
    return body, tuple(sorted(lost))


def _is_talk(talk: Any) -> bool:
    return isinstance(talk, list) and all(
        isinstance(each, dict) and isinstance(each.get("role"), str) for each in talk
    )


def _tools(tools: Toolbox, asked: Body, turns: Sequence[Body]) -> Body:
    if not tools.functions:
        return _undeclared(turns)
    body: Body = {"tools": [_tool(function) for function in tools.functions]}
    choice: Body = {"type": tools.mode}
    if tools.only is not None:
        choice = {"type": "tool", "name": tools.only}
    if asked.get("parallel_tool_calls") is False and tools.mode != "none":
        choice["disable_parallel_tool_use"] = True
    if choice != {"type": "auto"}:
        body["tool_choice"] = choice
    return body


def _undeclared(turns: Sequence[Body]) -> Body:
    """A talk with calls in it is refused without tools: those it names, not to be called again."""
    blocks = [block for turn in turns if turn["role"] == "assistant" for block in turn["content"]]
    names = {block["name"] for block in blocks if isinstance(block.get("name"), str)}
    if not names:
        return {}
    return {
        "tools": [{"name": name, "input_schema": {"type": "object"}} for name in sorted(names)],
        "tool_choice": {"type": "none"},
    }


def _tool(function: Mapping[str, Any]) -> Body:
    given = function.get("parameters")
    schema = {"type": "object", "properties": {}, **(given if isinstance(given, dict) else {})}
    tool: Body = {"name": function["name"], "input_schema": schema}
    if function.get("description"):
        tool["description"] = function["description"]
    if function.get("strict") is True:
        tool["strict"] = True
        tool["input_schema"] = schemas.lowered(schema, _REFUSED, closed=True)
    return tool


def _format(body: Body, asked: Body, system: list[Body], lost: set[str]) -> None:
    """A schema is kept to; "any JSON object" is a word to the model only, and told as dropped."""
    config = asked.get("output_config")
    body["output_config"] = dict(config) if isinstance(config, dict) else {}
    wanted = asked.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if not isinstance(wanted, dict) or kind not in ("json_object", "json_schema"):
        return
    schema = wanted.get("json_schema") if kind == "json_schema" else None
    schema = schema.get("schema") if isinstance(schema, dict) else None
    if isinstance(schema, dict):
        lowered = schemas.lowered(schema, _REFUSED, closed=True)
        body["output_config"]["format"] = {"type": "json_schema", "schema": lowered}
        return
    system.append({"type": "text", "text": _JSON_ONLY})
    lost.add("response_format=json_object")


def _think(
    body: Body, asked: Body, call: Call, talk: Sequence[Body], tools: Toolbox, lost: set[str]
) -> None:
    """Effort where a model takes it, else a budget; not where the API would refuse to think."""
    config = body.pop("output_config")
    effort = asked.get("reasoning_effort")
    if "thinking" in asked:
        body["thinking"] = asked["thinking"]
    elif isinstance(effort, str):
        known = thinking.levels(call.quirks, call.deployment.model) or ()
        meant = thinking.nearest(effort, known)
        if meant == "none" or (effort == "none" and not known):
            body["thinking"] = {"type": "disabled"}
        elif meant is not None:
            config.setdefault("effort", meant)
            if not tools.forced:
                body["thinking"] = {"type": "adaptive"}
        elif (budget := _budget(effort, body["max_tokens"], talk, tools)) is not None:
            body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        else:
            lost.add("reasoning_effort")
    if config:
        body["output_config"] = config


def _budget(effort: str, room: Any, talk: Sequence[Body], tools: Toolbox) -> int | None:
    """None where a call is forced, or in the middle of calls whose thoughts did not come back."""
    if tools.forced or not isinstance(room, int):
        return None
    if talk and talk[-1]["role"] == "tool":
        answers = [each for each in talk if each["role"] == "assistant"]
        if not answers or not anthropic_messages.thinks(answers[-1]):
            return None
    return thinking.budget_tokens(effort, room, LEAST_BUDGET_TOKENS)


def _sample(body: Body, asked: Body, lost: set[str]) -> None:
    """Temperature is 0 to 1 and never beside top_p; a model that thinks takes neither."""
    config = body.get("thinking")
    thinks = isinstance(config, dict) and config.get("type") in ("enabled", "adaptive")
    heat, share = asked.get("temperature"), asked.get("top_p")
    if heat is not None:
        if thinks and heat != 1:
            lost.add("temperature")
        elif isinstance(heat, int | float) and heat > 1:
            lost.add(f"temperature={heat}")
            body["temperature"] = 1
        else:
            body["temperature"] = heat
    if share is not None and share != 1:
        low = isinstance(share, int | float) and share < _LEAST_TOP_P_THINKING
        if "temperature" in body or (thinks and low):
            lost.add("top_p")
        else:
            body["top_p"] = share
    if thinks and body.pop("top_k", None) is not None:
        lost.add("top_k")
    if (stop := asked.get("stop")) is not None:
        _stop(body, stop, lost)


def _stop(body: Body, stop: Any, lost: set[str]) -> None:
    """Sequences without a visible character are refused."""
    given = [stop] if isinstance(stop, str) else stop
    if not isinstance(given, list):
        body["stop_sequences"] = given
        return
    kept = [each for each in given if not isinstance(each, str) or each.strip()]
    if len(kept) < len(given):
        lost.add("stop")
    if kept:
        body["stop_sequences"] = kept
