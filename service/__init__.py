"""The online half of EMMA: registers relations and extracts them. It imports neither torch nor transformers."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("emma-re")
except PackageNotFoundError:
    # Run from a checkout that was never installed.
    __version__ = "0.0.0"
