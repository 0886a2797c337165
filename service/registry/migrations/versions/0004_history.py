"""Who changed a relation when, and what it was then."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    history = op.create_table(
        "history",
        sa.Column("relation_id", sa.String(128), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("actor", sa.Text),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("content", sa.JSON(none_as_null=True)),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("history", "relation_id", type_=sa.String(128, collation="C"))
    # Every history has a beginning: the last that is known of each relation.
    names = ("id", "version", "deleted", "created_at", "updated_at", "name", "description", "paraphrases")
    relations = sa.Table("relations", sa.MetaData(), autoload_with=op.get_bind()).c
    rows = [
        {
            "relation_id": row.id,
            "version": row.version,
            "action": "deleted" if row.deleted else "created" if row.created_at == row.updated_at else "replaced",
            "actor": None,
            "at": row.updated_at,
            "content": None
            if row.deleted
            else {"name": row.name, "description": row.description, "paraphrases": row.paraphrases},
        }
        for row in op.get_bind().execute(sa.select(*(relations[name] for name in names)))
    ]
    if rows:
        op.bulk_insert(history, rows)


def downgrade() -> None:
    op.drop_table("history")
