"""What kind of work a chat asks for, from its shape and a few words; no model is asked.

The first rule that holds decides, in the order of `RULES`; where none does it is a chat. Words are
looked for where instructions stand: at both ends of the last user message, and at the start of the
system's. A wrong guess costs an order of preference, never an answer.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

TYPES = (
    "planning",
    "chat",
    "summarization",
    "simple",
    "complex",
    "reasoning",
    "creative",
    "tool-heavy",
)
BEGIN = r"\b"
EDGE_CHARS = 400
MANY_TOOLS = 4
MANY_TOKENS = 6_000
MANY_TURNS = 16
FEW_TOKENS = 80
SHORT_ANSWER_TOKENS = 256
_HARD_EFFORTS = frozenset({"medium", "high", "xhigh"})


@dataclass(frozen=True, slots=True)
class Shape:
    """What is seen of a chat without understanding it.

    `words` are the places where instructions stand. `tools` are offered, `tool_results` were given
    since the last user message or before. `images` counts every part that is no text.
    """

    words: str = ""
    input_tokens: int = 0
    max_output_tokens: int | None = None
    turns: int = 1
    tools: int = 0
    tool_results: int = 0
    images: int = 0
    effort: str | None = None


def edges(text: str) -> str:
    """Both ends of a text."""
    return text if len(text) <= 2 * EDGE_CHARS else f"{text[:EDGE_CHARS]}\n{text[-EDGE_CHARS:]}"


class _Says:
    """Whether any of the patterns, each of which begins at a word's, is found in whatever case.

    In small letters a search takes a third of the time that one takes which heeds no case; outside
    of ASCII the two may differ.
    """

    def __init__(self, *patterns: str) -> None:
        self.patterns = patterns
        whole = rf"\b(?:{'|'.join(each.removeprefix(BEGIN) for each in patterns)})"
        self._small = re.compile(whole)
        self._any = re.compile(whole, re.IGNORECASE)

    def __call__(self, shape: Shape) -> bool:
        words = shape.words
        found = self._small.search(words.lower()) if words.isascii() else self._any.search(words)
        return found is not None


def _tool_heavy(shape: Shape) -> bool:
    return shape.tools > 0 and (shape.tools >= MANY_TOOLS or shape.tool_results > 0)


def _reasons(shape: Shape) -> bool:
    return shape.effort in _HARD_EFFORTS


def _complex(shape: Shape) -> bool:
    return shape.input_tokens >= MANY_TOKENS or shape.turns >= MANY_TURNS


def _simple(shape: Shape) -> bool:
    asked = shape.max_output_tokens
    short = asked is not None and asked <= SHORT_ANSWER_TOKENS
    few = shape.input_tokens <= FEW_TOKENS and shape.turns == 1
    return few and short and not (shape.tools or shape.images)


RULES: tuple[tuple[str, Callable[[Shape], bool]], ...] = (
    ("reasoning", _reasons),
    ("tool-heavy", _tool_heavy),
    ("summarization", _Says(
        r"\bsummari[sz]", r"\bsummary\b", r"\btl;?dr\b", r"\bcondense\b", r"\bkey points\b",
        r"\bzusammenfass", r"\bfass\b.{1,60}\bzusammen\b", r"\br[ée]sum(e[rz]?|é)\b",
        r"\bresumen\b",
    )),
    ("planning", _Says(
        r"\b(make|write|create|draw up|devise|develop|give me|need) (me |us )?(a|an|the) "
        r"([\w-]+ ){0,3}(plan|roadmap|schedule|strategy|itinerary)\b",
        r"\bplan (out|how|the|a|an|my|our)\b", r"\bbreak (it|this|that|the [\w ]{1,40}) down\b",
        r"\b(sub-?tasks|milestones)\b", r"\bwhich steps\b",
    )),
    ("reasoning", _Says(
        r"\bstep[- ]by[- ]step\b", r"\bprove\b", r"\bproof\b", r"\bderive\b", r"\bdeduce\b",
        r"\bthink (hard|carefully|deeply)\b",
        r"\b(logic|math(s|ematical)?) (puzzle|problem|riddle)",
        r"\bsolve (for|the|this)\b", r"\broot cause\b",
    )),
    ("creative", _Says(
        r"\b(poem|haiku|sonnet|limerick|lyrics|screenplay|fairy tale|short story|slogans?)\b",
        r"\b(write|tell) (me |us )?(a|an) ([\w-]+ ){0,3}(story|song|joke|novel)\b",
        r"\bbrainstorm\b",
    )),
    ("complex", _complex),
    ("simple", _simple),
)  # fmt: skip


_WORDLESS = tuple(rule for rule in RULES if not isinstance(rule[1], _Says))
_ANY_WORD = _Says(*(p for _, rule in RULES if isinstance(rule, _Says) for p in rule.patterns))


def request_type(shape: Shape) -> str:
    """One of `TYPES`."""
    rules = RULES if _ANY_WORD(shape) else _WORDLESS
    return next((name for name, holds in rules if holds(shape)), "chat")
