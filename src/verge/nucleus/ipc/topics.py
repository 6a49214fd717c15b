"""Topic filters and what they match (Greengrass contract 4.8, local pub/sub).

Topics are split at `/`; trailing slashes vanish. In a filter `+` is one level and a last `#` is
every level below, at least one: `abc/#` does not match `abc`.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Item = TypeVar("Item")

_REMEMBERED_TOPICS = 1024
_REMEMBERED_LENGTH = 256


def levels(topic: str) -> list[str]:
    """Return the levels of a topic or filter."""
    parts = topic.split("/")
    while parts and not parts[-1]:
        parts.pop()
    return parts


def is_wildcard(topic_filter: str) -> bool:
    """Return whether the filter matches more than one topic."""
    parts = levels(topic_filter)
    return "+" in parts or parts[-1:] == ["#"]


class _Node(Generic[Item]):
    __slots__ = ("children", "items")

    def __init__(self) -> None:
        self.children: dict[str, _Node[Item]] = {}
        self.items: dict[Item, None] = {}


class FilterTree(Generic[Item]):
    """Items under topic filters; remembers what recent topics matched."""

    def __init__(self) -> None:
        self._root: _Node[Item] = _Node()
        self._remembered: dict[str, tuple[Item, ...]] = {}

    def nodes(self) -> int:
        """Return how many nodes there are, the root among them."""
        nodes = [self._root]
        for node in nodes:
            nodes.extend(node.children.values())
        return len(nodes)

    def add(self, topic_filter: str, item: Item) -> None:
        """Put an item under a filter."""
        node = self._root
        for level in levels(topic_filter):
            node = node.children.setdefault(level, _Node())
        node.items[item] = None
        self._remembered.clear()

    def remove(self, topic_filter: str, item: Item) -> None:
        """Take an item away again, and the branches that nothing else needs."""
        path = [self._root]
        parts = levels(topic_filter)
        for level in parts:
            path.append(path[-1].children[level])
        del path[-1].items[item]
        for parent, level in zip(reversed(path[:-1]), reversed(parts), strict=True):
            child = parent.children[level]
            if child.items or child.children:
                break
            del parent.children[level]
        self._remembered.clear()

    def match(self, topic: str) -> tuple[Item, ...]:
        """Return the items of all filters that match the topic."""
        found = self._remembered.get(topic)
        if found is None:
            found = tuple(self._find(levels(topic)))
            if len(topic) <= _REMEMBERED_LENGTH:
                if len(self._remembered) >= _REMEMBERED_TOPICS:
                    self._remembered.clear()
                self._remembered[topic] = found
        return found

    def _find(self, parts: list[str]) -> list[Item]:
        found: list[Item] = []
        nodes = [self._root]
        for level in parts:
            below: list[_Node[Item]] = []
            for node in nodes:
                children = node.children
                if rest := children.get("#"):
                    found.extend(rest.items)
                below.extend(children[name] for name in {level, "+"} if name in children)
            nodes = below
        for node in nodes:
            found.extend(node.items)
        return found
