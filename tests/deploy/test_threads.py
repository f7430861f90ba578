"""Several threads parse replies at the same time."""

from __future__ import annotations

import subprocess
import sys

# Types that nothing has met yet, in a process of its own: what it would do otherwise is crash.
RACE = """\
import sys, threading
import msgspec
from pytest_gaia.deploy.contract import converted

sys.setswitchinterval(1e-6)

def fresh():
    inner = msgspec.defstruct("Inner", [("name", str, ""), ("sizes", dict[str, int], msgspec.field(default_factory=dict))])
    return msgspec.defstruct("Outer", [("name", str, ""), ("inner", tuple[inner, ...], ())])

for _ in range(150):
    kind, begin = fresh(), threading.Barrier(4)

    def read():
        begin.wait()
        converted({"name": "a", "inner": [{"name": "b", "sizes": {"c": 1}}]}, kind)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
"""


def test_several_threads_may_meet_a_type_first() -> None:
    done = subprocess.run([sys.executable, "-c", RACE], capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")


# As if another thread began to use a pool of threads while this one starts a tool.
FORK = """\
import os, subprocess
import pytest_gaia.deploy.process

os.register_at_fork(before=lambda: __import__("concurrent.futures.thread"))
subprocess.run(["true"], preexec_fn=os.getpid, check=True)

from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor() as pool:
    pool.submit(print, "ok")
"""


def test_a_pool_of_threads_may_begin_while_a_tool_is_started() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")
