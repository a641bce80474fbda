"""The package of `examples/plugin_method`, as an installation would lay it out."""

import shutil
import tomllib
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "plugin_method"


def install_plugin(folder: Path) -> Path:
    """Put the package and what says of its entry points into a folder, which is then one for `sys.path`."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    (package,) = EXAMPLE.glob("*/__init__.py")
    shutil.copytree(package.parent, folder / package.parent.name)
    info = folder / f"{package.parent.name}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in e.items()) for group, e in groups]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder
