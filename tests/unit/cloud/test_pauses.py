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

BURST = """
import gc, threading, time
from verge.cloud import pauses

pauses.keep_short()
where = set()
gc.callbacks.append(lambda phase, _: where.add(threading.current_thread().name))
end = time.monotonic() + 20
while not where and time.monotonic() < end:
    loops = [[] for _ in range(100_000)]
    for each in loops:
        each.append(each)
print(*where)
"""


def test_no_thread_that_works_meets_a_collection() -> None:
    """Cycles are found by the thread that looks for them, however many another one makes."""
    assert _run(BURST) == ["collector"]


@pytest.mark.parametrize("load", ["busy", "quiet"])
def test_full_collections_do_not_look_at_what_stays(load: str) -> None:
    """What survived is set aside, and looked at again when there is several times as much.

    Where nothing is done it is looked at sooner.
    """
    assert _run(PROGRAM, load) == ["True"] * 5


def _run(program: str, *arguments: str) -> list[str]:
    """Return the words that a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split()
