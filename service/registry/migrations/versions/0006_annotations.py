"""What a relation is called besides its name, which tags it has, what stands at its ends and what its inverse is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

LISTS = ("head_types", "tail_types", "aliases", "tags")


def upgrade() -> None:
    op.add_column("relations", sa.Column("inverse", sa.String(128)))
    op.add_column("relations", sa.Column("symmetric", sa.Boolean, nullable=False, server_default=sa.false()))
    for name in LISTS:
        op.add_column("relations", sa.Column(name, sa.JSON, nullable=False, server_default="[]"))


def downgrade() -> None:
    for name in ("inverse", "symmetric", *LISTS):
        op.drop_column("relations", name)
