"""The request around a body: address, headers, key."""

from urllib.parse import quote

from shared.credentials import Secret
from workers.providers.base import Call, HttpRequest

USER_AGENT = "headrace/0.1"
ACCEPT_ENCODING = "gzip, deflate"  # what the transport can undo


def sent(
    call: Call,
    credential: Secret | None,
    path: str,
    content_type: str,
    body: bytes,
    dropped: tuple[str, ...] = (),
) -> HttpRequest:
    """The request to `path` below the deployment's address, with its credential."""
    quirks = call.quirks
    headers = {
        "content-type": content_type,
        "accept": "text/event-stream" if call.stream else "application/json",
        "accept-encoding": ACCEPT_ENCODING,
        "user-agent": USER_AGENT,
        **dict(quirks.extra_headers),
    }
    if credential is not None and quirks.auth_header:
        headers[quirks.auth_header] = quirks.auth_format.format(key=credential.reveal())
    path = path.replace("{model}", quote(call.deployment.model, safe=""))
    url = call.deployment.base_url.rstrip("/") + path
    return HttpRequest("POST", url, headers, body, dropped)
