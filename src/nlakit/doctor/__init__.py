"""The doctor: looks for the mistakes that cost others days, on whatever is there, and says in words what to do."""

from nlakit.doctor.examination import counted, diagnose, examine
from nlakit.doctor.findings import Finding, Status

__all__ = ["Finding", "Status", "counted", "diagnose", "examine"]
