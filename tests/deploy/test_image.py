"""The image, as far as it can be shown where there is no container engine: its recipe, what goes into a build, and that
the program runs with nothing but what the image holds."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from rendered import DEPLOY, PROGRAM, ROOT, TOOLS, run, serving

USER = 65532


def allowed():
    """What .dockerignore lets into a build."""
    lines = [line.strip() for line in (ROOT / ".dockerignore").read_text().splitlines()]
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*" and all(rule.startswith("!") for rule in rules[1:]), rules
    return [rule[1:] for rule in rules[1:]]


class Recipe(unittest.TestCase):
    def test_the_linter_has_nothing_to_say(self):
        run(TOOLS / "hadolint", DEPLOY / "docker/Dockerfile")

    def test_what_goes_into_a_build_is_a_whole_workspace(self):
        with tempfile.TemporaryDirectory() as folder:
            for path in allowed():
                target = pathlib.Path(folder) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                if (ROOT / path).is_dir():
                    shutil.copytree(ROOT / path, target)
                else:
                    shutil.copy(ROOT / path, target)
            run("cargo", "metadata", "--no-deps", "--locked", "--offline", "--format-version", "1", cwd=folder)
            recipe = (DEPLOY / "docker/Dockerfile").read_text()
            for licence in re.findall(r"LICENSE-\w+", recipe):
                self.assertTrue((pathlib.Path(folder) / licence).exists(), licence)

    def test_files_that_the_program_includes_go_into_a_build(self):
        inside = [(ROOT / path).resolve() for path in allowed()]
        included = re.compile(r'include_(?:str|bytes)!\(\s*"([^"]+)"')
        for source in (ROOT / "crates").rglob("src/**/*.rs"):
            text = source.read_text().split("#[cfg(test)]")[0]
            if source.stem.endswith("tests") or "tests" in source.parts[source.parts.index("src"):]:
                continue
            for path in included.findall(text):
                file = (source.parent / path).resolve()
                self.assertTrue(any(file.is_relative_to(it) for it in inside), f"{source}: {path}")

    def test_the_image_has_the_compiler_s_version_that_the_workspace_asks_for(self):
        needed = re.search(r'rust-version = "(\d+)\.(\d+)"', (ROOT / "Cargo.toml").read_text()).groups()
        has = re.search(r"RUST_IMAGE=rust:(\d+)\.(\d+)", (DEPLOY / "docker/Dockerfile").read_text()).groups()
        self.assertGreaterEqual(tuple(map(int, has)), tuple(map(int, needed)))


class Root(unittest.TestCase):
    """A folder with the files of the image, in place of the root of the file system."""

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("only root can change the root of a process")
        tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True)
        if tried.returncode != 0:
            self.skipTest(f"no namespaces here: {tried.stderr.decode().strip()}")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name) / "root"
        self.data = pathlib.Path(folder.name) / "data"
        for part in ("usr/local/bin", "proc", "etc", "var/lib/spectrum-webhook"):
            (self.root / part).mkdir(parents=True)
        self.data.mkdir(mode=0o700)
        os.chown(self.data, USER, USER)
        # What a container engine puts there.
        (self.root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
        shutil.copy(PROGRAM, self.root / "usr/local/bin/spectrum-webhook")
        libraries = re.findall(r"(/\S+) \(0x", run("ldd", PROGRAM))
        self.assertTrue(libraries)
        for library in libraries:
            # Where distroless has it, by the C library's own search path.
            target = self.root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
        base = {"libc", "libm", "libgcc_s", "ld-linux-x86-64", "ld-linux-aarch64", "libpthread", "libdl", "librt"}
        self.assertLessEqual({pathlib.Path(it).name.split(".so")[0] for it in libraries}, base, "not in the base image")
        os.chmod(self.root, 0o755)
        os.chmod(folder.name, 0o755)

    def inside(self, *arguments):
        """A command line that runs the program as the image does."""
        mounts = (
            'mount --bind "$1" "$1" && mount --rbind /proc "$1/proc" '
            '&& mount --bind "$2" "$1/var/lib/spectrum-webhook" && mount -o remount,bind,ro "$1" '
            f'&& shift 2 && exec chroot --userspec={USER}:{USER} --groups= "$0" /usr/local/bin/spectrum-webhook "$@"'
        )
        return ["unshare", "--mount", "sh", "-c", mounts, self.root, self.root, self.data, *arguments]

    def test_the_program_serves_as_nobody_on_a_root_that_is_read_only(self):
        version = run(*self.inside("--version"), env={"PATH": os.environ["PATH"]})
        self.assertTrue(version.startswith("spectrum-webhook "))
        with serving("/var/lib/spectrum-webhook", self.inside) as (server, _):
            self.assertEqual(os.stat(f"/proc/{server.pid}").st_uid, USER)
            self.assertEqual({os.stat(file).st_uid for file in self.data.iterdir()}, {USER})
            self.assertEqual(list((self.root / "var/lib/spectrum-webhook").iterdir()), [], "it wrote to its root")


if __name__ == "__main__":
    unittest.main()
