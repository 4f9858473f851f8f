"""What agents have done: the record, summed up for the people who answer for them."""

from guardrails.report.reporting import Report, report
from guardrails.report.sums import AgentSums

__all__ = ["AgentSums", "Report", "report"]
