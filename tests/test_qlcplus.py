"""QLC+ itself, headless, driving a show through its desk file."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from live.take import Obeyed, performed
from live.take_reader import read_take

SECONDS = 15

# A chaser between two scenes: in a second it fades master, psi and noise up or down, and presses
# the next cue and cue 3.
WORKSPACE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE Workspace>
<Workspace xmlns="http://www.qlcplus.org/Workspace" CurrentWindow="VirtualConsole">
 <Creator><Name>Q Light Controller Plus</Name><Version>4.12.6</Version></Creator>
 <Engine Autostart="2">
  <InputOutputMap>
   <Universe Name="Universe 1" ID="0">
    <Output Plugin="OSC" Line="0">
     <PluginParameters outputIP="127.0.0.1" outputPort="{port}"/>
    </Output>
   </Universe>
  </InputOutputMap>
  <Fixture>
   <Manufacturer>Generic</Manufacturer><Model>Generic</Model><Mode>Generic</Mode>
   <ID>0</ID><Name>Anthesis</Name><Universe>0</Universe><Address>0</Address><Channels>32</Channels>
  </Fixture>
  <Function ID="0" Type="Scene" Name="low">
   <Speed FadeIn="0" FadeOut="0" Duration="0"/>
   <FixtureVal ID="0">0,255,3,0,4,0,9,0,22,0</FixtureVal>
  </Function>
  <Function ID="1" Type="Scene" Name="high">
   <Speed FadeIn="0" FadeOut="0" Duration="0"/>
   <FixtureVal ID="0">0,128,3,255,4,255,9,255,22,255</FixtureVal>
  </Function>
  <Function ID="2" Type="Chaser" Name="between">
   <Speed FadeIn="1000" FadeOut="0" Duration="1500"/>
   <Direction>Forward</Direction><RunOrder>Loop</RunOrder>
   <SpeedModes FadeIn="Common" FadeOut="Default" Duration="Common"/>
   <Step Number="0" FadeIn="0" Hold="0" FadeOut="0">0</Step>
   <Step Number="1" FadeIn="0" Hold="0" FadeOut="0">1</Step>
  </Function>
 </Engine>
 <VirtualConsole>
  <Frame Caption=""><Appearance><FrameStyle>None</FrameStyle></Appearance></Frame>
  <Properties><Size Width="1920" Height="1080"/></Properties>
 </VirtualConsole>
</Workspace>
"""


@pytest.mark.skipif(shutil.which("qlcplus") is None, reason="QLC+ is not installed")
def test_qlcplus_drives_a_show_through_its_desk_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workspace, take, stats = (tmp_path / name for name in ("a.qxw", "a.take", "a.json"))
    workspace.write_text(WORKSPACE.format(port=port))
    desk = subprocess.Popen(
        ["qlcplus", "--nowm", "--nogui", "--operate", "--open", str(workspace)],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        play = [sys.executable, "-m", "live", "play", "--headless", "--size", "320x180"]
        options = ["--osc", f"127.0.0.1:{port}", "--desk", "qlcplus", "--seconds", str(SECONDS)]
        files = ["--take", str(take), "--stats", str(stats)]
        done = subprocess.run(
            [*play, *options, *files], capture_output=True, text=True, timeout=90, check=False
        )
    finally:
        desk.kill()
        desk.wait()
    assert done.returncode == 0, done.stderr
    counts = json.loads(stats.read_text())["osc"]
    assert counts["malformed"] == 0
    assert counts["received"] > 500
    performance = read_take(take)
    heard = [e.message for e in performance.events if isinstance(e, Obeyed) and e.heard]
    told = Counter(message.address for message in heard)
    for level, low, high in (("master", 0.5, 1.0), ("psi", 0.0, 1.5), ("noise", 0.0, 2.0)):
        values = [float(message.args[0]) for message in heard if message.address == level]
        # QLC+ begins with a fade from nothing, of which a show hears what is left when it begins.
        values = values[next(n for n, v in enumerate(values) if v >= high - 0.01) :]
        assert len(set(values)) > 30  # of 128, at whatever rate a busy machine has frames
        assert min(values) == pytest.approx(low, abs=0.01)
        assert max(values) == pytest.approx(high, abs=0.01)
        # Fifty times a second in steps of a fade, and no jump when it was picked up.
        assert max(abs(a - b) for a, b in pairwise(values)) < 0.5 * (high - low)
    assert 3 <= told["cue/next"] <= SECONDS / 1.5
    assert abs(told["cue/next"] - told["cue/go"]) <= 1
    assert {message.args for message in heard if message.address == "cue/go"} == {(3,)}
    assert len(list(performed(performance))) > 100  # and it is repeated without the desk's file
