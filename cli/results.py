"""Where results go, and how they are written: whole or not at all, never over another's file."""

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from cli.inputs import Input, Kinds, told
from cli.notes import Name
from shared.errors import ConfigError, Refused

SHOWN: Final = 3
HALF: Final = 16  # of a print


@dataclass(frozen=True, slots=True)
class Target:
    """A file to be written. `form` is what of the result it holds."""

    path: Path
    form: str


@dataclass(frozen=True, slots=True)
class Work:
    """One job's worth: what it reads and what it writes."""

    label: str
    sources: tuple[Input, ...]
    targets: tuple[Target, ...]

    def name(self, verb: str) -> Name:
        """What its note is found by."""
        return Name(verb, "\n".join(str(target.path.absolute()) for target in self.targets))

    def print(self, options: Any) -> str:
        """What tells whether inputs (its first half) and options (the other) are as before.

        Refused: an empty file, or a name that cannot be noted. OSError where one cannot be read.
        """
        for path in (*(one.path for one in self.sources), *(one.path for one in self.targets)):
            if path is not None and told(str(path)) != str(path):
                raise Refused("a name in its path is no UTF-8: rename it")
        seen: list[Any] = []
        for one in self.sources:
            if one.path is None:
                seen.append(one.url)
            else:
                found = one.path.stat()
                if found.st_size == 0:
                    name = "it" if len(self.sources) == 1 else one.label
                    raise Refused(f"{name} is empty")
                seen.append((str(one.path.absolute()), found.st_size, found.st_mtime_ns))
        return _digest(seen) + _digest(options)

    @property
    def there(self) -> tuple[Path, ...]:
        """Which of its targets there are already."""
        return tuple(target.path for target in self.targets if target.path.exists())


def _digest(value: Any) -> str:
    packed = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(packed).hexdigest()[:HALF]


def differs(print_: str, other: str) -> str:
    """What is not the same in two prints that differ, in a few words."""
    same_options = print_[HALF:] == other[HALF:]
    return "made of another input" if same_options else "made with other options"


def single(
    inputs: Sequence[Input], out: Path | None, endings: Sequence[tuple[str, str]], kinds: Kinds
) -> list[Work]:
    """A work for each input; `endings` are (form, what the input's suffix is replaced by).

    Inputs that would write the same file keep their own suffix before the ending.
    ConfigError where two would still write the same.
    """
    bases = [
        one.folder / one.relative.name if out is None else out / one.relative for one in inputs
    ]
    stems = [
        base.with_suffix("") if base.suffix.lower() in kinds.suffixes else base for base in bases
    ]
    common = Counter(stems)
    works = []
    for one, base, stem in zip(inputs, bases, stems, strict=True):
        begin = base if common[stem] > 1 else stem
        targets = (Target(begin.with_name(begin.name + end), form) for form, end in endings)
        works.append(Work(one.label, (one,), tuple(targets)))
    distinct(works)
    return works


def distinct(works: Iterable[Work]) -> None:
    """ConfigError where two would write the same file, or one its own input."""
    owners: dict[Path, str] = {}
    for work in works:
        for target in work.targets:
            other = owners.get(target.path.absolute())
            if other is not None:
                raise ConfigError(
                    f"{other} and {work.label} would both write {target.path}:"
                    " hand them in one at a time, with another --out"
                )
            owners[target.path.absolute()] = work.label
            if any(one.path == target.path for one in work.sources):
                raise ConfigError(f"{work.label} would be overwritten by its own result: use --out")


def writable(folders: Iterable[Path]) -> None:
    """ConfigError names a folder in which nothing can be written. None of them is made."""
    tried = set[Path]()
    for folder in folders:
        there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        if there in tried:
            continue
        tried.add(there)
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as exc:
            raise ConfigError(
                f"{folder}: results cannot be written there ({exc.strerror or exc}):"
                " choose another folder with --out"
            ) from exc


def placed(works: Iterable[Work], *, force: bool) -> None:
    """ConfigError names a result that cannot be written where it belongs."""
    folders = dict[Path, None]()
    for work in works:
        for target in work.targets:
            there = target.path.exists()
            if force and there and target.path.is_dir():
                raise ConfigError(f"{target.path} is a folder, no result: choose another --out")
            if force or not there:
                folders[target.path.parent] = None
    writable(folders)


def write(path: Path, content: bytes) -> None:
    """Writes a file at once, its folder too; a reader never sees half of it. OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:60]}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def listed(paths: Sequence[Path]) -> str:
    """File names for people, the first few of them."""
    shown = ", ".join(str(path) for path in paths[:SHOWN])
    more = len(paths) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
