"""Every deployment of our catalog can be selected, and its adapter can build its request."""

import pytest

from shared import catalog
from shared.catalog_schema import Config
from shared.core.features import Features
from shared.core.index import Index
from shared.core.model import CredentialRef, Kind, Paid, lane_deployment
from shared.core.selection import Impossible, Selection, select
from shared.credentials import Secret
from workers.providers.base import Call, Sound
from workers.providers.registry import adapter_for

ENV = {"AZURE_RESOURCE_NAME": "mine", "CLOUDFLARE_ACCOUNT_ID": "0123abcd"}
OURS = catalog.build(Config(), env=ENV)
REQUESTS = {
    Kind.CHAT: {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8},
    Kind.EMBEDDING: {"input": "Hello"},
    Kind.TRANSCRIPTION: {"response_format": "verbose_json", "language": "en"},
}
SOUND = Sound(b"fLaC", "part-001.flac", "audio/flac", 12.5)
CALLS = [(d, kind) for d in OURS.deployments for kind in REQUESTS if kind in d.kinds]


@pytest.mark.parametrize(("deployment", "kind"), CALLS, ids=lambda each: getattr(each, "id", each))
def test_an_adapter_builds_a_request_for_every_deployment(deployment, kind):
    quirks = OURS.quirks(deployment.provider, deployment.model)
    request = {"model": deployment.id, **REQUESTS[kind]}
    for stream in (False, True) if kind is Kind.CHAT else (False,):
        call = Call(kind, request, deployment, quirks, stream=stream, sound=SOUND)
        built = adapter_for(deployment.type).build(call, Secret("sk-test-key"))
        assert built.method == "POST"
        assert built.url.startswith(deployment.base_url + "/")
        assert "{" not in built.url
        assert "$" not in built.url
        assert "sk-test-key" in " ".join(built.headers.values())
        assert built.body


@pytest.mark.parametrize("plan", ["free", "paid"])
def test_every_deployment_can_be_selected_by_its_id(plan):
    """On a plan it has no quota for, it says so; on another it is the one that is kept."""
    refs = [CredentialRef(f"{p.name}-1", p.name, plan) for p in OURS.providers]
    index = Index(OURS.deployments, refs, aliases=OURS.by_name)
    for deployment in OURS.deployments:
        kind = next(kind for kind in Kind if kind in deployment.kinds)
        found = select(index, Features(kind, deployment.id, paid=Paid.ALWAYS), {}, 0)
        limits = deployment.limits(plan)
        if limits is not None and any(window.limit == 0 for window in limits.windows):
            assert isinstance(found, Impossible), deployment.id
        else:
            assert isinstance(found, Selection), deployment.id
            assert lane_deployment(found.first) == deployment.id
