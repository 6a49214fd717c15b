"""The garbage collector and the threads of the local cloud, in a process of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import gc, sys, time, weakref
from verge.cloud import pauses

pauses.LOOK, pauses.QUIET = 0.01, 0.05
pauses.QUIET_SHARE, pauses.GROWTH = (-1, 2) if sys.argv[1] == "busy" else (0.5, 1000)
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

def wait_for(condition, meanwhile):
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        meanwhile()
    return condition()

def work():
    kept.extend([n] for n in range(1000))

gone, node = make()
before = gc.get_freeze_count()
print(wait_for(lambda: gc.get_freeze_count() > before, work))
del node
gc.collect()
print(gone() is not None)
if sys.argv[1] == "busy":
    print(wait_for(lambda: gone() is None, work))
else:
    kept.extend([n] for n in range(300_000))
    print(wait_for(lambda: gone() is None, lambda: time.sleep(0.01)))
"""


@pytest.mark.parametrize("load", ["busy", "quiet"])
def test_full_collections_do_not_look_at_what_stays(load: str) -> None:
    """What survived is set aside, and looked at again when there is several times as much.

    Where nothing is done it is looked at sooner.
    """
    shown = subprocess.run(
        [sys.executable, "-c", PROGRAM, load],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert shown.stdout.split() == ["True"] * 5
