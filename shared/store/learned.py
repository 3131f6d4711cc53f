"""Learned limits as the store keeps them: inside a lane's configuration, and beside it.

A window spec (see quota.lua) of a lane's configuration carries `o` who told its limit; `base` the
declared limit where another one is in force; `new` where nobody declared it; `loose`, `guess` and
`doubt` as in `core.learn.Known`. The hash `learned` keeps the same for the next publication:

    w|<window key>          the spec of a declared window whose limit was learned
    c|<lane>|<credential>   {had: {key: declared limit}, log: key of its log of calls (whose windows
                            these are), win: [opened specs], conc, aimd}

A credential's entry: id, win (specs), conc, log (spec of the log of its calls), seen (keep that
log), grow (its calls at once are capped by evidence: claiming.lua), aimd (a refusal named
calls at once and no number).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from shared.core.learn import Known
from shared.core.model import CredentialRef, Deployment, Dimension, Limits, Window, WindowKind
from shared.core.outcome import believable
from shared.core.quota import heard, of_inputs, window_spec

Spec = dict[str, Any]
SEEN_MS = 120_000
_FLAGS = ("base", "new", "loose", "guess", "doubt")


def spec_of(
    known: Known,
    deployment: Deployment,
    credential: CredentialRef,
    now_ms: int,
    *,
    shared: bool = False,
) -> Spec:
    """A window's spec as the scripts read it."""
    spec = window_spec(
        known.window,
        credential.owner,
        None if shared else deployment.id,
        now_ms,
        deployment.token_count,
        deployment.token_factor,
    )
    if deployment.each_input:
        spec = of_inputs(spec)
    return heard(spec, deployment.audio) | {"o": known.window.source}


def entry(
    deployment: Deployment, credential: CredentialRef, limits: Limits, now_ms: int
) -> dict[str, Any]:
    """A credential in a lane's configuration, as declared."""
    windows = [spec_of(Known(w), deployment, credential, now_ms) for w in limits.windows]
    windows += [
        spec_of(Known(w), deployment, credential, now_ms, shared=True) for w in limits.shared
    ]
    log = Window("seen", Dimension.REQUESTS, 10**9, SEEN_MS)
    made: dict[str, Any] = {
        "id": credential.id,
        "win": windows,
        "log": spec_of(Known(log), deployment, credential, now_ms),
    }
    if limits.concurrency:
        made["conc"] = limits.concurrency
    return controlled(made)


def controlled(made: Mapping[str, Any]) -> dict[str, Any]:
    """The entry with what its knowledge asks for: a log of calls, a cap that grows by evidence."""
    requests = [w for w in made["win"] if w["d"] == Dimension.REQUESTS]
    unsure = not requests or any(w.get("loose") or w.get("guess") for w in requests)
    done = {name: value for name, value in made.items() if name not in ("seen", "grow")}
    if not requests or any(w.get("new") for w in requests):
        done["seen"] = True
    if not made.get("conc") and (unsure or made.get("aimd")):
        done["grow"] = True
    return done


def known_of(spec: Mapping[str, Any]) -> Known:
    """A spec as learning reads it."""
    window = Window(
        spec["n"],
        Dimension(spec["d"]),
        int(spec["l"]),
        int(spec["s"]),
        WindowKind(spec["t"]),
        source=spec.get("o", "catalog"),
    )
    return Known(
        window,
        declared=None if spec.get("new") else int(spec.get("base", spec["l"])),
        key=spec["k"],
        loose=bool(spec.get("loose")),
        doubt=spec.get("doubt"),
        guess=bool(spec.get("guess")),
    )


def taught(spec: Mapping[str, Any], known: Known) -> Spec:
    """The spec with what is known now."""
    plain = {name: value for name, value in spec.items() if name not in _FLAGS}
    plain |= {"l": known.window.limit, "o": known.window.source}
    if known.declared is None:
        plain["new"] = True
    elif known.declared != known.window.limit:
        plain["base"] = known.declared
    for flag in ("loose", "guess"):
        if getattr(known, flag):
            plain[flag] = True
    if known.doubt is not None:
        plain["doubt"] = known.doubt
    return plain


def declared(made: Mapping[str, Any]) -> dict[str, int]:
    """The declared limits of a credential's windows, by key."""
    return {
        w["k"]: int(w.get("base", w["l"]))
        for w in made["win"]
        if not w.get("new") and w["d"] != Dimension.MICROUSD
    }


def rows(lane: str, made: Mapping[str, Any]) -> dict[str, str]:
    """What the hash keeps of a credential; an empty text removes the field."""
    kept = {
        f"w|{w['k']}": orjson.dumps(w).decode() if "base" in w else ""
        for w in made["win"]
        if not w.get("new")
    }
    more: dict[str, Any] = {"win": [w for w in made["win"] if w.get("new")]}
    more |= {name: made[name] for name in ("conc", "aimd") if name in made}
    text = orjson.dumps({"had": declared(made), "log": made["log"]["k"], **more}).decode()
    return kept | {f"c|{lane}|{made['id']}": text}


def merged(
    lanes: Mapping[str, Mapping[str, Any]], learned: Mapping[str, str | bytes]
) -> dict[str, Any]:
    """Lanes as declared with what was learned laid over.

    What was learned over a declared limit that is another one now is forgotten, and so is what
    nobody should have believed.
    """
    return {
        lane: {
            **config,
            "creds": [_with(made, lane, learned, config["creds"]) for made in config["creds"]],
        }
        for lane, config in lanes.items()
    }


def _with(
    made: Mapping[str, Any],
    lane: str,
    learned: Mapping[str, str | bytes],
    creds: Iterable[Mapping[str, Any]],
) -> dict[str, Any]:
    """One credential with what it learned or, where that is of other windows, who shares them."""
    windows = [_over(w, learned.get(f"w|{w['k']}")) for w in made["win"]]
    mates = (each["id"] for each in creds if each["log"]["k"] == made["log"]["k"])
    told: dict[str, Any] = {}
    for name in dict.fromkeys((made["id"], *mates)):
        text = learned.get(f"c|{lane}|{name}")
        more = orjson.loads(text) if text else {}
        if more.get("had") == declared(made) and more.get("log") in (None, made["log"]["k"]):
            told = {each: more[each] for each in ("conc", "aimd") if each in more}
            windows += [w for w in more["win"] if believable(w["s"], w["l"])]
            break
    return controlled({**made, **told, "win": windows})


def _over(spec: Spec, text: str | bytes | None) -> Spec:
    row = orjson.loads(text) if text else None
    if row is None or row.get("base") != spec["l"] or not believable(spec["s"], row["l"]):
        return spec
    names = ("l", "o", "base", "guess", "doubt")
    return spec | {name: row[name] for name in names if name in row}
