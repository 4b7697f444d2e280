import platform
import subprocess
import sys

import pytest

from siamjax import memory

# Page faults of ten allocations of 40 MiB in a thread, each written to and freed.
FAULTS = """
import resource, threading
from siamjax.memory import keep_memory
{call}
def allocate():
    for _ in range(11):
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        bytearray(b"x") * (40 << 20)
faults = []
thread = threading.Thread(target=allocate)
thread.start()
thread.join()
print(faults[-1] - faults[1])
"""


def faults(call):
    command = [sys.executable, "-c", FAULTS.format(call=call)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_kept_memory_is_not_faulted_in_again():
    assert faults("") > 10_000
    assert faults("assert keep_memory()") < 2_000


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert not memory.keep_memory()
