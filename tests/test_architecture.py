"""The import rules: which modules an import loads, and which names stay in their one home."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STAGE_ENTRY = [
    "live.app",
    "live.cli",
    "live.performance",
    "live.setlist",
    "live.osc",
    "live.window",
]
LIGHT_ENGINE = [
    "engine",
    "engine.errors",
    "engine.link",
    "engine.path",
    "engine.projection.crops",
    "engine.projection.options",
    "engine.photos",
    "engine.projection.results",
    "engine.training.options",
    "engine.training.settings",
    "engine.weights",
    "engine.weights.inception",
    "engine.weights.vgg",
    "engine.weights.vgg_places",
]


def loaded_by(module: str) -> set[str]:
    """Top-level packages in sys.modules after importing `module` in a fresh interpreter."""
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", STAGE_ENTRY + LIGHT_ENGINE)
def test_torch_is_not_loaded_by(module):
    assert "torch" not in loaded_by(module)


def test_what_a_projection_leaves_is_found_without_pictures():
    assert "PIL" not in loaded_by("engine.projection.results")


def test_faces_are_a_matter_of_photos_that_show_some():
    """dlib is optional, and takes its time to load."""
    assert "dlib" not in loaded_by("engine.projection.crops")


def test_importing_the_engine_package_loads_nothing_else():
    assert not {"numpy", "torch", "live"} & loaded_by("engine")


def test_the_engine_knows_no_window_and_no_desk():
    loaded = loaded_by("engine.worker, engine.generator, engine.__main__")
    assert not {"live", "moderngl", "glfw", "pythonosc"} & loaded


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where things come from"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def importers_of(name: str, package: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / package).rglob("*.py")
        if any(module == name or module.startswith(name + ".") for module in imports_of(path))
    }


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("glfw", {"live/window.py"}),
        ("pythonosc", {"live/osc.py"}),
        ("av", {"live/film.py", "live/film_sound.py", "live/joining.py", "live/doctor.py"}),
        ("pynvml", {"live/nvml.py", "live/gpu_checks.py", "live/fake_gpus.py"}),
        ("sounddevice", {"live/microphone.py"}),
        ("cuda", {"live/cuda.py", "engine/inference/ipc.py"}),
        ("dlib", {"engine/projection/faces.py"}),
    ],
)
def test_each_outside_library_has_one_home(library, home):
    assert importers_of(library, "live") <= home
    assert importers_of(library, "engine") <= home


def test_live_never_imports_torch():
    assert importers_of("torch", "live") == set()


def test_engine_never_imports_live():
    assert importers_of("live", "engine") == set()


def test_only_what_opens_a_stage_imports_the_loop():
    assert importers_of("live.app", "live") == {"live/performance.py", "live/bench.py"}
    assert importers_of("live.app", "engine") == set()
