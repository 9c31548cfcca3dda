"""The objects of the overlays and of the chart: valid, of one piece, and with no more rights than they need."""

import copy
import functools
import json
import pathlib
import re
import unittest
from ipaddress import ip_address, ip_network

import jsonschema
import kubernetes_validate
from helm_python.chart import lint

from rendered import (
    DEPLOY, PRODUCTION, ROOT, chart, container, environment, everything, kustomize, name, of_kind, ours, port_of,
    selects, template, workloads,
)

# The oldest that the chart allows, and the newest that there are schemas for.
OLDEST = "1.30"
SCHEMAS = pathlib.Path(__file__).parent / "schemas"


# It reads the schemas anew for each object.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


def pods(found):
    """The labels of the pods of each workload, by its name."""
    return {name(item): template(item)["metadata"]["labels"] for item in workloads(found)}


@functools.cache
def schema(kind):
    return json.loads((SCHEMAS / f"{kind.lower()}.json").read_text())


def refused_by_the_guard():
    """The networks that the program's own guard refuses, as its source has them."""
    source = (ROOT / "crates/core/src/address.rs").read_text()
    four = re.findall(r"\(v4\((\d+), (\d+), (\d+), (\d+), (\d+)\), Refused", source)
    six = re.findall(r"\(v6\((\w+), (\w+), (\w+), (\d+)\), Refused", source)
    networks = [ip_network(f"{a}.{b}.{c}.{d}/{length}") for a, b, c, d, length in four]
    networks += [ip_network(f"{int(a, 0):x}:{int(b, 0):x}:{int(c, 0):x}::/{length}") for a, b, c, length in six]
    assert len(networks) > 35, networks
    return networks


def may_reach(found, labels, address, port):
    """Whether policies let a pod with these labels make a TCP connection to an address outside of the cluster."""
    address = ip_address(address)
    policies = [
        item["spec"] for item in of_kind(found, "NetworkPolicy")
        if "Egress" in item["spec"]["policyTypes"] and selects(item["spec"]["podSelector"], labels)
    ]
    if not policies:
        return True
    for rule in (rule for policy in policies for rule in policy.get("egress", [])):
        blocks = [to["ipBlock"] for to in rule.get("to", []) if "ipBlock" in to]
        there = any(
            address in ip_network(block["cidr"])
            and not any(address in ip_network(hole) for hole in block.get("except", []))
            for block in blocks if ip_network(block["cidr"]).version == address.version
        )
        ports = [it for it in rule.get("ports", []) if it["protocol"] == "TCP" and isinstance(it["port"], int)]
        if there and any(it["port"] <= port <= it.get("endPort", it["port"]) for it in ports):
            return True
    return False


