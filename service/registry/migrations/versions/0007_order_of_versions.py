"""The order in which changes are read: pages of relations of one version, as `emma relations reindex` leaves them."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("relations_version", "relations")
    op.create_index("relations_version", "relations", ["version", "id"])


def downgrade() -> None:
    op.drop_index("relations_version", "relations")
    op.create_index("relations_version", "relations", ["version"])
