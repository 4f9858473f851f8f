"""Questions to people about exact calls: who may answer, what counts, what is shown."""

from guardrails.approvals.service import ApprovalService
from guardrails.approvals.table import RequestTable, UnknownRequest

__all__ = ["ApprovalService", "RequestTable", "UnknownRequest"]
