"""Config to plan: every import and plugin resolved, frozen, and no network yet.

    prod.yaml -> load() -> RunnerConfig -> make_plan() -> Plan -> run(plan)

`runner validate` stops here. All that is wrong is reported at once: each step adds to the problems
of the loaded config and goes on with what is sound.
"""

from temporal_runner.plan.connections import at_address
from temporal_runner.plan.make import connection_plans, make_plan
from temporal_runner.plan.records import (
    DEFAULT_CONNECTION,
    ConnectionPlan,
    ListenerPlan,
    Plan,
    WorkerPlan,
)

__all__ = [
    "make_plan",
    "connection_plans",
    "at_address",
    "Plan",
    "ConnectionPlan",
    "WorkerPlan",
    "ListenerPlan",
    "DEFAULT_CONNECTION",
]
