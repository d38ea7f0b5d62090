"""YAML from outside, read within bounds: how deep, how many values, and what its aliases come to."""

import re
from typing import Any

import yaml

DEEPEST = 50
"""Maximum number of lists and mappings inside each other."""

MOST_VALUES = 100_000
"""Maximum number of values, keys included, each alias counted as all that it stands for."""

NOT_PLAIN = "anchors, aliases and tags (`&`, `*`, `!`) are not read here; write each value out, and text in quotes"


class BoundedLoader(yaml.SafeLoader):
    """YAML's safe loader, within bounds: a few aliases of aliases can stand for millions of values."""

    plain = False
    """True refuses anchors, aliases and tags altogether."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = self._values = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Count every value before it is read any further."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        alias = isinstance(event, yaml.AliasEvent)
        if self.plain and (alias or event.anchor is not None or event.tag is not None):
            raise refusal(NOT_PLAIN, event.start_mark)
        if alias:
            node = super().compose_node(parent, index)
            if node not in self._sizes:
                raise refusal("an alias stands for something that holds the alias itself", event.start_mark)
            self._count(self._sizes[node], event.start_mark)
            return node
        if self._depth >= DEEPEST:
            raise refusal(f"more than {DEEPEST} lists and mappings are inside each other", event.start_mark)
        before = self._values
        self._count(1, event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None:
            self._sizes[node] = self._values - before
        return node

    def _count(self, values: int, mark: yaml.Mark) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            raise refusal(f"there are more than {MOST_VALUES:,} values up to here, aliases written out", mark)


class StrictLoader(BoundedLoader):
    """For files that people write: plain values only, and no key that stands twice in one mapping."""

    plain = True

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that stands twice: YAML would silently keep the last one."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise refusal("`<<` is not read here; write each key out", key_node.start_mark)
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise refusal(f"{_key(key)} stands twice; only one of them would count", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def refusal(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    """An error at a place in the text."""
    return yaml.MarkedYAMLError(None, None, problem, mark)


def described(error: Exception) -> str:
    """Return where reading YAML failed, and why, without a word of the text itself."""
    if isinstance(error, RecursionError):
        return "Too many lists and mappings are inside each other."
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return f"{place}{_without_quotes(error.problem or error.context or 'it cannot be read')}."
    if isinstance(error, yaml.reader.ReaderError):
        return f"Character {error.position + 1} is U+{_code(error):04X}, which YAML does not take."
    return f"A value is none of its kind, such as a date with 13 months ({_without_quotes(str(error)[:200])})."


def _code(error: yaml.reader.ReaderError) -> int:
    return error.character if isinstance(error.character, int) else ord(error.character[:1] or "\0")


def _without_quotes(problem: str) -> str:
    """Names of tokens, `'<scalar>'`, and single characters say where to look; anything else may be anybody's text."""
    return re.sub(r"'[^'<>]{2,}'", "…", problem)


def _key(key: object) -> str:
    """A key as far as it looks like one of ours."""
    return f"`{key}`" if isinstance(key, str) and is_key(key) else "a key"


def is_key(text: str) -> bool:
    """Return whether a text looks like a key of one of our files; others may be what somebody keeps elsewhere."""
    return re.fullmatch(r"[A-Za-z0-9_.=,/{}\[\] -]{0,64}", text) is not None
