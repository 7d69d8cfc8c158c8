"""Which section and which table shows which protocol, in the order of the report."""

from __future__ import annotations

from collections.abc import Callable

from litellm_benchrouter.evaluation.report.cost import cost_section
from litellm_benchrouter.evaluation.report.cost_table import cost_table
from litellm_benchrouter.evaluation.report.distance import distance_section, distance_table
from litellm_benchrouter.evaluation.report.few_labels import few_labels_section, few_labels_table
from litellm_benchrouter.evaluation.report.labels import labels_section, labels_table
from litellm_benchrouter.evaluation.report.parts import Document, Section, Table
from litellm_benchrouter.evaluation.report.request import request_section, request_table
from litellm_benchrouter.evaluation.report.robustness import robustness_section, robustness_table
from litellm_benchrouter.evaluation.report.task import methods_table, task_section

SECTIONS: dict[str, Callable[[Document], Section]] = {
    "task": task_section,
    "request": request_section,
    "cost": cost_section,
    "few-labels": few_labels_section,
    "labels": labels_section,
    "distance": distance_section,
    "mlp": task_section,
    "robustness": robustness_section,
}

TABLES: dict[str, Callable[[Document], Table]] = {
    "task": methods_table,
    "request": request_table,
    "cost": cost_table,
    "few-labels": few_labels_table,
    "labels": labels_table,
    "distance": distance_table,
    "mlp": methods_table,
    "robustness": robustness_table,
}
