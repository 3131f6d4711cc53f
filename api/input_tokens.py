"""`POST /v1/responses/input_tokens`: how many tokens a response's input would be, without one."""

from api import admit, options, responses
from api.body import parse
from api.call import Call
from api.wiring import Service
from shared.core.model import lane_deployment
from shared.errors import Refused
from shared.routing import NoRoute
from shared.truncating import TOO_LONG
from shared.wire.responses import renamed, responses_request


async def count(service: Service, call: Call) -> None:
    """Our own count, as the deployment counts that would be asked first."""
    raw = await call.body(service.bounds.max_body_bytes)
    wishes = options.read(call)
    request = responses_request(parse(raw))
    try:
        asked = await responses.submitted(service, call, request, raw, wishes)
        sized = admit.sized(service, call, asked, wishes, held=True)
        try:
            deployment = lane_deployment((await admit.choose(service, call, sized)).route.first)
        except NoRoute as none:  # what is too long has a length, too
            if none.code not in TOO_LONG or not none.considered:
                raise
            deployment = none.considered[0].deployment
    except Refused as problem:
        raise renamed(problem) from None
    tokens = service.router.tokens(deployment, asked.need.input_tokens)
    await call.json(200, {"object": "response.input_tokens", "input_tokens": tokens})
