"""What must hold of the whole key space at any moment: every job in one place, every count true."""

from collections import Counter, defaultdict
from typing import Any

from redis.asyncio import Redis

TERMINAL = ("job.completed", "job.failed", "job.cancelled", "job.expired")
KNOWN = {
    "job", "doc", "res", "ev", "ix", "alive", "done", "held", "workers", "turns", "beat", "run",
    "cool", "brk", "lane", "ring", "q", "grp", "ready", "park", "full", "delay", "limits", "armed",
    "quarantine", "quarantined", "wake", "ctl", "idem", "live", "tenants", "sigs", "cfg", "set",
    "quota", "quotalog", "usage", "spent", "pace", "dead", "testing", "leader", "unserved", "again",
    "admin", "credentials", "providers", "apikeys", "plans", "checks", "probes", "prints",
    "hooks", "hooked", "told", "kids", "brood", "state",
    "lead", "fol", "kept", "kept_until", "admitted", "signed", "sigs_idle",
}  # fmt: skip


class Keyspace:
    """Every key of one prefix, read at once while nothing else runs."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    @classmethod
    async def read(cls, client: Redis, prefix: str = "{hr}:") -> "Keyspace":
        values: dict[str, Any] = {}
        async for raw in client.scan_iter(match=prefix.replace("[", "\\[") + "*", count=1000):
            name = raw.decode()
            values[name.removeprefix(prefix)] = await _value(client, raw)
        return cls(values)

    def under(self, noun: str) -> dict[str, Any]:
        return {
            name.removeprefix(f"{noun}:"): value
            for name, value in self.values.items()
            if name.startswith(f"{noun}:")
        }

    def get(self, name: str) -> Any:
        return self.values.get(name, {})


async def _value(client: Redis, key: bytes) -> Any:
    match (await client.type(key)).decode():
        case "string":
            return _text(await client.get(key))
        case "hash":
            return {_text(k): _text(v) for k, v in (await client.hgetall(key)).items()}
        case "zset":
            return {_text(k): v for k, v in await client.zrange(key, 0, -1, withscores=True)}
        case "set":
            return {_text(k): True for k in await client.smembers(key)}
        case "list":
            return [_text(v) for v in await client.lrange(key, 0, -1)]
        case other:
            return other


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


async def assert_conserved(client: Redis, prefix: str = "{hr}:") -> Keyspace:
    """Raises AssertionError, naming the job or key, for whatever does not add up."""
    space = await Keyspace.read(client, prefix)
    strange = {name for name in space.values if name.partition(":")[0] not in KNOWN}
    assert not strange, f"keys nobody knows: {sorted(strange)[:5]}"
    jobs = space.under("job")
    _one_place_each(space, jobs)
    _indexes(space, jobs)
    _counts(space, jobs)
    _lanes(space)
    _ends(space, jobs)
    _equals(space, jobs)
    return space


async def assert_at_rest(client: Redis, prefix: str = "{hr}:") -> Keyspace:
    """Conserved, and nothing is queued, running, delayed, parked with work or held."""
    space = await assert_conserved(client, prefix)
    assert int(space.get("alive") or 0) == 0, f"alive is {space.get('alive')}"
    for noun in ("held", "q", "ring", "ready", "live", "lead", "fol"):
        assert not space.under(noun), f"{noun} is left: {list(space.under(noun))[:5]}"
    for name in ("run", "delay", "limits", "quarantine", "quarantined", "full"):
        assert not space.get(name), f"{name} is left: {space.get(name)}"
    assert not space.under("grp"), f"groups are left: {space.under('grp')}"
    return space


def _one_place_each(space: Keyspace, jobs: dict[str, Any]) -> None:
    places = _places(space)
    for job_id, where in places.items():
        assert job_id in jobs, f"{job_id} is in {where} but has no job"
        assert len(where) == 1, f"{job_id} is in {where}"
    for job_id, job in jobs.items():
        _right_place(job_id, job, places[job_id][0] if places[job_id] else None)


def _places(space: Keyspace) -> dict[str, list[str]]:
    places: dict[str, list[str]] = defaultdict(list)
    for name, ids in space.under("q").items():
        for job_id in ids:
            places[job_id].append(f"q:{name}")
    for leader, ids in space.under("fol").items():
        for job_id in ids:
            places[job_id].append(f"fol:{leader}")
    for name in ("delay", "quarantine"):
        for job_id in space.get(name):
            places[job_id].append(name)
    for worker, ids in space.under("held").items():
        for job_id in ids:
            places[job_id].append(f"held:{worker}")
    return places


def _right_place(job_id: str, job: dict[str, str], where: str | None) -> None:
    match job["status"]:
        case "queued":
            assert where, f"{job_id} is queued and nowhere"
            expected = f"q:{job['lane']}:{job['priority']}:{job['tenant']}"
            if "lead" in job:
                assert where == f"fol:{job['lead']}", (job_id, where, job["lead"])
                return
            assert where in (expected, "delay", "quarantine"), (job_id, where, expected)
            assert (where == "delay") == ("due" in job), (job_id, where, job)
            assert "suspect" not in job, f"{job_id} is queued and called suspect"
        case "in_progress":
            assert where == f"held:{job['worker']}", (job_id, where, job["worker"])
        case final:
            assert where is None, f"{job_id} is {final} and still in {where}"


def _indexes(space: Keyspace, jobs: dict[str, Any]) -> None:
    expected: dict[str, dict[str, float]] = defaultdict(dict)
    for job_id, job in jobs.items():
        shelf = "live" if job["status"] in ("queued", "in_progress") else job["status"]
        expected[f"{job['tenant']}:{shelf}"][job_id] = float(job["created"])
    assert space.under("ix") == dict(expected)
    assert set(space.get("tenants")) >= {job["tenant"] for job in jobs.values()}
    done = Counter(
        j["status"] for j in jobs.values() if j["status"] not in ("queued", "in_progress")
    )
    assert {k: int(v) for k, v in space.get("done").items()} == dict(done)
    dead = {job_id for job_id, job in jobs.items() if job["status"] == "failed"}
    assert set(space.get("dead")) == dead
    for digest, job_id in space.under("live").items():
        assert jobs[job_id].get("live") == digest, f"live:{digest} names {job_id}"
        assert jobs[job_id]["status"] in ("queued", "in_progress")
    armed = float(space.get("armed") or "inf")  # the scheduler looks no later than the first limit
    for job_id in space.get("limits"):
        assert jobs[job_id]["status"] in ("queued", "in_progress"), f"{job_id} has a limit still"
        assert armed <= space.get("limits")[job_id], f"{job_id} would expire late: {armed}"
    for job_id, job in jobs.items():
        if job["status"] in ("queued", "in_progress") and "deadline" in job:
            assert job_id in space.get("limits"), f"{job_id} would never expire"


def _counts(space: Keyspace, jobs: dict[str, Any]) -> None:
    alive = [j for j in jobs.values() if j["status"] in ("queued", "in_progress")]
    assert int(space.get("alive") or 0) == len(alive)
    signed = Counter(j["sig"] for j in alive)
    assert {k: int(v) for k, v in space.get("signed").items()} == dict(signed)
    known = set(space.get("sigs"))
    assert known >= set(signed), f"nobody knows what {set(signed) - known} stands for"
    running = [j for j in jobs.values() if j["status"] == "in_progress"]
    seconds = [j["hedge"].split("\n") for j in running if "hedge" in j]
    assert all("hedge" not in j for j in jobs.values() if j["status"] != "in_progress")
    by_credential = Counter(f"{j['lane']}|{j['cred']}" for j in running)
    by_credential.update(f"{lane}|{cred}" for lane, cred, _ in seconds)
    assert {k: int(v) for k, v in space.get("run").items()} == dict(by_credential)
    by_lane = Counter(j["lane"] for j in running)
    by_lane.update(lane for lane, _, _ in seconds)
    for name, lane in space.under("lane").items():
        assert int(lane.get("run", 0)) == by_lane[name], f"{name} runs {by_lane[name]}: {lane}"
    suspects = [job_id for job_id, j in jobs.items() if j.get("suspect")]
    for job_id in suspects:
        assert jobs[job_id]["status"] == "in_progress", f"{job_id} is a suspect at rest"
    assert len(suspects) <= 1


def _lanes(space: Keyspace) -> None:
    queued: Counter[tuple[str, str]] = Counter()
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    rings: dict[str, set[str]] = defaultdict(set)
    jobs = space.under("job")
    for name, ids in space.under("q").items():
        lane, rank, tenant = name.rsplit(":", 2)
        queued[lane, rank] += len(ids)
        rings[f"{lane}:{rank}"].add(tenant)
        for job_id in ids:
            by = f":{jobs[job_id]['by']}" if "by" in jobs[job_id] else ""
            groups[lane][f"{jobs[job_id]['sig']}:{rank}{by}"] += 1
    lanes = space.under("lane")
    ready, parked, full = set(), set(), set()
    for name, lane in lanes.items():
        total = 0
        for rank in "012":
            assert int(lane.get(f"n{rank}", 0)) == queued[name, rank], (name, rank, lane)
            total += queued[name, rank]
        if "parked" in lane:
            parked.add(name)
        if "full" in lane:
            full.add(name)
            assert int(lane.get("run", 0)) > 0, f"{name} is full and nothing runs there"
        if total and "parked" not in lane and "full" not in lane:
            ready.add(name)
    assert {lane for lane, _ in queued} <= set(lanes)
    assert {k: set(v) for k, v in space.under("ring").items()} == dict(rings)
    found = {k: {f: int(n) for f, n in v.items()} for k, v in space.under("grp").items()}
    assert found == {k: dict(v) for k, v in groups.items()}
    listed = {lane: provider for provider, z in space.under("ready").items() for lane in z}
    assert set(listed) == ready, f"claimable {ready}, listed {set(listed)}"
    assert all(lane.partition("/")[0] == provider for lane, provider in listed.items())
    assert set(space.get("park")) == parked
    assert set(space.get("full")) == full


def _equals(space: Keyspace, jobs: dict[str, Any]) -> None:
    """Who is followed lives and follows nobody; what newcomers are led to is such a job."""
    for leader, ids in space.under("fol").items():
        job = jobs[leader]
        assert job["status"] in ("queued", "in_progress"), f"{leader} has ended and is followed"
        assert "lead" not in job, f"{leader} follows and is followed"
        alike = {(jobs[each]["tenant"], jobs[each]["like"]) for each in ids}
        assert alike == {(job["tenant"], job["like"])}, f"{leader} is followed by strangers"
    for name, leader in space.under("lead").items():
        job = jobs[leader]
        assert f"{job['tenant']}:{job['like']}" == name
        assert job["status"] in ("queued", "in_progress"), f"lead:{name} names an ended job"
        assert "lead" not in job, f"lead:{name} names one that follows"
    kept = {name: int(entry.split()[1]) for name, entry in space.get("kept").items()}
    assert {name: int(till) for name, till in space.get("kept_until").items()} == kept


def _ends(space: Keyspace, jobs: dict[str, Any]) -> None:
    for job_id, job in jobs.items():
        kinds = [line.partition("\n")[0] for line in space.get(f"ev:{job_id}") or []]
        assert kinds[:1] == ["job.queued"], f"{job_id} was never told of: {kinds}"
        last_start = max(at for at, kind in enumerate(kinds) if kind == "job.queued")
        ends = [kind for kind in kinds[last_start:] if kind in TERMINAL]
        result = space.values.get(f"res:{job_id}")
        match job["status"]:
            case "queued" | "in_progress":
                assert not ends, f"{job_id} lives and was told ended: {kinds}"
                assert result is None, f"{job_id} lives and has a result"
            case final:
                assert ends == [f"job.{final}"], f"{job_id} is {final}: {kinds}"
                assert kinds[-1] == ends[0], f"{job_id}: told of more after its end: {kinds}"
                assert "ended" in job
                if final == "completed":
                    assert (result or "").startswith("R"), f"{job_id} has no result"
                if final in ("failed", "expired"):
                    assert (result or "").startswith("E"), f"{job_id} has no error"
