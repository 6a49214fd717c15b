"""Configuration trees whose leaves carry the time of their last write (contract 3.6).

A container is a plain dict, a leaf a `Leaf`; a list is a leaf, because merges replace it whole.
Trees are never changed in place: every function returns a new tree that shares what stayed.
Keys keep their spelling and are compared without regard to case (contract 1.1); keys that begin
with "_" are private to the nucleus and never get in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

DEFAULTS_TIMESTAMP = 1.0
"""The time that recipe defaults carry, older than every real write."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value and the time of its last write, in seconds since the epoch."""

    value: Any
    timestamp: float


Node: TypeAlias = "Leaf | Mapping[str, Node]"
Tree: TypeAlias = Mapping[str, Node]

Path: TypeAlias = tuple[str, ...]


def build(value: Mapping[str, Any], timestamp: float) -> Tree:
    """Return a tree of plain values that were all written at one time."""
    return {
        str(key): _build_node(child, timestamp)
        for key, child in value.items()
        if not str(key).startswith("_")
    }


def _build_node(value: Any, timestamp: float) -> Node:
    return build(value, timestamp) if isinstance(value, Mapping) else Leaf(value, timestamp)


def plain(node: Node) -> Any:
    """Return the values alone."""
    if isinstance(node, Leaf):
        return node.value
    return {key: plain(child) for key, child in node.items()}


def find_key(tree: Tree, key: str) -> str | None:
    """Return the spelling of a key as the container has it, or None."""
    if key in tree:
        return key
    wanted = key.lower()
    return next((present for present in tree if present.lower() == wanted), None)


def lookup(node: Node, path: Sequence[str]) -> Node:
    """Return the node at a path. Raises KeyError if there is none."""
    for key in path:
        present = None if isinstance(node, Leaf) else find_key(node, key)
        if present is None:
            raise KeyError(key)
        node = node[present]  # type: ignore[index]  # a key was found, so it is a container
    return node


def spelling(tree: Tree, path: Sequence[str]) -> Path:
    """Return a path as the tree spells it, as far as it exists there."""
    spelled: list[str] = []
    node: Node = tree
    for key in path:
        present = None if isinstance(node, Leaf) else find_key(node, key)
        spelled.append(present or key)
        node = {} if present is None else node[present]  # type: ignore[index]  # as above
    return tuple(spelled)


def newest(node: Node) -> float:
    """Return the time of the newest leaf, or 0 for an empty container."""
    if isinstance(node, Leaf):
        return node.timestamp
    return max(map(newest, node.values()), default=0.0)


def merge(tree: Tree, value: Mapping[str, Any], timestamp: float) -> Tree:
    """Write values; what is newer than the timestamp keeps its value.

    Containers merge key by key; scalars and lists are replaced whole; a scalar may become a
    container and the reverse.
    """
    merged = dict(tree)
    for key, wanted in value.items():
        if str(key).startswith("_"):
            continue
        present = find_key(tree, str(key))
        if present is None:
            merged[str(key)] = _build_node(wanted, timestamp)
        else:
            merged[present] = _merge_node(tree[present], wanted, timestamp)
    return merged


def _merge_node(node: Node, value: Any, timestamp: float) -> Node:
    if isinstance(value, Mapping) and not isinstance(node, Leaf):
        return merge(node, value, timestamp)
    if newest(node) > timestamp:
        return node
    return _build_node(value, timestamp)


def take_newer(tree: Tree, other: Tree, since: float) -> Tree:
    """Write every leaf of another tree that is newer than a time."""
    for path, leaf in leaves(other):
        if leaf.timestamp > since:
            value = leaf.value
            for key in reversed(path):
                value = {key: value}
            tree = merge(tree, value, leaf.timestamp)
    return tree


def written(tree: Tree) -> Tree:
    """Return a tree without the leaves that nobody wrote, those of `fill`."""
    kept: dict[str, Node] = {}
    for key, node in tree.items():
        if isinstance(node, Leaf):
            if node.timestamp > DEFAULTS_TIMESTAMP:
                kept[key] = node
        elif below := written(node):
            kept[key] = below
    return kept


def map_text(tree: Tree, change: Callable[[str], str]) -> Tree:
    """Return a tree whose texts are changed, through lists too; the times stay."""
    return {
        key: Leaf(_map_value(node.value, change), node.timestamp)
        if isinstance(node, Leaf)
        else map_text(node, change)
        for key, node in tree.items()
    }


def _map_value(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_map_value(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _map_value(item, change) for key, item in value.items()}
    return value


def fill(tree: Tree, defaults: Mapping[str, Any]) -> Tree:
    """Add the defaults that are missing; whatever is there already stays as it is."""
    filled = dict(tree)
    for key, default in defaults.items():
        if str(key).startswith("_"):
            continue
        present = find_key(tree, str(key))
        if present is None:
            filled[str(key)] = _build_node(default, DEFAULTS_TIMESTAMP)
        else:
            node = tree[present]
            if isinstance(default, Mapping) and not isinstance(node, Leaf):
                filled[present] = fill(node, default)
    return filled


def remove(tree: Tree, path: Sequence[str]) -> Tree:
    """Remove the node at a path, if it is there. The empty path clears the tree."""
    if not path:
        return {}
    present = find_key(tree, path[0])
    if present is None:
        return tree
    rest = {key: child for key, child in tree.items() if key != present}
    if len(path) == 1:
        return rest
    child = tree[present]
    if isinstance(child, Leaf):
        return tree
    return {**tree, present: remove(child, path[1:])}


def leaves(node: Node, path: Path = ()) -> Iterator[tuple[Path, Leaf]]:
    """Yield every leaf with its path."""
    if isinstance(node, Leaf):
        yield path, node
        return
    for key, child in node.items():
        yield from leaves(child, (*path, key))


def changed_leaves(old: Tree, new: Tree) -> list[Path]:
    """Return the paths of leaves that came, went or have another value; times do not count."""
    before = {path: leaf.value for path, leaf in leaves(old)}
    after = {path: leaf.value for path, leaf in leaves(new)}
    changed = [path for path, value in after.items() if not _same(before, path, value)]
    return changed + [path for path in before if path not in after]


def _same(values: Mapping[Path, Any], path: Path, value: Any) -> bool:
    if path not in values:
        return False
    present = values[path]
    # 1, 1.0 and true are equal in Python and three different values in JSON.
    return type(present) is type(value) and bool(present == value)


def parse_pointer(pointer: str) -> Path:
    """Return the keys of a JSON pointer (RFC 6901). Raises ValueError."""
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is no JSON pointer: it should begin with /")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))


def format_pointer(path: Sequence[str]) -> str:
    """Return a path as a JSON pointer."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def encode(node: Node) -> Any:
    """Return a tree as JSON-able values: a leaf is `[value, timestamp]`, a container a map."""
    if isinstance(node, Leaf):
        return [node.value, node.timestamp]
    return {key: encode(child) for key, child in node.items()}


def decode(value: Any) -> Node:
    """Undo `encode`."""
    if isinstance(value, list):
        return Leaf(value[0], value[1])
    return {key: decode(child) for key, child in value.items()}
