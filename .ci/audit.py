"""Asks whether an installed package has a known vulnerability, and whether it was really asked.

    .venv/bin/python .ci/audit.py

`pip-audit` without its online database skips every package and exits with 0. So a package that
is known to be vulnerable is asked for first: if it is not reported, nothing was checked, and
that is said.

Exit codes: 0 checked, nothing found; 1 something found, or a package could not be checked;
3 nothing could be checked here.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

FOUND, NOT_DONE = 1, 3
# CVE-2018-18074, mended in 2.20.0.
CANARY = "requests==2.19.0"
# Vulnerabilities that do not concern us: identifier and reason.
EXCEPTIONS: dict[str, str] = {}
# Not from an index: this project itself.
OWN = ("catgan",)


def main() -> int:
    """Audits the environment of this Python; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(CANARY + "\n")
        canary = audited("-r", str(wanted), "--no-deps", "--disable-pip")
    if not vulnerable(canary):
        print(
            "dependency audit: NOT DONE: its database was not reached (it does not know that "
            f"{CANARY} is vulnerable)"
        )
        return NOT_DONE
    return judged(audited())


def audited(*words: str) -> dict:
    """Runs pip-audit; returns its report, empty if it gave none."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=300)
        return json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return {}


def vulnerable(report: dict) -> list[str]:
    """Returns `name version: id` of each finding that is no exception."""
    return [
        f"{item['name']} {item.get('version', '')}: {found['id']}"
        for item in report.get("dependencies", [])
        for found in item.get("vulns", [])
        if not EXCEPTIONS.keys() & {found["id"], *found.get("aliases", [])}
    ]


def judged(report: dict) -> int:
    """Says what a report of the environment means; returns the exit code."""
    packages = report.get("dependencies", [])
    unknown = [p["name"] for p in packages if p.get("skip_reason") and p["name"] not in OWN]
    bad = vulnerable(report)
    for line in bad:
        print(f"dependency audit: {line}")
    if unknown or not packages:
        print(f"dependency audit: could not be checked: {', '.join(unknown) or 'anything'}")
    if bad or unknown or not packages:
        return FOUND
    print(f"dependency audit: {len(packages)} packages, none with a known vulnerability")
    return 0


if __name__ == "__main__":
    sys.exit(main())
