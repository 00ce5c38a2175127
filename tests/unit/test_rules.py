"""Rules that hold for every file, and that no linter knows."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
SHELLS = re.compile(
    r"shell\s*=\s*True|os\.(system|popen)\b|create_subprocess_shell|subprocess\.getoutput"
)


def test_nothing_is_ever_given_to_a_shell() -> None:
    """Names and values of a project are data, whatever they look like."""
    sources = [
        path
        for folder in ("emulator", "runtimes", "samples")
        for path in (CHECKOUT / folder).rglob("*.py")
    ]

    assert len(sources) > 50
    assert [path.name for path in sources if SHELLS.search(path.read_text("utf-8"))] == []


def test_samples_have_a_readme_and_a_handler() -> None:
    """Each can be started by its name."""
    samples = [path for path in (CHECKOUT / "samples").iterdir() if path.is_dir()]

    assert samples
    for sample in samples:
        assert (sample / "README.md").is_file()
        assert any("def handler(" in path.read_text("utf-8") for path in sample.rglob("index.py"))
