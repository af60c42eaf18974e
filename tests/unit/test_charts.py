"""Charts that few badges make readable, too."""

import re

import pytest

from reports.charts import days_chart


@pytest.mark.parametrize("most", [0, 1, 2, 3, 5, 6, 40])
def test_no_mark_of_the_axis_is_there_twice(most: int) -> None:
    chart = days_chart(["2026-11-02", "2026-11-03"], [most, 0], before=[0, most], color="issued")

    for svg in chart.versions:
        marks = re.findall(r">(\d+)</text>", svg)
        assert len(marks) == len(set(marks)) >= 2
