"""A run beside the paper: its numbers next to the printed ones, and the paper's claims tried on its cells."""

from sitkit.report.paper.beside import paper_tables
from sitkit.report.paper.verdicts import ClaimVerdict, claim_table, claims, contradiction_table

__all__ = ["ClaimVerdict", "claim_table", "claims", "contradiction_table", "paper_tables"]
