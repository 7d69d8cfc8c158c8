"""The report of an evaluation, as a page for people who have not read the paper."""

from litellm_benchrouter.evaluation.report.page import render_html

__all__ = ["render_html"]
