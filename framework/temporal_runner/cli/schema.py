"""`runner schema`: for editors, which complete and check a config with it."""

from __future__ import annotations


def schema() -> None:
    """Print the JSON Schema of the config, with the options of the installed plugins."""
    import json

    from temporal_runner.config.json_schema import json_schema
    from temporal_runner.plugin.catalog import Catalog

    print(json.dumps(json_schema(Catalog.installed()), indent=2))
