"""The settings in the manifests, by the program's own judgement."""

import functools
import re
import subprocess
import tempfile
import unittest
import urllib.request

import yaml

from rendered import (
    DEPLOY, PROGRAM, ROOT, container, environment, everything, name, of_kind, ours, serving, template,
)

# What is in the secret, made up.
SECRETS = {
    "database-url": "postgres://user:password@postgres.example.com/webhooks?sslmode=verify-full",
    "amqp-url": "amqps://user:password@rabbitmq.example.com/webhooks",
    "redis-url": "rediss://:password@redis.example.com",
    "master-key": "ab" * 32,
    "master-key-others": "cd" * 32,
    "operator-token": "operator-token-of-more-than-32-characters",
}
CLUSTER = {"SPECTRUM_DATABASE_URL", "SPECTRUM_AMQP_URL", "SPECTRUM_REDIS_URL", "SPECTRUM_MASTER_KEY"}


@functools.cache
def _checked(variables):
    done = subprocess.run([PROGRAM, "check-config"], env=dict(variables), capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def checked(variables):
    """What `check-config` says of these variables: its exit code, what is in effect, what is wrong."""
    code, printed, complaint = _checked(frozenset(variables.items()))
    lines = (line.split("  # by ")[0].partition("=") for line in printed.splitlines())
    return code, {key: value for key, _, value in lines}, complaint


def resolved(variables):
    """The variables with what the secret holds; a key that is not known is a mistake."""
    return {
        key: SECRETS[value["secretKeyRef"]["key"]] if isinstance(value, dict) else value
        for key, value in variables.items()
    }


def seconds(text):
    """A duration in seconds."""
    unit = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    return sum(int(number) * unit[it] for number, it in re.findall(r"(\d+)(ms|s|m|h)", text))


def closing():
    """What the program may take beyond its grace, in seconds: its source says so."""
    source = (ROOT / "crates/spectrum-webhook/src/commands/serve.rs").read_text()
    return int(re.search(r"const CLOSING: Duration = Duration::from_secs\((\d+)\)", source).group(1))


class Settings(unittest.TestCase):
    def each(self):
        for source, found in everything().items():
            for item in ours(found):
                with self.subTest(f"{source}: {name(item)}"):
                    yield item, found

    def test_the_program_knows_every_setting_and_lacks_none(self):
        for item, found in self.each():
            variables = environment(item, found)
            self.assertLessEqual(CLUSTER, set(variables))
            for secret in CLUSTER:
                self.assertIn("secretKeyRef", variables[secret], f"{secret} stands in the clear")
                self.assertFalse(variables[secret]["secretKeyRef"].get("optional"))
            self.assertTrue(variables["SPECTRUM_MASTER_KEY_OTHERS"]["secretKeyRef"]["optional"], "mostly there is none")
            code, _, complaint = checked(resolved(variables))
            self.assertEqual(code, 0, complaint)

    def test_a_setting_that_is_misspelt_or_missing_is_noticed(self):
        variables = {key: SECRETS[key.removeprefix("SPECTRUM_").lower().replace("_", "-")] for key in CLUSTER}
        self.assertEqual(checked(variables)[0], 0)
        for wrong in ({**variables, "SPECTRUM_GRACES": "30s"}, {k: v for k, v in variables.items() if "AMQP" not in k}):
            self.assertEqual(checked(wrong)[0], 2)

    def test_a_pod_may_take_longer_to_end_than_the_program_takes(self):
        for item, found in self.each():
            if item["kind"] == "Deployment":
                _, settings, _ = checked(resolved(environment(item, found)))
                sleep = container(item).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
                needed = sleep + seconds(settings["SPECTRUM_GRACE"]) + closing()
                self.assertGreater(template(item)["spec"]["terminationGracePeriodSeconds"], needed)

    def test_there_are_never_more_dispatchers_than_partitions(self):
        for item, found in self.each():
            if container(item)["args"] == ["dispatcher"]:
                _, settings, _ = checked(resolved(environment(item, found)))
                most = [item["spec"].get("replicas", 0)] + [
                    scaler["spec"].get("maxReplicas", scaler["spec"].get("maxReplicaCount"))
                    for scaler in of_kind(found, "HorizontalPodAutoscaler", "ScaledObject")
                    if scaler["spec"]["scaleTargetRef"]["name"] == item["metadata"]["name"]
                ]
                self.assertTrue(0 < max(most) <= int(settings["SPECTRUM_PARTITIONS"]), most)
                self.assertEqual("replicas" in item["spec"], len(most) == 1, "an autoscaler says how many")

    def test_memory_has_room_for_the_budget_of_events(self):
        for item, found in self.each():
            if item["kind"] == "Deployment":
                _, settings, _ = checked(resolved(environment(item, found)))
                budget = int(settings["SPECTRUM_MEMORY_BUDGET"].removesuffix("MiB"))
                limit = int(container(item)["resources"]["limits"]["memory"].removesuffix("Mi"))
                self.assertGreaterEqual(limit, 2 * budget)

    def test_every_metric_that_scales_is_one_that_the_program_has(self):
        files = list((DEPLOY / "kubernetes").rglob("*.yaml")) + list((DEPLOY / "helm").rglob("dispatcher.yaml"))
        asked = set(re.findall(r"(spectrum_webhook_\w+)\{", "".join(file.read_text() for file in files)))
        self.assertTrue(asked)
        with tempfile.TemporaryDirectory() as folder, serving(folder) as (_, ops):
            with urllib.request.urlopen(f"http://{ops}/metrics", timeout=30) as answer:
                metrics = answer.read().decode()
        for metric in asked:
            self.assertRegex(metrics, rf"(?m)^{metric}\b")

    def test_the_operator_token_is_the_api_s_alone(self):
        for item, found in self.each():
            has = "SPECTRUM_OPERATOR_TOKEN" in environment(item, found)
            self.assertEqual(has, container(item)["args"] == ["ingest"])


class Compose(unittest.TestCase):
    @staticmethod
    def services():
        text = (DEPLOY / "compose.yaml").read_text()
        # What compose puts in place of the variables, when none is set but the master key.
        text = text.replace("${SPECTRUM_MASTER_KEY:-}", SECRETS["master-key"])
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
        assert "${" not in text, text
        return yaml.safe_load(text)["services"]

    def test_without_a_profile_there_are_the_services_of_a_cluster(self):
        services = self.services()
        self.assertEqual({it for it in services if "profiles" not in services[it]}, {"rabbitmq", "redis", "postgres"})
        self.assertEqual(
            {it for it in services if services[it].get("profiles") == ["all"]}, {"migrate", "ingest", "dispatcher"}
        )

    def test_the_program_knows_its_settings(self):
        for service, it in self.services().items():
            if "profiles" in it:
                with self.subTest(service):
                    # What stands in place of a variable is a text for compose, and was read as YAML here.
                    text = lambda value: str(value).lower() if isinstance(value, bool) else str(value or "")
                    variables = {key: text(value) for key, value in it["environment"].items()}
                    code, _, complaint = checked(variables)
                    self.assertEqual(code, 0, complaint)
                    self.assertEqual(CLUSTER <= set(variables), service != "embedded")
                    self.assertGreater(seconds(it["stop_grace_period"]), 30 + closing())
                    self.assertTrue(it["read_only"] and it["cap_drop"] == ["ALL"])

    def test_what_runs_on_has_a_healthcheck_and_what_it_waits_for_is_there(self):
        services = self.services()
        for service, it in services.items():
            with self.subTest(service):
                if service != "migrate":
                    self.assertTrue(it["healthcheck"]["test"])
                self.assertLessEqual(set(it.get("depends_on", {})), set(services))


if __name__ == "__main__":
    unittest.main()
