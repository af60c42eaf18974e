"""What the stand-in assumes where Credly's public documents are silent: every assumption in one block.

Sections are those of docs/reference/credly-api.md.
"""

from pydantic import BaseModel, ConfigDict, Field


class Assumptions(BaseModel):
    """Switches that can be set at the start and changed while the stand-in runs."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    latency_ms: float = Field(default=0, ge=0, description="How long each answer takes, in milliseconds.")
    calls_per_second: int = Field(
        default=0, ge=0, description="How many calls of one organization are accepted within any second; 0: all (9)."
    )
    fault_share: float = Field(
        default=0, ge=0, le=1, description="Share of requests to which an ordinary fault happens (8, 9)."
    )
    fault_seed: int = Field(default=0, description="Which requests those are: the same ones for the same number.")
    list_lag_seconds: float = Field(
        default=0,
        ge=0,
        description="How long a new badge is missing from lists (4.5). Reading it by id sees it at once.",
    )
    accept_token_without_colon: bool = Field(
        default=True, description="Accept Basic credentials without the colon after the token, or with | for it (3)."
    )
    request_id_is_reused: bool = Field(
        default=False,
        description="Answer with the X-Request-Id of the request, where it has one; else each answer has its own (2).",
    )
    filters_are_ignored: bool = Field(
        default=False, description="Ignore every filter, so that lists return strangers (2)."
    )
    bulk_rows: int = Field(default=1000, ge=1, description="How many rows a page of the bulk read has (4.7).")
    bulk_cursor_is_nested: bool = Field(
        default=True, description="Write the bulk read's cursor as search_after[] twice; else as one cursor (4.7)."
    )
    bulk_link_asks_for_full_badges: bool = Field(
        default=True,
        description="Write badge_format=default into the bulk read's next_page_url, whatever was asked for (4.7).",
    )
    next_page_prefix: str = Field(
        default="/api/v1", description="Path prefix that next_page_url is written with; live replies use /api/v1 (2)."
    )
    rejected_blocks: bool = Field(default=False, description="A rejected badge counts as a duplicate (4.2).")
    expired_blocks: bool = Field(default=True, description="An expired badge counts as a duplicate (4.2).")
    future_issued_at_is_refused: bool = Field(
        default=False, description="Answer 422 for an issued_at in the future (4.1)."
    )
    longest_text: int = Field(default=255, ge=1, description="Longest text of a field (4.1).")
    extra_fields: bool = Field(
        default=False, description="Add unknown fields to replies, which clients must ignore (2)."
    )
    real_badge_urls: bool = Field(
        default=False, description="Write badge addresses of www.credly.com in place of the stand-in's own pages (4.3)."
    )
    batch_is_offered: bool = Field(default=False, description="Offer POST …/badges/batch (4.8).")
    rotate_is_offered: bool = Field(default=False, description="Offer token rotation (3).")
    oauth_is_offered: bool = Field(default=False, description="Offer POST /oauth/token, and take its tokens (3).")
    webhook_retry_seconds: float = Field(
        default=60, gt=0, description="Wait before an event is delivered again; it doubles each time (11)."
    )
    webhook_timeout_seconds: float = Field(default=5, gt=0, description="How long a receiver may take to answer (11).")
    webhooks_are_held: bool = Field(default=False, description="Deliver no event until this is taken back (11).")
    webhooks_newest_first: bool = Field(default=False, description="Deliver pending events in the wrong order (11).")
    webhooks_repeat: bool = Field(default=False, description="Deliver each event twice (11).")
