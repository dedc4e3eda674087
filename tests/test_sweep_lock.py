import os
import subprocess
import sys
from pathlib import Path

import pytest

from dirsweep.sweep import lock

HOLD = "import sys, time; from pathlib import Path; from dirsweep.sweep import lock\n"
HOLD += "with lock.held(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


def test_a_sweep_is_held_while_its_driver_lives_and_free_once_it_is_killed(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"held\n"
            found = lock.holder(tmp_path)
            assert found is not None
            assert found.pid == other.pid
            refused = f"another driver runs this sweep .process {other.pid} on"
            with pytest.raises(ValueError, match=refused), lock.held(tmp_path):
                pass
        finally:
            other.kill()
    assert lock.holder(tmp_path) is None
    with lock.held(tmp_path):
        found = lock.holder(tmp_path)
        assert found is not None
        assert found.pid == os.getpid()


def test_a_folder_without_a_driver_has_no_holder(tmp_path: Path):
    assert lock.holder(tmp_path) is None
