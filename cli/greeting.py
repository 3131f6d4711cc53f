"""What `headrace up` says once it serves."""

from typing import Final

from cli import typed
from cli.home import Home, usual
from cli.served import Supply
from shared.credentials import Secret

ELSEWHERE: Final = "(so every command finds it; or by HEADRACE_URL and HEADRACE_API_KEY)"


def text(
    base_url: str, home: Home, supply: Supply, admin: Secret | None, store: str, hint: str = ""
) -> str:
    """One block: where it is, how to call it, what it serves. `hint`: of the local engines."""
    key = admin.reveal() if admin is not None else None
    rows = [
        ("API key", f"{key}  (admin; shown this once, only its hash is kept)")
        if key
        else ("API key", f"made before: {home.client_key_file} serves this machine's command line"),
        ("providers", ", ".join(map(str, supply.served)) or "none has a key yet"),
        *([("", hint)] if hint else []),
        *([] if supply.served else _no_providers(supply)),
        ("try it", f'{typed.command(home)} chat "Say hello"'),
        *([("", ELSEWHERE)] if home.path != usual().path else []),
        ("curl", f"export HEADRACE_API_KEY={key or 'hr_…'}"),
        ("", _curl(base_url)),
        ("openai SDK", f'OpenAI(base_url="{base_url}/v1", api_key="{key or "hr_…"}")'),
        ("data", store),
        ("stop", "Ctrl-C"),
    ]
    lines = [f"  {name:<11} {value}" for name, value in rows]
    return "\n".join(["", f"Headrace serves on {base_url}", "", *lines, ""])


def _no_providers(supply: Supply) -> list[tuple[str, str]]:
    return [
        ("", supply.hint()),
        ("", f"or without any key: {typed.name()} simulate --write sim.yaml"),
        ("", f"  and, elsewhere:   {typed.name()} up --config sim.yaml"),
    ]


def _curl(base_url: str) -> str:
    body = '{"model": "auto", "messages": [{"role": "user", "content": "Say hello"}]}'
    return (
        f'curl {base_url}/v1/chat/completions -H "Authorization: Bearer $HEADRACE_API_KEY"'
        f" -H 'Content-Type: application/json' -d '{body}'"
    )
