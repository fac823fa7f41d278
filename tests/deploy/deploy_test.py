#!/usr/bin/env python3
"""The files of deploy/ by the programs that read them: systemd, nginx, HAProxy, Prometheus; and against the server that they are about.

usage: deploy_test.py [PROGRAM] [unittest arguments]
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

import replicas as r

DEPLOY = r.DEPLOY
BASE_PACKAGES = {"libc6", "libstdc++6", "libgcc-s1"}  # of debian:12-slim, or needed by those named


def command_of(name, package):
    """Its path, or nothing after saying so."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        r.not_run(name, package)
    return found


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, **options)
    return done.returncode, done.stdout


class Files(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(self.temporary.name)

    def test_systemd_unit(self):
        text = (DEPLOY / "systemd/infernum.service").read_text()
        timeout = int(re.search(r"--shutdown-timeout (\d+)", text)[1])
        self.assertEqual(int(re.search(r"^TimeoutStopSec=(\d+)", text, re.MULTILINE)[1]), timeout + 15)
        analyze = command_of("systemd-analyze", "systemd")
        if not analyze:
            return
        unit = self.folder / "infernum.service"
        unit.write_text(text.replace("/usr/local/bin/infernum", "/bin/true"))
        code, said = run(analyze, "verify", "--man=no", unit)
        self.assertEqual((code, [line for line in said.splitlines() if "infernum" in line]), (0, []))
        unit.write_text(text.replace("/usr/local/bin/infernum", "/bin/true").replace("ProtectSystem=strict", "ProtectSistem=strict"))
        self.assertIn("ProtectSistem", run(analyze, "verify", "--man=no", unit)[1], "verify does notice a wrong key")

    def test_nginx_configuration(self):
        command = r.nginx_command(self.folder, r.free_port(), [r.free_port(), r.free_port()])
        if not r.installed(command):
            return r.not_run("nginx", "nginx-light")
        code, said = run(*command, "-t")
        self.assertEqual(code, 0, said)
        self.assertNotIn("[warn]", said)

    def test_haproxy_configuration(self):
        command = r.haproxy_command(self.folder, r.free_port(), [r.free_port(), r.free_port()])
        if not r.installed(command):
            return r.not_run("haproxy", "haproxy")
        code, said = run(*command, "-c")
        self.assertEqual(code, 0, said)
        self.assertNotIn("WARNING", said)

    def test_prometheus_configuration(self):
        promtool = command_of("promtool", "prometheus")
        if promtool:
            code, said = run(promtool, "check", "config", DEPLOY / "prometheus/prometheus.yml")
            self.assertEqual(code, 0, said)

    def test_dockerfile(self):
        text = (DEPLOY / "docker/Dockerfile").read_text()
        build, final = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
        words = lambda stage: set(re.findall(r"[a-z][a-z0-9.+-]+", re.search(r"--no-install-recommends(.*?)&&", stage, re.DOTALL)[1]))
        needed = re.search(r"^build_packages=\(([^)]*)\)", (r.SOURCE / "dev").read_text(), re.MULTILINE)[1].split()
        self.assertLessEqual(set(needed), words(build), "what ./dev installs to build")
        self.assertRegex(final, r"(?m)^USER \d+$")
        self.assertRegex(final, r"(?m)^HEALTHCHECK .*(\\\n.*)*/ready")
        if not r.Program.path or not command_of("dpkg-query", "dpkg") or not command_of("objdump", "binutils"):
            return
        libraries = re.findall(r"NEEDED +(\S+)", run("objdump", "-p", r.Program.path)[1])
        paths = dict(re.findall(r"(\S+) => (\S+)", run("ldd", r.Program.path)[1]))
        self.assertGreater(len(libraries), 3)
        for library in libraries:
            if library.startswith(("lib", "ld-")) and library not in paths:
                continue  # the loader itself
            if re.search("asan|ubsan|tsan", library):
                continue
            real = os.path.realpath(paths[library])
            names = [real, real.removeprefix("/usr")]  # packages from before /lib became /usr/lib know it by the former name
            owner = next(said.split(":")[0] for code, said in (run("dpkg-query", "-S", name) for name in names) if code == 0)
            self.assertIn(owner, words(final) | BASE_PACKAGES, "%s is not in the final image" % library)

    def test_kubernetes(self):
        try:
            import yaml
        except ImportError:
            return r.not_run("yaml", "python3-yaml")
        documents = [d for name in ("infernum", "inference_pool") for d in yaml.safe_load_all((DEPLOY / ("kubernetes/%s.yaml" % name)).read_text())]
        kinds = {d["kind"]: d for d in documents}
        self.assertEqual(set(kinds), {"Deployment", "Service", "PodDisruptionBudget", "InferencePool", "HTTPRoute"})
        pod = kinds["Deployment"]["spec"]["template"]
        labels, container = pod["metadata"]["labels"], pod["spec"]["containers"][0]
        for selector in (kinds["Deployment"]["spec"]["selector"]["matchLabels"], kinds["Service"]["spec"]["selector"],
                         kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"], kinds["InferencePool"]["spec"]["selector"]["matchLabels"]):
            self.assertLessEqual(selector.items(), labels.items())
        port = container["ports"][0]
        self.assertEqual(kinds["InferencePool"]["spec"]["targetPorts"][0]["number"], port["containerPort"])
        self.assertEqual(pod["metadata"]["annotations"]["prometheus.io/port"], str(port["containerPort"]))
        probes = {p: container[p + "Probe"]["httpGet"] for p in ("startup", "liveness", "readiness")}
        self.assertEqual({p: (g["path"], g["port"]) for p, g in probes.items()},
                         {"startup": ("/live", port["name"]), "liveness": ("/live", port["name"]), "readiness": ("/ready", port["name"])})
        arguments = dict(zip(container["args"], container["args"][1:]))
        end = int(arguments["--drain-delay"]) + int(arguments["--shutdown-timeout"])
        self.assertEqual(int(pod["spec"]["terminationGracePeriodSeconds"]), end + 15)
        self.assertEqual(int(arguments["--port"]), port["containerPort"])
        mounts = {m["name"] for m in container["volumeMounts"]}
        self.assertEqual(mounts, {v["name"] for v in pod["spec"]["volumes"]})


def metrics_in(expression):
    """Names of series in a PromQL expression."""
    plain = re.sub(r"\{[^}]*\}|\"[^\"]*\"|\[[^\]]*\]", " ", expression)
    return set(re.findall(r"\b(?:vllm:|infernum_|process_)[a-z_0-9]+", plain))


def dashboard_expressions():
    dashboard = json.loads((DEPLOY / "grafana/infernum.json").read_text())
    return [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]], dashboard


class Live(unittest.TestCase):
    """Against running replicas."""

    @classmethod
    def setUpClass(cls):
        cls.ports = [r.free_port(), r.free_port()]
        cls.replicas = [r.Replica(port) for port in cls.ports]
        for port in cls.ports:
            connection, response = r.post(port, 3)
            response.read()
            connection.close()
            assert response.status == 200

    @classmethod
    def tearDownClass(cls):
        for replica in cls.replicas:
            replica.stop()

    def series(self):
        return set(re.findall(r"^([a-z_:0-9]+)", r.get(self.ports[0], "/metrics")[1], re.MULTILINE))

    def test_every_metric_of_dashboard_and_rules_exists(self):
        expressions, dashboard = dashboard_expressions()
        wanted = set().union(*(metrics_in(e) for _, e in expressions))
        for variable in dashboard["templating"]["list"]:
            wanted |= metrics_in(variable.get("definition", ""))
        rules = (DEPLOY / "prometheus/infernum.rules.yml").read_text()
        wanted |= set().union(*(metrics_in(e) for e in re.findall(r"expr: (.*)", rules)))
        self.assertGreater(len(wanted), 25)
        # Families whose first child comes with the first event of their kind.
        eventual = {"infernum_rejected_total"}
        self.assertEqual(wanted - self.series() - eventual, set())

    def test_the_picker_of_the_gateway_finds_its_metrics(self):
        self.assertLessEqual({"vllm:num_requests_waiting", "vllm:num_requests_running", "vllm:kv_cache_usage_perc", "vllm:lora_requests_info", "vllm:cache_config_info"}, self.series())

    def test_prometheus_scrapes_and_answers_every_panel(self):
        prometheus = command_of("prometheus", "prometheus")
        if not prometheus:
            return
        with tempfile.TemporaryDirectory() as name:
            folder, port = pathlib.Path(name), r.free_port()
            text = r.with_ports((DEPLOY / "prometheus/prometheus.yml").read_text(), 1, self.ports)
            (folder / "prometheus.yml").write_text(re.sub(r"_interval: \d+s", "_interval: 500ms", text))
            shutil.copy(DEPLOY / "prometheus/infernum.rules.yml", folder)
            with open(folder / "log", "w") as log:
                server = r.Process([prometheus, "--config.file=%s" % (folder / "prometheus.yml"), "--storage.tsdb.path=%s" % (folder / "data"),
                                    "--web.listen-address=127.0.0.1:%d" % port], stdout=log, stderr=log)
            self.addCleanup(server.stop)
            ask = lambda query: json.loads(r.get(port, "/api/v1/query?query=" + urllib.parse.quote(query))[1])
            r.wait_for(lambda: ask('sum(up{job="infernum"})')["data"]["result"][0]["value"][1] == "2" if r.get(port, "/-/ready")[0] == 200 and ask("up")["data"]["result"] else 0,
                       "both replicas up", 30)
            r.wait_for(lambda: ask('min(count_over_time(up{job="infernum"}[1m]))')["data"]["result"][0]["value"][1] >= "3", "three scrapes", 30)
            for title, expression in dashboard_expressions()[0]:
                query = expression.replace("$__rate_interval", "1m").replace("$model", ".*").replace("$instance", ".*")
                answer = ask(query)
                self.assertEqual(answer["status"], "success", (title, answer))
                if not re.search(r'status=~"5|infernum_rejected', query):
                    self.assertNotEqual(answer["data"]["result"], [], (title, query))
            rules = json.loads(r.get(port, "/api/v1/rules")[1])["data"]["groups"][0]["rules"]
            self.assertEqual([x["name"] for x in rules if x["health"] == "err"], [])
            server.terminate()


def main():
    r.Program.path = os.environ.get("INFERNUM_PROGRAM")
    if len(sys.argv) > 1 and os.path.isfile(sys.argv[1]):
        r.Program.path = os.path.abspath(sys.argv.pop(1))
    unittest.main()


if __name__ == "__main__":
    main()
