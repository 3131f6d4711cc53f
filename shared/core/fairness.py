"""Which queued job of a lane is next: the twin of the claim in `shared/queue/lua/claiming.lua`.

Between classes: strict, interactive before normal before bulk; but of every 20 claims of a lane one
looks at bulk first (its share, 5 %) and one at normal first, so that neither starves.
Between tenants of a class: weighted virtual time. A tenant stands in the class's ring at a tag; the
lowest tag is served and moves on by 1 / weight. Who comes anew stands at the class's own virtual
time, which never goes back and passes a tenant whose last job was just taken: coming back with one
job at a time gains nothing.
Inside a tenant: by deadline, then by age (a job without a deadline counts as due in 365 days).

Tags are kept with six decimals, as the store writes them. Ties go by name, then by id.
"""

from dataclasses import dataclass, replace

from shared.core.model import Priority

SHARE_EVERY = 20
BULK_TURN = 19
NORMAL_TURN = 9
NO_DEADLINE_MS = 365 * 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Queued:
    """A job as the order sees it; `score` is from `score_ms`."""

    id: str
    tenant: str
    priority: Priority
    score: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant with queued jobs, in order, at its tag in the ring."""

    name: str
    tag: float
    jobs: tuple[Queued, ...]


@dataclass(frozen=True, slots=True)
class Ring:
    """One class of a lane: its virtual time and its tenants, lowest tag first."""

    virtual_time: float = 0.0
    tenants: tuple[Tenant, ...] = ()


@dataclass(frozen=True, slots=True)
class LaneOrder:
    """A lane's whole order: how many claims it has seen, and a ring for each class."""

    claims: int = 0
    rings: tuple[Ring, Ring, Ring] = (Ring(), Ring(), Ring())

    @property
    def queued(self) -> int:
        """Jobs in all classes."""
        return sum(len(tenant.jobs) for ring in self.rings for tenant in ring.tenants)


def score_ms(created_ms: int, deadline_ms: int | None) -> int:
    """The place inside a tenant: earliest first."""
    return created_ms + NO_DEADLINE_MS if deadline_ms is None else deadline_ms


def class_order(claims: int) -> tuple[Priority, Priority, Priority]:
    """The classes in the order that claim number `claims` of a lane (from 0) looks at them."""
    turn = claims % SHARE_EVERY
    if turn == BULK_TURN:
        return (Priority.BULK, Priority.INTERACTIVE, Priority.NORMAL)
    if turn == NORMAL_TURN:
        return (Priority.NORMAL, Priority.INTERACTIVE, Priority.BULK)
    return (Priority.INTERACTIVE, Priority.NORMAL, Priority.BULK)


def enter(order: LaneOrder, job: Queued) -> LaneOrder:
    """Puts a job in its place; a tenant that was not in the ring stands at the virtual time."""
    ring = order.rings[job.priority]
    here = next((tenant for tenant in ring.tenants if tenant.name == job.tenant), None)
    if here is None:
        here = Tenant(job.tenant, ring.virtual_time, ())
    jobs = sorted((*here.jobs, job), key=lambda one: (one.score, one.id))
    return _with_ring(order, job.priority, _placed(ring, replace(here, jobs=tuple(jobs))))


def leave(order: LaneOrder, job: Queued) -> LaneOrder:
    """Takes a job out without serving it: a move, a cancellation. Nobody's tag changes."""
    ring = order.rings[job.priority]
    for tenant in ring.tenants:
        if tenant.name == job.tenant:
            kept = tuple(one for one in tenant.jobs if one.id != job.id)
            return _with_ring(order, job.priority, _placed(ring, replace(tenant, jobs=kept)))
    return order


def next_job(order: LaneOrder) -> tuple[Queued | None, LaneOrder]:
    """The job that the next claim takes, and the order after it; None if nothing is queued."""
    for priority in class_order(order.claims):
        ring = order.rings[priority]
        if ring.tenants:
            tenant = ring.tenants[0]
            served = _with_ring(order, priority, _serve(ring, tenant))
            return tenant.jobs[0], replace(served, claims=order.claims + 1)
    return None, order


def _serve(ring: Ring, tenant: Tenant) -> Ring:
    after = six_decimals(tenant.tag + 1 / tenant.jobs[0].weight)
    reached = tenant.tag if len(tenant.jobs) > 1 else after
    moved = replace(ring, virtual_time=max(ring.virtual_time, reached))
    return _placed(moved, replace(tenant, tag=after, jobs=tenant.jobs[1:]))


def six_decimals(tag: float) -> float:
    """A tag as the store keeps it."""
    return float(f"{tag:.6f}")


def _placed(ring: Ring, tenant: Tenant) -> Ring:
    others = [one for one in ring.tenants if one.name != tenant.name]
    if tenant.jobs:
        others.append(tenant)
    return replace(ring, tenants=tuple(sorted(others, key=lambda one: (one.tag, one.name))))


def _with_ring(order: LaneOrder, priority: Priority, ring: Ring) -> LaneOrder:
    interactive, normal, bulk = order.rings
    match priority:
        case Priority.INTERACTIVE:
            interactive = ring
        case Priority.NORMAL:
            normal = ring
        case Priority.BULK:
            bulk = ring
    return replace(order, rings=(interactive, normal, bulk))
