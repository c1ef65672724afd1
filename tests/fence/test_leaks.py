"""No tracked file contains a path of a private machine, a package host, an address or a secret."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

# The patterns are written in pieces, so that they do not match this file.
LEAKS = {
    "a path of a private machine": r"(?<![\w.~$}/-])/(?:home|Users|root|work" + r")/[\w.-]",
    "a package index": r"--(?:extra-)?index" + r"-url|\bindex" + r"-url\s*=",
    "a package host": r"(?:download\.pytorch|files\.python" + r"hosted|pypi\.[a-z]+\.[a-z]+|pypi" + r"\.org/simple)",
    "an address": r"\b(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2,3}:\d+" + r"\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE" + r" KEY-----",
    "a token": r"\b(?:ghp|gho|github_pat|hf|sk|xox[bp])" + r"[_-][A-Za-z0-9_]{20,}|\bAKIA[0-9A-Z]{16}\b",
}


def tracked(root: Path) -> list[Path]:
    """List the files that are committed, or would be by `git add`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.split("\0") if name and (path := root / name).is_file()]


def leaks(text: str) -> list[str]:
    return [f"{what}: {found.group()}" for what, pattern in LEAKS.items() if (found := re.search(pattern, text))]


def test_nothing_leaks(root: Path) -> None:
    found = {}
    for path in tracked(root):
        data = path.read_bytes()
        if b"\0" not in data[:4096] and (here := leaks(data.decode(errors="replace"))):
            found[path.relative_to(root).as_posix()] = here
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "open('/" + "home/ann/x.onnx')",
        "see /" + "root/.cache",
        "pip install --extra-index" + "-url https://x",
        "https://files.python" + "hosted.org/packages/x",
        "-----BEGIN RSA PRIVATE" + " KEY-----",
        "token = 'hf" + "_" + "a" * 30 + "'",
        "http://10.0" + ".0.5:8080",
    ],
)
def test_a_leak_is_found(line: str) -> None:
    assert len(leaks(line)) == 1


@pytest.mark.parametrize("line", ["root / 'proc'", "~/home/x", "python 10.13.3", "https://arxiv.org/abs/1707.02921"])
def test_harmless_lines_pass(line: str) -> None:
    assert leaks(line) == []
