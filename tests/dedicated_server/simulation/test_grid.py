"""The grid against a search through everybody."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.simulation.grid import cell_along, fill, new_grid, run_of, side_of

HALF_M = 500.0
coordinate = st.floats(-700, 700, allow_nan=False)  # also outside the map


@settings(max_examples=100, deadline=None)
@given(
    people=st.lists(st.tuples(coordinate, coordinate, st.booleans()), min_size=1, max_size=60),
    cell_m=st.sampled_from([30.0, 100.0, 2_000.0]),
    share=st.sampled_from([1.0, 0.5]),
)
def test_every_shown_entity_is_in_its_cell_and_nobody_else_is_anywhere(
    people: list[tuple[float, float, bool]], cell_m: float, share: float
) -> None:
    players = round(share * len(people))
    grid = new_grid(players, HALF_M, cell_m, objects=len(people) - players)
    x_m, y_m = np.array([p[0] for p in people]), np.array([p[1] for p in people])
    shown = np.array([p[2] for p in people], dtype=np.int32)

    for _ in range(2):  # whatever was in it before does not matter
        fill(
            grid,
            *(of_all[:players] for of_all in (x_m, y_m, shown)),
            *(of_all[players:] for of_all in (x_m, y_m, shown)),
        )

    side = side_of(grid)
    assert side * side == len(grid.start) - 1
    assert grid.start[0] == 0
    assert grid.start[-1] == shown.sum()
    for row in range(side):
        for column in range(side):
            first, last = run_of(grid, side, row, column, column)
            expected = [
                entity
                for entity in range(len(people))
                if shown[entity]
                and cell_along(grid, side, x_m[entity]) == column
                and cell_along(grid, side, y_m[entity]) == row
            ]
            assert grid.entity[first:last].tolist() == expected
            assert grid.x_m[first:last].tolist() == x_m[expected].tolist()
            assert grid.y_m[first:last].tolist() == y_m[expected].tolist()


@given(st.floats(-HALF_M, HALF_M, exclude_max=True), st.sampled_from([30.0, 100.0, 333.0]))
def test_a_cell_holds_what_lies_between_its_edges(position_m: float, cell_m: float) -> None:
    grid = new_grid(50, HALF_M, cell_m)
    side, width = side_of(grid), grid.cell_m[0]
    index = cell_along(grid, side, position_m)
    assert -HALF_M + index * width - 1e-6 <= position_m <= -HALF_M + (index + 1) * width + 1e-6


def test_a_run_of_columns_is_one_stretch() -> None:
    grid = new_grid(3, HALF_M, 100.0)
    nothing = np.zeros(0)
    fill(
        grid,
        np.array([-450.0, 0.0, 450.0]),
        np.zeros(3),
        np.ones(3, dtype=np.int32),
        nothing,
        nothing,
        np.zeros(0, np.int32),
    )
    side = side_of(grid)
    first, last = run_of(grid, side, cell_along(grid, side, 0.0), 0, side - 1)
    assert grid.entity[first:last].tolist() == [0, 1, 2]


def test_cells_are_at_least_as_large_as_asked_and_not_more_than_the_players_pay_for() -> None:
    assert side_of(new_grid(1_600, 1_000.0, 100.0)) == 20
    assert side_of(new_grid(1, 1_000.0, 1.0)) == 4
    assert side_of(new_grid(10, 50.0, 100.0)) == 1
