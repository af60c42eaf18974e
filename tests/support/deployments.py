"""The flows of prefect.yaml, by the names of their deployments."""

from importlib import import_module
from typing import Any

import yaml
from prefect import Flow

from settings import ROOT

DEPLOYMENTS = {each["name"]: each for each in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]}


def flow_of(deployment: str) -> Flow[..., Any]:
    """Return the flow that a deployment runs."""
    path, _, name = DEPLOYMENTS[deployment]["entrypoint"].partition(":")
    found = getattr(import_module(path.removesuffix(".py").replace("/", ".")), name)
    assert isinstance(found, Flow)
    return found
