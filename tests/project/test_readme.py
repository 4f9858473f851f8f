"""The README's example runs as it is written, and its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def run(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_runs_as_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    run("-c", "from guardrails.cli import main; main()", "init", "my-agent", cwd=tmp_path)
    (tmp_path / "my-agent" / "example.py").write_text(example)
    printed = run("example.py", cwd=tmp_path / "my-agent").splitlines()
    assert printed[0] == "refunded 20 for A-17"
    assert printed[1] == (
        "`refund` waits for approval by finance-ops. Do not retry; say that it is pending."
    )
    assert re.fullmatch(r"run/\S+ was killed: operator stop", printed[2])
    assert printed[3:] == ["1 call, 0.02 dollars"]


def test_the_example_is_about_twenty_lines() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert 15 <= len([line for line in example.splitlines() if line.strip()]) <= 25


def test_links_in_the_documents_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "policies" / "README.md"]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken
