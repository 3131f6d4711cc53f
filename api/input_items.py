"""`/v1/responses/{id}/input_items`: what a response was asked, a page at a time."""

from typing import Final

from api.call import Call
from api.errors import not_found
from api.files import listed, page_size
from api.responses import found
from api.wiring import Service
from shared.errors import Refused
from shared.wire.input_items import input_items
from shared.wire.responding import response_id

DEFAULT_PAGE: Final = 20
MOST: Final = 100


async def index(service: Service, call: Call) -> None:
    """A page of the items, earlier turns included, the newest first unless `order=asc`."""
    asked = call.query(("after", "limit", "order", "include", "include[]"))
    order = asked.get("order", "desc")
    if order not in ("asc", "desc"):
        raise Refused("order must be asc or desc", param="order")
    limit = page_size(asked.get("limit"), DEFAULT_PAGE, MOST)
    record = await found(service, call)
    doc = record.doc
    items = input_items(response_id(record.id), doc["request"]["messages"][doc["turns_from"] :])
    if order == "desc":
        items.reverse()
    begin, after = 0, asked.get("after")
    if after is not None:
        places = [place for place, item in enumerate(items) if item["id"] == after]
        if not places:
            raise not_found(f"after: this response has no item {after[:100]}", param="after")
        begin = places[0] + 1
    page = items[begin : begin + limit]
    await call.json(200, listed(page, more=begin + limit < len(items)))
