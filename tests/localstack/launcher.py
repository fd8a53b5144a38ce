"""Runs a module of LocalStack 4.14.0 without its container, on any Python from 3.11 on and on loopback only.

Use: `python -P launcher.py localstack.runtime.main`, with the interpreter of LocalStack's own virtual environment.

LocalStack is written for the Python 3.13 of its container: on 3.11 nine of its modules do not compile, for the type
parameters in them (PEP 695), on 3.12 two do not import. What is missing only serves type checkers, so it is left out as
the modules are loaded; from 3.13 on nothing is changed. Elsewhere than in its container LocalStack also listens on
every interface, whatever GATEWAY_LISTEN says, so it is told to listen on loopback.
"""

import __future__

import functools
import re
import runpy
import sys
import warnings
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from importlib.util import decode_source
from types import CodeType, ModuleType
from typing import Any, TypeVar

LOOPBACK = "127.0.0.1"
TYPE_PARAMETERS = re.compile(r"^(\s*(?:class|(?:async )?def) \w+)\[([^\]]+)\]", re.MULTILINE)
TYPE_ALIAS = re.compile(r"^(\s*)type (\w+ = )", re.MULTILINE)
ANNOTATES_WITH_LOCK = "localstack.packages.api"
"""`Lock | None`: threading.Lock became a class, which can be part of a union, in 3.13."""


class DownLevelLoader(SourceFileLoader):
    """Loads modules as they are, and those that this Python cannot compile without their type parameters."""

    def __init__(self, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self._type_parameters: set[str] = set()
        self._is_changed = False

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:
        if self.name == ANNOTATES_WITH_LOCK:
            self._is_changed = True
            return self._compile(data, path, flags=__future__.annotations.compiler_flag)
        try:
            return super().source_to_code(data, path)
        except SyntaxError:
            if not self.name.startswith("localstack."):
                raise
        self._is_changed = True
        return self._compile(self._without_type_parameters(decode_source(data)), path)

    def exec_module(self, module: ModuleType) -> None:
        code = self.get_code(module.__name__)
        assert code is not None
        vars(module).update({name: TypeVar(name) for name in self._type_parameters})
        exec(code, vars(module))

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        """Keep no bytecode of what was changed: it would outlive a change of this file."""
        if not self._is_changed:
            super().set_data(path, data, _mode=_mode)

    def _without_type_parameters(self, text: str) -> str:
        for _, parameters in TYPE_PARAMETERS.findall(text):
            self._type_parameters |= {parameter.partition(":")[0].strip() for parameter in parameters.split(",")}
        return TYPE_ALIAS.sub(r"\1\2", TYPE_PARAMETERS.sub(r"\1", text))

    def _compile(self, source: Any, path: Any, *, flags: int = 0) -> CodeType:
        code: CodeType = compile(source, path, "exec", flags=flags, dont_inherit=True)
        return code


def load_on_older_python() -> None:
    """Make the modules that are written for Python 3.13 load on this one."""
    if sys.version_info >= (3, 13):
        return
    import typing_extensions

    warnings.deprecated = typing_extensions.deprecated  # type: ignore[attr-defined]
    loaders = (ExtensionFileLoader, EXTENSION_SUFFIXES), (DownLevelLoader, SOURCE_SUFFIXES)
    sys.path_hooks.insert(0, FileFinder.path_hook(*loaders))
    sys.path_importer_cache.clear()


def listen_on_loopback() -> None:
    """Name the interface where LocalStack names none."""
    from twisted.internet import endpoints

    endpoints.TCP4ServerEndpoint = functools.partial(endpoints.TCP4ServerEndpoint, interface=LOOPBACK)


if __name__ == "__main__":
    load_on_older_python()
    listen_on_loopback()
    runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=True)
