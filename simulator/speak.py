"""`python -m simulator.speak FOLDER`: sound files of `simulator.speech`, the truth beside each."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from simulator.speech import talk_of, write


def main(argv: Sequence[str] | None = None) -> int:
    """Write talks and their truth; returns an exit code."""
    parser = argparse.ArgumentParser(prog="simulator.speak")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=3.0, help="of each file")
    parser.add_argument("--seed", type=int, default=1, help="of the first; the next has one more")
    parser.add_argument("--format", default="flac", help="wav, flac, mp3, ogg, m4a …")
    given = parser.parse_args(argv)
    given.folder.mkdir(parents=True, exist_ok=True)
    for number in range(given.files):
        talk = talk_of(given.seed + number, given.minutes * 60)
        path = given.folder / f"talk-{number + 1:04d}.{given.format}"
        write(talk, path)
        words = [{"word": w.word, "start": w.start_s, "end": w.end_s} for w in talk.words]
        truth = {"text": talk.text, "duration": talk.seconds, "words": words}
        path.with_suffix(".json").write_text(json.dumps(truth), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
