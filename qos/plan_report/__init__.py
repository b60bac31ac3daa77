"""A plan as one HTML page that opens offline."""

from qos.plan_report.page import report_html, write_report

__all__ = ["report_html", "write_report"]
