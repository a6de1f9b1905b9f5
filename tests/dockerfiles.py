"""A small linter of Dockerfiles, in place of hadolint, which is no package of pip: the rules are named as there."""

from __future__ import annotations

import json
import re
from pathlib import Path


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with what follows them, comments out and continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def faults(text: str, context: Path) -> list[str]:
    """What is wrong with a Dockerfile that is built in the folder `context`; a line each, none where it is well."""
    found: list[str] = []
    user = "root"
    for word, rest in instructions(text):
        if word == "FROM" and not re.search(
            r"(:[\w.-]*\d[\w.-]*|@sha256:[0-9a-f]{64})$", rest.split(" AS ")[0]
        ):
            found.append(f"DL3006/DL3007 the base {rest} has no version")
        if word == "FROM":
            user = "root"
        if word == "USER":
            user = rest
        if word == "WORKDIR" and not rest.startswith("/"):
            found.append(f"DL3000 WORKDIR {rest} is not absolute")
        if word == "ADD":
            found.append(f"DL3020 ADD {rest}: use COPY")
        if word == "COPY" and "--from" not in rest:
            missing = [name for name in rest.split()[:-1] if not (context / name).exists()]
            found += [f"COPY {name}: no such file" for name in missing]
        if word in ("ENTRYPOINT", "CMD") and not is_exec_form(rest):
            found.append(f"DL3025 {word} {rest} is not in the JSON form")
        if word == "RUN":
            found += faults_of_run(rest)
    if user in ("root", "0"):
        found.append("DL3002 the last user is root")
    return found


def is_exec_form(rest: str) -> bool:
    try:
        return isinstance(json.loads(rest), list)
    except ValueError:
        return False


def faults_of_run(line: str) -> list[str]:
    rules = (
        ("DL3004 sudo", "sudo " in line),
        ("DL3009 apt's lists stay", "apt-get update" in line and "rm -rf /var/lib/apt/lists/*" not in line),
        (
            "DL3015 --no-install-recommends",
            "apt-get install" in line and "--no-install-recommends" not in line,
        ),
        ("DL3014 --yes", "apt-get install" in line and not re.search(r"install (-y|--yes)", line)),
        ("apt-get update alone", ("apt-get update" in line) != ("apt-get install" in line)),
        ("DL3042 --no-cache-dir", "pip install" in line and "--no-cache-dir" not in line),
        ("DL4006/curl into a shell", bool(re.search(r"(curl|wget)[^|]*\|\s*(ba)?sh", line))),
    )
    return [f"{rule}: RUN {line}" for rule, broken in rules if broken]
