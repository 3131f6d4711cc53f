"""What bulk verbs work on: PATHs become files and addresses, each with a place for its results."""

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final
from urllib.parse import unquote, urlsplit

from shared.errors import ConfigError

MOST: Final = 1_000_000
NAME_CHARS: Final = 120
_MAGIC: Final = re.compile(r"[*?\[]")
_UNSAFE: Final = re.compile(r"[^\w.,()+-]+")


@dataclass(frozen=True, slots=True)
class Input:
    """One file or address. `label` is what a person knows it by.

    Its results stand in `folder`, or under `--out` as `relative` does below what was given.
    """

    label: str
    relative: PurePath
    folder: Path
    path: Path | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Kinds:
    """What a verb reads: `suffixes` of files inside folders and globs, and a word for them.

    `ours` are endings of the verb's own results, which no folder gives back to it; `results` those
    that are its own only beside an input of that name.
    """

    what: str
    suffixes: frozenset[str]
    ours: tuple[str, ...] = ()
    results: tuple[str, ...] = ()


@dataclass(slots=True)
class Found:
    """The inputs, each once and in order, and how many files of which suffix were left out."""

    inputs: list[Input] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def remark(self, kinds: Kinds) -> str | None:
        """What was left out and why, in one line; None where nothing was."""
        if not self.skipped:
            return None
        words = ", ".join(f"{count} {suffix}" for suffix, count in self.skipped.most_common(8))
        count = self.skipped.total()
        many = "file that is" if count == 1 else "files that are"
        return (
            f"skipped {count} {many} no {kinds.what} by name ({words});"
            " name a file itself to hand it in all the same"
        )


def find(given: Sequence[str], kinds: Kinds) -> Found:
    """The inputs of PATHs: files, folders with all below, globs, addresses.

    ConfigError: one that is not there, or nothing to do.
    """
    found, seen = Found(), set[str]()
    for each in given:
        for one in _expanded(each, kinds, found.skipped, several=len(given) > 1):
            identity = one.url or os.path.realpath(one.path or "")
            if identity not in seen:
                seen.add(identity)
                found.inputs.append(one)
            if len(found.inputs) > MOST:
                raise ConfigError(f"more than {MOST} files; give fewer at a time")
    if not found.inputs:
        hint = (
            found.remark(kinds) or f"its {kinds.what} end with {', '.join(sorted(kinds.suffixes))}"
        )
        raise ConfigError(f"nothing to do in {', '.join(given)}: {hint}")
    return found


def _expanded(given: str, kinds: Kinds, skipped: Counter[str], *, several: bool) -> Iterator[Input]:
    if given.startswith(("http://", "https://")):
        yield _of_url(given)
        return
    path = Path(given).expanduser()
    if path.is_dir():
        below = PurePath(path.resolve().name) if several else PurePath()
        yield from _of_folder(path, path, below, kinds, skipped)
    elif path.exists():
        yield _of_file(path, PurePath(path.name))
    elif _MAGIC.search(given):
        yield from _of_glob(str(path), kinds, skipped)
    else:
        raise ConfigError(f"{given}: there is no such file, folder or match")


def _of_folder(
    folder: Path, base: Path, below: PurePath, kinds: Kinds, skipped: Counter[str]
) -> Iterator[Input]:
    """All files below a folder in order, hidden ones and links to folders left alone."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if _wanted(path, kinds, skipped):
                yield _of_file(path, below / path.relative_to(base))


def _of_glob(pattern: str, kinds: Kinds, skipped: Counter[str]) -> Iterator[Input]:
    fixed = re.split(r"[^/]*[*?\[]", pattern, maxsplit=1)[0]
    base = Path(fixed or ".")
    matches = sorted(glob.iglob(pattern, recursive=True))  # noqa: PTH207 - absolute ones too
    if not matches:
        raise ConfigError(f"{pattern}: nothing matches")
    for match in matches:
        path = Path(match)
        if path.is_dir():
            if "**" not in pattern:
                yield from _of_folder(path, base, PurePath(), kinds, skipped)
        elif _wanted(path, kinds, skipped):
            yield _of_file(path, path.relative_to(base))


def _wanted(path: Path, kinds: Kinds, skipped: Counter[str]) -> bool:
    name = path.name.lower()
    if name.startswith(".") or name.endswith(kinds.ours) or not path.is_file():
        return False
    if path.suffix.lower() in kinds.suffixes:
        return True
    if _result(path, kinds):
        return False
    skipped[told(path.suffix.lower()) or "without a suffix"] += 1
    return False


def _result(path: Path, kinds: Kinds) -> bool:
    """Whether it has the name of a result of an input that stands beside it: `a.txt` by `a.mp3`."""
    endings = (end for end in kinds.results if path.name.endswith(end))
    stems = [path.name.removesuffix(end) for end in endings]
    return any(
        PurePath(stem).suffix.lower() in kinds.suffixes
        or any(path.with_name(stem + suffix).exists() for suffix in _cases(kinds.suffixes))
        for stem in stems
    )


def _cases(suffixes: frozenset[str]) -> Iterator[str]:
    for suffix in suffixes:
        yield from (suffix, suffix.upper())


def _of_file(path: Path, relative: PurePath) -> Input:
    return Input(told(str(path)), relative, path.parent, path=path)


def told(name: str) -> str:
    """A name as it can be written: bytes that are no UTF-8 are shown as such."""
    return os.fsencode(name).decode("utf-8", "replace")


def _of_url(url: str) -> Input:
    """An address; its results are named as its last part is, in the working directory."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ConfigError(f"{url}: an address names a host")
    last = unquote(parts.path).rstrip("/").rpartition("/")[2]
    name = _UNSAFE.sub("-", last or parts.hostname).strip(".-")[:NAME_CHARS] or "download"
    return Input(url, PurePath(name), Path(), url=url)
