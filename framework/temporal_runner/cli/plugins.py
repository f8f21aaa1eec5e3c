"""`runner plugins`: what a config may name, and which distribution each came from."""

from __future__ import annotations

from typing import Annotated

import typer


def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List every event source and backoff strategy, and plugins that do not load."""
    import json

    from temporal_runner.plugin.catalog import Catalog

    catalog = Catalog.installed()
    rows = [
        {
            "kind": index.noun,
            "name": kind.name,
            "summary": kind.summary,
            "distribution": origin.name,
            "version": origin.version,
        }
        for index in (catalog.sources, catalog.strategies)
        for kind, origin in index.kinds.values()
    ]
    if as_json:
        broken = [
            {"name": one.name, "distribution": one.origin.name, "cause": one.cause}
            for one in catalog.broken
        ]
        print(json.dumps({"plugins": rows, "broken": broken}, indent=2))
        return
    columns = ("kind", "name", "distribution", "version")
    widths = [max(len(row[column]) for row in rows) for column in columns]
    for row in rows:
        cells = (f"{row[column]:<{width}}" for column, width in zip(columns, widths, strict=True))
        print(f"{'  '.join(cells)}  {row['summary']}")
    for one in catalog.broken:
        print(f"broken: {one}")
