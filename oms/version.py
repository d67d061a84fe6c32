"""The program's version, said once: `--version`, the package's metadata and logs read it here."""

VERSION = "0.1.0"
