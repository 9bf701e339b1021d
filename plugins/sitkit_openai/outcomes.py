"""Why there is no answer: the outcomes of replies that failed, in words that can be counted."""

from __future__ import annotations

TIME_OUT = "time-out"
CONNECTION = "connection lost"
SERVER_ERROR = "server error"
RATE_LIMIT = "rate limit"
MALFORMED = "malformed reply"
NO_CHOICES = "no choices"
EMPTY = "empty reply"
REFUSAL = "refusal"
CONTENT_FILTER = "content filter"
TOO_LONG = "context too long"
BAD_REQUEST = "bad request"
BATCH_EXPIRED = "batch expired"
BATCH_FAILED = "batch failed"
BATCH_CANCELLED = "batch cancelled"

PASSING = frozenset({TIME_OUT, CONNECTION, SERVER_ERROR, RATE_LIMIT, MALFORMED, NO_CHOICES, EMPTY})
"""What may be gone at the next attempt, and is therefore tried again within a run."""
