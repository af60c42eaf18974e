"""deploy/Dockerfile, built and started, on a machine that has a container engine and can get the base image."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from demo.servers import free_port
from settings import ROOT
from tests.support.deploy_files import compose, instructions
from tests.support.prefect_server import running_prefect_server
from tests.support.waiting import until

pytestmark = pytest.mark.acceptance

IMAGE = "laurel:tested"
FILLED = dict.fromkeys(
    ("POSTGRES_PASSWORD", "PASSWORD_OF_LAUREL", "PASSWORD_OF_PREFECT", "API_LOGIN", "ENCRYPTION_KEY"), "unused"
)
SERVICES = compose(FILLED)["services"]
# As compose.yaml starts each of them; the network is this machine's, where the tests' Prefect server is.
CONFINED = ["--init", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"]


def engine_with_base_image() -> str | None:
    (base,) = dict(instructions())["FROM"]
    for engine in filter(shutil.which, ("docker", "podman")):
        for command in (["image", "inspect", base], ["pull", "--quiet", base]):
            done = subprocess.run([engine, *command], capture_output=True, check=False, timeout=300)
            if done.returncode == 0:
                return engine
    return None


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """The container engine, with the image built."""
    found = engine_with_base_image()
    if found is None:
        pytest.skip("the image is not built: no docker or podman runs here that has the base image or can pull it")
    dockerfile = ROOT / "deploy" / "Dockerfile"
    subprocess.run([found, "build", "--file", dockerfile, "--tag", IMAGE, ROOT], check=True, timeout=900)
    yield found
    subprocess.run([found, "image", "rm", "--force", IMAGE], check=False, timeout=60)


def container(engine: str, service: str, api: str, *command: str) -> list[str]:
    here = {"PREFECT_API_URL": api, "LAUREL_DATABASE_URL": "sqlite:////tmp/laurel.db"}
    own = SERVICES[service]["environment"] | here | {"PREFECT_WORKER_WEBSERVER_PORT": str(free_port())}
    environment = [f"--env={name}={value}" for name, value in own.items() if name != "PREFECT_API_AUTH_STRING"]
    words = [*command] or [str(word) for word in SERVICES[service]["command"]]
    return [engine, "run", "--rm", "--network=host", *CONFINED, *environment, IMAGE, *words]


def test_the_image_sets_laurel_up_and_works_without_what_develops(engine: str, tmp_path: Path) -> None:
    with running_prefect_server(tmp_path / "server") as api, httpx.Client(base_url=api, timeout=30) as client:
        looked = "import os, importlib.util as u; print(os.getuid(), u.find_spec('pytest'), os.access('.', os.W_OK))"
        seen = subprocess.run(
            container(engine, "setup", api, "python", "-c", looked), capture_output=True, text=True, check=True
        )
        assert seen.stdout.split() == ["10001", "None", "False"]

        done = subprocess.run(container(engine, "setup", api), capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Laurel is set up." in done.stdout

        with (tmp_path / "worker.log").open("wb") as log:
            process = subprocess.Popen(container(engine, "worker", api), stdout=log, stderr=log)
        try:
            until(lambda: online(client), what="the worker has reported to Prefect's server", within=120)
        finally:
            process.terminate()
            process.wait(timeout=90)


def online(client: httpx.Client) -> bool:
    workers = client.post("/work_pools/badges/workers/filter", json={})
    return workers.is_success and any(each["status"] == "ONLINE" for each in workers.json())


def test_compose_itself_reads_the_file(tmp_path: Path) -> None:
    compose_of = [shutil.which("docker") or "docker", "compose"]
    if not shutil.which("docker") or subprocess.run([*compose_of, "version"], capture_output=True).returncode:
        pytest.skip("compose.yaml is not read by Compose: there is no docker with its plug-in compose here")
    variables = tmp_path / ".env"
    variables.write_text("".join(f"{name}={value}\n" for name, value in FILLED.items()))
    file = ROOT / "deploy" / "compose.yaml"

    done = subprocess.run(
        [*compose_of, "--env-file", variables, "--file", file, "config", "--quiet"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
