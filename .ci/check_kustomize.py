"""Check that every kustomization finds what it names, and that no manifest is left out.

Kustomize itself is one binary outside the package registries; this is the part of `kustomize build` that
breaks when a file is moved. Usage: python .ci/check_kustomize.py k8s
"""

import sys
from pathlib import Path
from typing import Any

import yaml

NAME = "kustomization.yaml"


def _paths(kustomization: dict[str, Any]) -> list[str]:
    """The files and directories that a kustomization names."""
    entries = [*kustomization.get("resources", []), *kustomization.get("components", [])]
    for patch in kustomization.get("patches", []):
        entries += [patch["path"]] if "path" in patch else []
    return entries


def check(root: Path) -> list[str]:
    """The faults found below `root`, one sentence each."""
    faults, used = [], set()
    for file in sorted(root.rglob(NAME)):
        for name in _paths(yaml.safe_load(file.read_text(encoding="utf-8"))):
            target = (file.parent / name).resolve()
            used.add(target)
            if not target.is_file() and not (target / NAME).is_file():
                faults.append(f"{file} names {name}, which is neither a file nor a directory with a {NAME}")
    faults += [
        f"{file} is named by no {NAME}"
        for file in sorted(root.rglob("*.yaml"))
        if file.name != NAME and file.resolve() not in used
    ]
    return faults


if __name__ == "__main__":
    found = check(Path(sys.argv[1]))
    if found:
        sys.exit("\n".join(found))
