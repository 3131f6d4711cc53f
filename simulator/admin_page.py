"""The admin page: the state as tables a person can read, refreshed every two seconds."""

from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2rem;max-width:70rem}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}"
    "th,td{padding:.25rem .8rem;text-align:right;border-bottom:1px solid #ddd}"
    "th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}"
    ".bad{color:#b00020;font-weight:600}code{background:#f3f3f3;padding:.1rem .3rem}"
)


def render(state: Mapping[str, Any]) -> str:
    """One HTML page."""
    body = [_provider(name, each) for name, each in state["providers"].items()]
    faults = "".join(
        f"<li>{escape(f['provider'])}: {escape(f['kind'])}, fired {f['fired']}</li>"
        for f in state["faults"]
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Simulated providers</title>"
        f"<meta http-equiv=refresh content=2><style>{_STYLE}</style>"
        f"<h1>Simulated providers</h1><p>Speed {state['speed']:g}, "
        f"{state['ids_kept']} request ids kept. All of this as JSON: "
        "<a href=/admin/state>/admin/state</a>.</p>"
        f"<h2>Faults armed</h2><ul>{faults or '<li>none</li>'}</ul>{''.join(body)}</html>"
    )


def _provider(name: str, provider: Mapping[str, Any]) -> str:
    rows = [
        _row(model, key, account)
        for model, keys in provider["models"].items()
        for key, account in keys.items()
    ]
    strangers = provider["strangers"]["outcomes"]
    refused = ", ".join(f"{escape(what)} {number}" for what, number in strangers.items())
    return (
        f"<h2>{escape(name)}</h2><p>Wire dialect <code>{escape(provider['dialect'])}</code>"
        f"{'; refused at the door: ' + refused if refused else ''}</p>"
        "<table><tr><th>model<th>key<th>received<th>200<th>429<th>other<th>at once (peak)"
        f"<th>tokens in<th>tokens out<th>windows: used / limit (peak)</tr>{''.join(rows)}</table>"
    )


def _row(model: str, key: str, account: Mapping[str, Any]) -> str:
    windows = "<br>".join(
        f"{w['used']} / {w['limit']} ({w['peak']}) {escape(w['dimension'])} "
        f"per {w['per_s']:g} s, {escape(w['kind'])}"
        for w in account["windows"]
    )
    at_once = account["concurrency"]
    bad = " class=bad" if account["answered_429"] else ""
    return (
        f"<tr><td>{escape(model)}<td>{escape(key)}<td>{account['received']}"
        f"<td>{account['answered_200']}<td{bad}>{account['answered_429']}<td>{account['other']}"
        f"<td>{at_once['now']} ({at_once['peak']})<td>{account['prompt_tokens']}"
        f"<td>{account['completion_tokens']}<td>{windows}</tr>"
    )