class Objects(unittest.TestCase):
    maxDiff = None

    def each(self):
        for source, found in everything().items():
            with self.subTest(source):
                yield source, found

    def test_all_are_valid_for_the_oldest_and_the_newest_kubernetes(self):
        for _, found in self.each():
            for item in found:
                if "." in item["apiVersion"].split("/")[0] and not item["apiVersion"].split("/")[0].endswith(".k8s.io"):
                    jsonschema.validate(item, schema(item["kind"]))
                else:
                    for version in (OLDEST, kubernetes_validate.latest_version()):
                        kubernetes_validate.validate(item, version, strict=True)
            again = [(item["kind"], item["metadata"]["name"]) for item in found]
            self.assertEqual(len(again), len(set(again)), "two objects have one name")

    def test_what_is_misspelt_is_noticed(self):
        dispatcher = next(item for item in ours(kustomize("dev")) if item["metadata"]["name"].endswith("dispatcher"))
        template(dispatcher)["spec"]["terminationGracePeriod"] = 60
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(dispatcher, OLDEST, strict=True)
        for scaled in of_kind(kustomize("production"), "ScaledObject"):
            scaled["spec"]["maxReplicas"] = 3
            with self.assertRaises(jsonschema.ValidationError):
                jsonschema.validate(scaled, schema("ScaledObject"))

    def test_selectors_find_the_pods_that_they_are_meant_for(self):
        for _, found in self.each():
            there = pods(found)
            for item in of_kind(found, "Deployment", "StatefulSet", "PodDisruptionBudget", "Service"):
                selector = item["spec"]["selector"]
                selector = selector if item["kind"] != "Service" else {"matchLabels": selector}
                chosen = [workload for workload, labels in there.items() if selects(selector, labels)]
                expected = item["metadata"]["name"]
                self.assertEqual([it.split()[1] for it in chosen], [expected], name(item))
            for item in of_kind(found, "NetworkPolicy", "PodMonitor"):
                selector = item["spec"].get("podSelector", item["spec"].get("selector"))
                self.assertTrue(any(selects(selector, labels) for labels in there.values()), name(item))
            for item in of_kind(found, "Deployment"):
                labels = template(item)["metadata"]["labels"]
                for spread in template(item)["spec"]["topologySpreadConstraints"]:
                    chosen = [it for it, other in there.items() if selects(spread["labelSelector"], other)]
                    self.assertEqual(chosen, [name(item)])
                self.assertTrue(selects(item["spec"]["selector"], labels))

    def test_ports_are_those_that_the_program_listens_on_and_every_name_of_one_is_there(self):
        for _, found in self.each():
            for item in ours(found):
                variables = environment(item, found)
                ports = {port["name"]: port["containerPort"] for port in container(item).get("ports", [])}
                expected = {"ingest": {"api", "ops"}, "dispatcher": {"ops"}, "migrate": set()}
                self.assertEqual(set(ports), expected[container(item)["args"][0]], name(item))
                for port in ports:
                    self.assertEqual(ports[port], port_of(variables[f"SPECTRUM_{port.upper()}_LISTEN"]))
                    self.assertNotIn("127.0.0.1", variables[f"SPECTRUM_{port.upper()}_LISTEN"], "for the pod alone")
            named = {
                workload: {port["name"] for port in container(item).get("ports", [])}
                for workload, item in ((name(item), item) for item in workloads(found))
            }
            for item in of_kind(found, "Service", "PodMonitor", "NetworkPolicy"):
                spec = item["spec"]
                selector = spec.get("podSelector", spec.get("selector"))
                selector = selector if item["kind"] != "Service" else {"matchLabels": selector}
                asked = {port.get("targetPort") for port in spec.get("ports", [])}
                asked |= {endpoint["port"] for endpoint in spec.get("podMetricsEndpoints", [])}
                asked |= {port["port"] for rule in spec.get("ingress", []) for port in rule["ports"]}
                for workload, labels in pods(found).items():
                    if selects(selector, labels):
                        self.assertLessEqual(asked, named[workload], f"{name(item)} at {workload}")
                for rule in spec.get("egress", []):
                    for to in (to for to in rule["to"] if set(to) == {"podSelector"}):
                        for port in rule["ports"]:
                            reached = [it for it, labels in pods(found).items() if selects(to["podSelector"], labels)]
                            self.assertTrue(reached and all(port["port"] in named[it] for it in reached), name(item))

    def test_probes_mean_what_they_say(self):
        for _, found in self.each():
            for item in of_kind(ours(found), "Deployment"):
                probes = [container(item)[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
                self.assertEqual({probe["port"] for probe in probes}, {"ops"})
                self.assertEqual([probe["path"] for probe in probes], ["/healthz", "/healthz", "/readyz"], name(item))

    def test_pods_have_no_rights(self):
        for _, found in self.each():
            for item in workloads(found):
                pod, program = template(item)["spec"], container(item)
                self.assertIs(pod["automountServiceAccountToken"], False, name(item))
                self.assertTrue(pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0)
                self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                self.assertIs(program["securityContext"]["allowPrivilegeEscalation"], False)
                self.assertEqual(program["securityContext"]["capabilities"], {"drop": ["ALL"]})
                self.assertFalse({"hostNetwork", "hostPID", "hostIPC"} & set(pod), name(item))
                self.assertTrue(program["resources"]["requests"] and program["resources"]["limits"]["memory"])
                if item in ours(found):
                    self.assertEqual(pod["securityContext"]["runAsUser"], 65532)
                    self.assertIs(program["securityContext"]["readOnlyRootFilesystem"], True)
            self.assertFalse(of_kind(found, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"))

    def test_no_secret_stands_in_the_clear(self):
        for _, found in self.each():
            self.assertFalse(of_kind(found, "Secret"))
            text = json.dumps(found)
            self.assertIsNone(re.search(r"://[^/\"\s]*:[^/\"\s@]+@", text), "a URL with a password")
            self.assertIsNone(re.search(r"\b[0-9a-f]{64}\b", text.replace("sha256:" + "0" * 64, "")), "a key")

    def test_a_dispatcher_reaches_the_internet_and_nothing_that_the_guard_refuses(self):
        for source, found in self.each():
            if not of_kind(found, "NetworkPolicy"):
                continue
            labels = {it.split("-")[-1]: labels for it, labels in pods(found).items()}
            for public in ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"):
                self.assertTrue(may_reach(found, labels["dispatcher"], public, 443), public)
                self.assertFalse(may_reach(found, labels["ingest"], public, 443), f"an ingest reaches {public}")
                self.assertFalse(may_reach(found, labels["migrate"], public, 443), f"a migration reaches {public}")
            for network in refused_by_the_guard():
                for address in (network[0], network[-1]):
                    for port in (80, 443, 9090):
                        there = may_reach(found, labels["dispatcher"], str(address), port)
                        self.assertFalse(there, f"{address}:{port}")

    def test_all_pods_are_shut_off_but_for_what_is_named(self):
        for _, found in self.each():
            policies = of_kind(found, "NetworkPolicy")
            if policies:
                denying = next(it["spec"] for it in policies if it["metadata"]["name"].endswith("default-deny"))
                self.assertEqual(sorted(denying["policyTypes"]), ["Egress", "Ingress"])
                self.assertFalse("ingress" in denying or "egress" in denying)
                for workload, labels in pods(found).items():
                    self.assertTrue(selects(denying["podSelector"], labels), workload)
                    self.assertFalse(may_reach(found, labels, "10.96.0.1", 443), f"{workload}: the Kubernetes API")


class TheChart(unittest.TestCase):
    maxDiff = None

    def test_it_makes_the_same_objects_as_the_overlay(self):
        def comparable(found):
            """Without what names the release, and where a setting stands; no namespace, which Helm makes."""
            found = copy.deepcopy(found)
            for item in ours(found):
                variables = environment(item, found)
                # The migration of the chart goes before the settings of the release are there.
                container(item)["env"] = variables
                container(item).pop("envFrom", None)
                container(item).pop("imagePullPolicy", None)
            kept = {}
            for item in found:
                if item["kind"] in ("Namespace", "ConfigMap", "PrometheusRule"):
                    continue
                item["metadata"].pop("namespace", None)
                item["metadata"].pop("annotations", None)
                kept[name(item)] = plain(item)
            return kept

        def plain(value):
            own = {"helm.sh/chart", *(f"app.kubernetes.io/{it}" for it in ("instance", "version", "managed-by"))}
            if isinstance(value, dict):
                return {key: plain(inner) for key, inner in value.items() if key not in own}
            if isinstance(value, list):
                # Triggers, metrics and such have no order; that of arguments is the same anyway.
                return sorted((plain(inner) for inner in value), key=lambda it: json.dumps(it, sort_keys=True))
            return value

        expected, found = comparable(kustomize("production")), comparable(chart(**PRODUCTION))
        self.assertEqual(sorted(expected), sorted(found))
        for one in expected:
            self.assertEqual(expected[one], found[one], one)

    def test_the_linter_has_nothing_to_say(self):
        told = lint(DEPLOY / "helm/spectrum-webhook", PRODUCTION, strict=True)
        # Below 2 is information.
        self.assertEqual([it for it in told["messages"] if it["severity"] > 1], [])

    def test_a_change_of_settings_restarts_the_processes(self):
        before, after = chart(), chart(settings={"SPECTRUM_LOG": "debug"})
        old, new = ([template(it) for it in of_kind(found, "Deployment")] for found in (before, after))
        self.assertTrue(all(one != other for one, other in zip(old, new, strict=True)))

    def test_values_that_cannot_be_are_refused_with_what_to_do(self):
        for values, said in (
            ({"settings": {"SPECTRUM_MASTER_KEY": "x"}}, "SPECTRUM_MASTER_KEY"),
            ({"settings": {"SPECTRUM_MASTER_KEY_OTHERS": "x"}}, "SPECTRUM_MASTER_KEY_OTHERS"),
            ({"ingres": {}}, "ingres"),
            ({"dispatcher": {"autoscaling": {"by": "magic"}}}, "by"),
            ({"dispatcher": {"replicas": 65}}, "65 dispatchers and 64 partitions"),
            ({"dispatcher": {"autoscaling": {"by": "keda", "max": 100}}}, "100 dispatchers and 64 partitions"),
            ({"settings": {"SPECTRUM_GRACE": "1m"}}, "whole seconds, like 30s"),
        ):
            with self.subTest(str(values)), self.assertRaisesRegex(Exception, re.escape(said)):
                chart(**values)


if __name__ == "__main__":
    unittest.main()
