"""Writes an AOTInductor package (`.pt2`) without PyTorch, which would be 4.7 GB: package.c, compiled, in the archive that it is.

    make_package.py FILE [DEVICE]

DEVICE is what the package says it was compiled for, `cpu` unless it is said. Without a device's library only a package for
the CPU can be loaded.
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path


def library(folder: Path) -> bytes:
    """The model. What it needs of LibTorch is found under the name that PyTorch gives it: libtorch.so."""
    name = folder / "libtorch.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", name, "-x", "c", "/dev/null", "-Wl,-soname,libtorch.so"], check=True)
    target = folder / "model.wrapper.so"
    source = Path(__file__).with_name("package.c")
    needs = ["-Wl,--no-as-needed", f"-L{folder}", "-ltorch"]
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-w", "-o", target, source, *needs], check=True)
    return target.read_bytes()


def main() -> None:
    """Writes the archive."""
    path, device = Path(sys.argv[1]), (sys.argv[2:] or ["cpu"])[0]
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path, "w") as archive:
        inside = f"{path.stem}/data/aotinductor/model/model.wrapper"
        archive.writestr(f"{inside}.so", library(Path(folder)))
        archive.writestr(f"{inside}.cpp", "// package.c\n")
        archive.writestr(f"{inside}_metadata.json", json.dumps({"AOTI_DEVICE_KEY": device}))
        archive.writestr(f"{path.stem}/archive_format", "pt2")
        archive.writestr(f"{path.stem}/byteorder", "little")
        archive.writestr(f"{path.stem}/version", "3\n")


if __name__ == "__main__":
    main()
