"""The files of docs/containers.md, as far as they can be checked without containers: YAML, references between its parts, and commands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

PAGE = (Path(__file__).resolve().parents[2] / "docs/containers.md").read_text()


def block(language: str) -> str:
    return re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL).group(1)


@pytest.fixture(scope="module")
def parts() -> dict[tuple[str, str], dict]:
    return {(part["kind"], part["metadata"]["name"]): part for part in yaml.safe_load_all(block("yaml"))}


def deployments(parts) -> list[dict]:
    return [part for (kind, _), part in parts.items() if kind == "Deployment"]


def commands() -> list[list[str]]:
    """Commands of apus in the manifests, the image and the shell's lines."""
    found = [container["args"] for part in yaml.safe_load_all(block("yaml")) if part["kind"] == "Deployment"
             for container in part["spec"]["template"]["spec"]["containers"]]
    found.append(yaml.safe_load(re.search(r"^CMD (.*)$", block("dockerfile"), re.MULTILINE).group(1)))
    for text in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            begin = next((place for place, pair in enumerate(zip(words, words[1:])) if pair in (
                ("apus", "controller"), ("apus", "engine"))), None)
            if begin is not None:
                found.append(words[begin:])
    return found


def test_every_part_is_there(parts):
    assert set(parts) == {
        ("Service", "apus-controller"), ("Deployment", "apus-controller"), ("Deployment", "apus-engines")}
    assert all(part["apiVersion"] in ("v1", "apps/v1") for part in parts.values())


def test_selectors_find_their_pods(parts):
    for part in deployments(parts):
        assert part["spec"]["selector"]["matchLabels"] == part["spec"]["template"]["metadata"]["labels"]
    controller = parts["Deployment", "apus-controller"]["spec"]["template"]["metadata"]["labels"]
    assert parts["Service", "apus-controller"]["spec"]["selector"] == controller


def test_volumes_are_those_that_are_mounted(parts):
    for part in deployments(parts):
        pod = part["spec"]["template"]["spec"]
        named = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]} == named
        assert all(volume["secret"]["secretName"] == "apus-connection" for volume in pod["volumes"] if "secret" in volume)
    assert "create secret generic apus-connection" in PAGE


def test_engines_get_the_engines_file_alone(parts):
    pod = parts["Deployment", "apus-engines"]["spec"]["template"]["spec"]
    (volume,) = pod["volumes"]
    assert [item["key"] for item in volume["secret"]["items"]] == ["ipcontroller-engine.json"]


def test_the_location_is_the_services_name(parts):
    (container,) = parts["Deployment", "apus-controller"]["spec"]["template"]["spec"]["containers"]
    assert "--location=apus-controller" in container["args"] and "--reuse" in container["args"]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_are_understood(bin_dir, tmp_path, words):
    assert len(commands()) >= 6
    (tmp_path / "profile/security").mkdir(parents=True)
    given = [word for word in words[1:] if not word.startswith(("--profile-dir", "--file"))]
    done = subprocess.run(
        [str(bin_dir / words[0]), *given, f"--profile-dir={tmp_path / 'profile'}", "--show-config"], capture_output=True, text=True,
        env={**os.environ, "IPYTHONDIR": str(tmp_path)}, timeout=30, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
