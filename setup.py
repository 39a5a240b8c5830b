"""What pyproject.toml cannot say: the built-in weights lie beside the package, and inside it in a wheel.

`inference_core.models.store` finds them in either place. An editable install reads them from the checkout.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MODELS = Path("Resources", "Models")


class BuildWithModels(build_py):
    """Builds the package, and puts the weights into it."""

    def run(self):
        super().run()
        if not self.editable_mode:
            shutil.copytree(MODELS, Path(self.build_lib, "inference_core", MODELS), dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithModels})
