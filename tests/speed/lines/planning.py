"""Planning: 10,000 stages, and what one more task adds to a plan."""

from __future__ import annotations

from tests.speed.measure import Options, Row, in_turn, medians

STAGES = 10_000


def measure(options: Options) -> list[Row]:
    """Plan many seeds of the default recipe, and the default recipe with one task more to score."""
    from sitkit.plan import build_plan, default_tasks
    from sitkit.recipe import Recipe
    from sitkit.registry import load_plugins

    registry = load_plugins()
    one = len(build_plan(Recipe(), registry).nodes)
    each = len(build_plan(Recipe(seeds=(0, 1)), registry).nodes) - one
    seeds = tuple(range(1 + -(-(STAGES - one) // each)))
    counted = {"stages": 0}

    def plan() -> None:
        counted["stages"] = len(build_plan(Recipe(seeds=seeds), registry).nodes)

    taken = in_turn(options.pairs, {"sitkit": plan})
    rows = [
        Row(
            "planning",
            f"{counted['stages']:,} stages",
            "s",
            medians(taken)["sitkit"],
            limit=1.0,
            note=f"{len(seeds)} seeds of the default recipe",
            samples=taken,
        )
    ]
    scored = default_tasks(registry)
    three = {node.key for node in build_plan(Recipe(eval_on=scored[:3]), registry).nodes}
    four = {node.key for node in build_plan(Recipe(eval_on=scored), registry).nodes}
    rows.append(
        Row(
            "planning",
            "stages one more task adds",
            "stages",
            float(len(four - three)),
            limit=3.0,
            note=f"its own cells, one a phase; {len(three - four)} of the {len(three)} others change",
        )
    )
    return rows
