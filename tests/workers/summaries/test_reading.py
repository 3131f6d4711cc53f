"""What a document's parser may use: less where no honest document of its kind needs much."""
# ruff: noqa: ARG002 - stand-ins have the arguments of what they stand for

import pytest

from shared import objects
from shared.store.files import File, object_name
from workers.summaries.reading import BOUNDS, TEXT_BOUNDS, Reader


class OneFile:
    async def get(self, file_id, tenant):
        return File(file_id, tenant, "user_data", "a", 9, 0)


class Sandbox:
    async def run(self, _entry, _request, *, files, bounds):
        self.bounds = bounds
        return {"title": None, "text": "t", "type": "text", "pages": None, "warning": None}


@pytest.mark.parametrize(
    ("data", "bounds"),
    [
        (b"<html>", TEXT_BOUNDS),
        (b"words", TEXT_BOUNDS),
        (b"%PDF-1.7", BOUNDS),
        (b"PK\x03\x04", BOUNDS),
    ],
)
async def test_a_page_has_less_time_than_a_pdf(data, bounds):
    async def parts():
        yield data

    bucket, sandbox = objects.memory(), Sandbox()
    await bucket.put(object_name("file-1"), parts())
    reader = Reader(OneFile(), bucket, None, None, sandbox, 100)
    await reader.read({"file_id": "file-1"}, "t1", None)
    assert sandbox.bounds == bounds
    assert TEXT_BOUNDS.seconds < BOUNDS.seconds
