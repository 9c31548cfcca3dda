"""docs/kubernetes.md: what can be run without a cluster is run as it is written there, and what it shows is what is."""

import base64
import os
import pathlib
import re
import shutil
import tempfile
import textwrap
import unittest

import yaml

from rendered import (
    DEPLOY, ROOT, TOOLS, chart, container, environment, everything, kustomize, objects, of_kind, ours, run,
)

TEXT = (ROOT / "docs/kubernetes.md").read_text()


def blocks(language):
    """The blocks of one language, also those inside of lists."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", TEXT, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in found]


class Docs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        shutil.copytree(DEPLOY, self.folder / "deploy")
        self.production = self.folder / "deploy/kubernetes/overlays/production"

    def shell(self, block):
        path = f"{TOOLS}:{os.environ['PATH']}"
        return run("bash", "-euo", "pipefail", "-c", block, cwd=self.folder, env={"PATH": path, "LC_ALL": "C.UTF-8"})

    def rendered(self):
        return objects(run(TOOLS / "kubectl", "kustomize", self.production))

    def test_the_commands_work_and_the_secret_holds_what_the_pods_ask_for(self):
        printed = [self.shell(block) for block in blocks("sh")]
        (secret,) = objects(printed[0])
        self.assertEqual((secret["kind"], secret["metadata"]["name"]), ("Secret", "spectrum-webhook"))
        asked = {
            value["secretKeyRef"]["key"]
            for found in everything().values() for item in ours(found)
            for value in environment(item, found).values() if isinstance(value, dict)
        }
        self.assertLessEqual(set(secret["data"]), asked)
        required = asked - {
            value["secretKeyRef"]["key"]
            for item in ours(kustomize("production"))
            for value in environment(item, kustomize("production")).values()
            if isinstance(value, dict) and value["secretKeyRef"].get("optional")
        }
        self.assertLessEqual(required, set(secret["data"]))
        self.assertEqual(len(base64.b64decode(secret["data"]["master-key"])), 64)
        kinds = [{item["kind"] for item in found} for found in (objects(printed[1]), kustomize("production"))]
        self.assertEqual(*kinds)
        scalers = of_kind(self.rendered(), "HorizontalPodAutoscaler")
        self.assertEqual(len(scalers), 2, "the last command puts prometheus-adapter in place of KEDA")

    def test_the_secrets_of_the_overlay_dev_fit_the_services_and_are_drawn_anew(self):
        first, second = (self.shell("deploy/kubernetes/overlays/dev/secrets.sh") for _ in range(2))
        services, program = (
            {key: base64.b64decode(value).decode() for key, value in it["data"].items()} for it in objects(first)
        )
        hosts = {item["metadata"]["name"] for item in of_kind(kustomize("dev"), "Service")}
        for key, url in (("rabbitmq", "amqp-url"), ("redis", "redis-url"), ("postgres", "database-url")):
            self.assertIn(f":{services[key]}@spectrum-webhook-{key}:", program[url])
            self.assertIn(f"spectrum-webhook-{key}", hosts)
            self.assertRegex(services[key], "^[0-9a-f]{48}$")
        self.assertEqual(len(program["master-key"]), 64)
        for one, other in zip(objects(first), objects(second), strict=True):
            for key in one["data"]:
                self.assertNotEqual(one["data"][key], other["data"][key], key)

    def test_the_pieces_of_an_overlay_work(self):
        patches, replicas, values = (yaml.safe_load(block) for block in blocks("yaml"))
        file = self.production / "kustomization.yaml"
        overlay = yaml.safe_load(file.read_text())
        overlay["patches"] += patches["patches"]
        overlay["components"] = [it for it in overlay["components"] if "scale-dispatcher" not in it]
        overlay["replicas"] = replicas["replicas"]
        file.write_text(yaml.safe_dump(overlay))
        found = self.rendered()
        for item in of_kind(ours(found), "Deployment"):
            variables = environment(item, found)
            (mount,) = container(item)["volumeMounts"]
            self.assertTrue(variables["SPECTRUM_SERVICES_CA_FILE"].startswith(mount["mountPath"] + "/"))
            self.assertIn("secretKeyRef", variables["SPECTRUM_OTLP_HEADERS"])
            if container(item)["args"] == ["dispatcher"]:
                self.assertEqual(item["spec"]["replicas"], 6)
        self.assertEqual(
            {it["kind"] for it in chart(**values)},
            {it["kind"] for it in kustomize("production")} - {"Namespace", "ConfigMap", "PrometheusRule"},
        )

    def test_what_is_said_of_scaling_is_so(self):
        (scaled,) = of_kind(kustomize("production"), "ScaledObject")
        (ingest,) = of_kind(kustomize("production"), "HorizontalPodAutoscaler")
        few, most = scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]
        self.assertIn(f"{few} to {most}, the largest of three", TEXT)
        self.assertIn(f"{ingest['spec']['minReplicas']} to {ingest['spec']['maxReplicas']}, at 70 %", TEXT)
        triggers = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]
        aims = [trigger.get("threshold", trigger.get("value")) for trigger in triggers]
        for aim, unit in zip(aims, ("s", "s", "%"), strict=True):
            self.assertIn(f"| {aim} {unit} |", TEXT)
        all_in_all = most + ingest["spec"]["maxReplicas"]
        self.assertIn(f"{all_in_all} processes want {all_in_all * 16}", TEXT)


if __name__ == "__main__":
    unittest.main()
