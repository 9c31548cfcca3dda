"""What kustomize and Helm make of the manifests, and what is read out of them."""

import contextlib
import copy
import functools
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import yaml
from helm_python.chart import Chart

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
TOOLS = pathlib.Path(sys.executable).parent
PROGRAM = os.environ.get("WEBHOOK_BINARY") or sys.exit("WEBHOOK_BINARY has to name the program: `make manifests`")
RELEASE = "spectrum-webhook"

# Values by which the chart makes what the overlay `production` makes.
PRODUCTION = {
    "image": {"repository": "registry.example.com/spectrum-webhook", "tag": "0.1.0"},
    "settings": {"SPECTRUM_DATABASE_CONNECTIONS": "16"},
    "zones": "DoNotSchedule",
    "ingest": {"autoscaling": {"enabled": True}},
    "dispatcher": {"autoscaling": {"by": "keda"}},
    "podMonitor": {"enabled": True},
    "networkPolicy": {
        "services": [
            {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"protocol": "TCP", "port": port}]}
            for port in (5432, 5671, 6379)
        ]
    },
}


def run(*command, **more):
    """Runs a program and returns what it printed; what it complained about is in the error."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, **more)
    if done.returncode != 0:
        raise AssertionError(f"{command[0]} ended with {done.returncode}:\n{done.stderr}{done.stdout}")
    return done.stdout


@contextlib.contextmanager
def serving(data, command=lambda *arguments: [PROGRAM, *arguments]):
    """A server with its data in that folder, from when it is ready: the process, and where its metrics are."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ops = f"127.0.0.1:{free.getsockname()[1]}"
    settings = {"SPECTRUM_OPS_LISTEN": ops, "SPECTRUM_API_LISTEN": "127.0.0.1:0", "SPECTRUM_DATA_DIR": str(data)}
    environment = {"PATH": os.environ["PATH"], **settings}
    server = subprocess.Popen(command("serve"), env=environment, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while True:
            asked = subprocess.run(command("health"), env=environment, capture_output=True, text=True, timeout=30)
            if asked.returncode == 0:
                break
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no server that is ready: {asked.stderr}")
        yield server, ops
    finally:
        server.terminate()
        _, log = server.communicate(timeout=60)
    if server.returncode != 0:
        raise AssertionError(f"it ended with {server.returncode}:\n{log.decode()}")


def objects(text):
    """The objects of a stream of YAML."""
    return [item for item in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if item]


@functools.cache
def kustomize_text(folder):
    return run(TOOLS / "kubectl", "kustomize", folder)


def kustomize(overlay):
    """The objects of an overlay."""
    return objects(kustomize_text(DEPLOY / "kubernetes/overlays" / overlay))


@functools.cache
def adapter_text():
    """The overlay `production` with prometheus-adapter in place of KEDA, as docs/kubernetes.md says it is made."""
    with tempfile.TemporaryDirectory() as folder:
        copied = pathlib.Path(folder) / "deploy"
        shutil.copytree(DEPLOY, copied)
        file = copied / "kubernetes/overlays/production/kustomization.yaml"
        file.write_text(file.read_text().replace("scale-dispatcher-keda", "scale-dispatcher-adapter"))
        return run(TOOLS / "kubectl", "kustomize", file.parent)


@functools.cache
def loaded_chart():
    return Chart.load(DEPLOY / "helm/spectrum-webhook")


def chart(**values):
    """The objects of the chart, as a new release, with these values over the defaults."""
    loaded_chart().validate_schema(values)
    files = loaded_chart().render(values, name=RELEASE, namespace=RELEASE, is_install=True)
    return [item for file, text in files.items() if file.endswith(".yaml") for item in objects(text)]


@functools.cache
def _everything():
    return {
        "dev": kustomize("dev"),
        "production": kustomize("production"),
        "production with prometheus-adapter": objects(adapter_text()),
        "chart": chart(),
        "chart, production": chart(**PRODUCTION),
        "chart with prometheus-adapter": chart(dispatcher={"autoscaling": {"by": "adapter"}}),
        "chart without much": chart(migrate={"enabled": False}, networkPolicy={"enabled": False}),
        "chart with more": chart(
            image={"digest": "sha256:" + "0" * 64, "pullSecrets": [{"name": "registry"}]},
            extraEnv=[{"name": "SPECTRUM_LOG", "value": "warn"}],
            extraVolumes=[{"name": "authority", "configMap": {"name": "authority"}}],
            extraVolumeMounts=[{"name": "authority", "mountPath": "/etc/authority", "readOnly": True}],
            podLabels={"team": "messages"},
            podAnnotations={"note": "x"},
            nodeSelector={"kubernetes.io/os": "linux"},
            tolerations=[{"key": "webhooks", "operator": "Exists"}],
            priorityClassName="high",
            ingest={"service": {"type": "LoadBalancer", "annotations": {"a": "b"}}},
            settings={"SPECTRUM_GRACE": "120s", "SPECTRUM_API_LISTEN": "[::]:8000"},
            podMonitor={"enabled": True, "labels": {"release": "prometheus"}},
        ),
    }


def everything():
    """All objects that are looked at, by where they come from."""
    return copy.deepcopy(_everything())


def of_kind(found, *kinds):
    return [item for item in found if item["kind"] in kinds]


def workloads(found):
    """What makes pods."""
    return of_kind(found, "Deployment", "StatefulSet", "Job")


def template(workload):
    return workload["spec"]["template"]


def container(workload):
    """The one container of its pods."""
    (only,) = template(workload)["spec"]["containers"]
    return only


def ours(found):
    """What runs the program itself."""
    return [item for item in workloads(found) if "spectrum-webhook" in container(item)["image"]]


def name(item):
    return f"{item['kind']} {item['metadata']['name']}"


def environment(workload, found):
    """The variables of its container: a value, or a reference to a secret."""
    settings = {item["metadata"]["name"]: item["data"] for item in of_kind(found, "ConfigMap")}
    variables = {}
    for source in container(workload).get("envFrom", []):
        variables.update(settings[source["configMapRef"]["name"]])
    for entry in container(workload).get("env", []):
        variables[entry["name"]] = entry["value"] if "value" in entry else entry["valueFrom"]
    return variables


def selects(selector, labels):
    """Whether a label selector selects these labels; an empty one selects all."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions", []):
        inside = labels.get(rule["key"]) in rule.get("values", [])
        if {"In": not inside, "NotIn": inside}[rule["operator"]]:
            return False
    return True


def port_of(setting):
    """The port of a listener's address."""
    return int(re.search(r"\d+$", setting).group())
