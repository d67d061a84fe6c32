"""What pyproject.toml cannot say: a built package carries the config.ini of the checkout."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfig(build_py):
    """The top-level config.ini stays the only source: it is copied at the build, no earlier."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_file("config.ini", self._carried())

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs: list[str] = super().get_outputs(include_bytecode)
        return outputs if self.editable_mode else [*outputs, self._carried()]

    def _carried(self) -> str:
        return str(Path(self.build_lib) / "oms" / "config.ini")


setup(cmdclass={"build_py": BuildWithConfig})
