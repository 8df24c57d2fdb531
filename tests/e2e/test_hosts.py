"""Several machines in network namespaces: the link between them delays, loses and is cut as it should.

Only the link is tried here; `make test-hosts` plays a federation over it (tests/support/hosts.py).
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.anvil import ROOT
from tests.support.link import lacking, private

REASON = lacking()
PROBE = """
import socket, statistics, subprocess, sys, time
from tests.support.link import Network

network = Network(3, loss=0.2, seed=1)
answer = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('10.77.0.3', 9));"
answer += "print(flush=True)\\nwhile True: s.sendto(*s.recvfrom(64))"
asked = "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.5)\\n"
asked += "for n in range(int('{count}')):\\n  t = time.monotonic(); s.sendto(b'%d' % n, ('10.77.0.3', 9))\\n"
asked += "  try:\\n    while int(s.recv(64)) != n: pass\\n    print(time.monotonic() - t)\\n"
asked += "  except TimeoutError: print('lost')"
server = subprocess.Popen(network.on("h3", sys.executable, "-c", answer), stdout=subprocess.PIPE)
server.stdout.readline()


def times(count):
    command = network.on("h2", sys.executable, "-c", asked.replace("{count}", str(count)))
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


first = times(12)
network.link.cut.add("h3")
cut = times(2)
network.link.cut.clear()
print(*first, "|", *cut, "|", *times(6))
server.kill()
"""


@pytest.mark.skipif(bool(REASON), reason=REASON)
def test_the_link_between_hosts_delays_loses_and_is_cut_and_healed():
    command = private([sys.executable, "-c", PROBE])
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    first, cut, healed = (part.split() for part in done.stdout.split("|"))
    arrived = [float(took) for took in first if took != "lost"]
    assert arrived
    assert "lost" in first, "a fifth of the frames is, in both directions"
    assert min(arrived) >= 0.11, "80 ± 20 ms each way"
    assert min(arrived) < 0.25, "a busy machine adds to it, but not to every answer"
    assert set(cut) == {"lost"}
    assert set(healed) != {"lost"}
