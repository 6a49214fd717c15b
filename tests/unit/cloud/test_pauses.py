"""The garbage collector and the threads of the local cloud, in a process of their own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, sys, time, weakref
from verge.cloud import pauses

kept = [[n] for n in range(300_000)]
pauses.keep_short()
began = time.perf_counter()
gc.collect()
print(time.perf_counter() - began < 0.02, sys.getswitchinterval() < 0.001)

class Node:
    pass

def make():
    node = Node()
    node.itself = node
    return weakref.ref(node), node

gone, node = make()
gc.collect()
del node
print(gone() is not None)
kept.extend([n] for n in range(pauses.GROWTH * 400_000))
gc.collect()
gc.collect()
print(gone() is None)
"""


def test_full_collections_do_not_look_at_what_stays() -> None:
    """What survived is set aside, and looked at again when there is several times as much."""
    shown = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.split() == ["True"] * 4
