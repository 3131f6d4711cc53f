"""Selection over the newest supply, put together when a batch or a parent first needs it."""

from shared.routing import CatalogRouter
from shared.supply import Live, Supply


class NewestRouter:
    """Gives the router of the supply as it is now.

    A chunk of lines is chosen for by one, and so are the children of a step.
    """

    def __init__(self, live: Live, margin: float) -> None:
        self._live = live
        self._margin = margin
        self._made: tuple[Supply, CatalogRouter] | None = None

    def __call__(self) -> CatalogRouter:
        """The router; the same one until the supply changes."""
        supply = self._live.current
        if self._made is None or self._made[0] is not supply:
            router = CatalogRouter(supply.whole, supply.credentials, margin=self._margin)
            self._made = (supply, router)
        return self._made[1]
