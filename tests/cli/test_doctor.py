"""`sitkit doctor`: one screen about an installation, and no secret in it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installed import distribution, sitkit_here


def test_one_screen_without_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("LAB_API_KEY", "also-secret")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    shown = sitkit_here("doctor", "--workspace", str(tmp_path / "w"), path=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert len(shown.stdout.splitlines()) <= 24
    assert "secret" not in shown.stdout
    assert "HF_TOKEN is not set, OPENAI_API_KEY is set, LAB_API_KEY is set" in shown.stdout
    assert "workspace ~/w: " in shown.stdout
    assert str(tmp_path) not in shown.stdout
    assert "network" not in shown.stdout
    found = json.loads(sitkit_here("doctor", "--json", path=tmp_path).stdout)
    assert found["keys"]["OPENAI_API_KEY"] is True
    assert found["packages"]["torch"]
    assert found["memory"] > found["memory_free"] > 0


def test_a_broken_plugin_is_named(tmp_path: Path) -> None:
    distribution(tmp_path, "half-done", "import nothing_like_it")
    shown = sitkit_here("doctor", path=tmp_path)
    assert shown.returncode == 1
    assert "broken    half-done: import: ModuleNotFoundError" in shown.stdout


def test_hosts_are_asked_only_when_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server, socket.socket() as nobody:
        for one in (server, nobody):
            one.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.setenv("OPENAI_BASE_URL", "not a url")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        shown = sitkit_here("doctor", "--network", path=tmp_path)
    assert "network   Hugging Face hub: not reached (" in shown.stdout
    assert "network   OpenAI: not reached (" in shown.stdout


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from sitkit.cli.main import run; run(['doctor']);"
        "print(sorted({'torch', 'transformers', 'datasets', 'lm_eval', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
