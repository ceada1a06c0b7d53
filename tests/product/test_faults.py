"""A part of `make faults`: the first trials of each campaign, and those that once found a fault.

Each campaign runs in processes of its own, as its trials kill, stop and fork them.
"""

import subprocess
import sys

import pytest
from command_line import ROOT, environment
from faults import page
from faults.campaigns import CAMPAIGNS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")
SMALL = [name for name, campaign in CAMPAIGNS.items() if campaign.small or campaign.found]


@pytest.mark.parametrize("name", SMALL)
def test_the_first_trials_of_a_campaign_survive(name):
    command = [sys.executable, ROOT / "tests" / "faults" / "run.py", name, "--small"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_page_counts_only_what_has_run():
    """Of the newest code, each trial once."""

    def piece(first: int, code: str, *faults: str) -> dict:
        config = {"campaign": "commands", "first": first, "count": 20, "code": code}
        return {
            "config": config,
            "result": {"faults": [*faults], "piece": {"seconds": 60.0, "measured": []}},
        }

    text = page.page([piece(0, "old", "1: a"), piece(0, "new"), piece(20, "new", "7: b")])
    (line,) = [line for line in text.splitlines() if line.startswith("| odd commands")]
    assert [cell.strip() for cell in line.split("|")[2:-1]] == ["40", "300", "39", "0 to 39", "2.0"]
    assert "`7: b`" in text
    assert "1: a" not in text


def test_every_campaign_is_on_the_page():
    text = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    for campaign in CAMPAIGNS.values():
        assert f"| {campaign.title} " in text
