"""What is installed: the one place of the version. CHANGELOG.md, pyproject.toml and the API follow it."""

__version__ = "0.7.0"
