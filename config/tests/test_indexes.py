"""The indexes of all tables: each costs every write, so none is there that another serves as well."""

from mesh.tests.database import sql

#: An index that begins another one of its table: the same columns in the same order, compared alike, of the same rows.
PREFIXES = """
SELECT shorter.indexrelid::regclass::text, longer.indexrelid::regclass::text
FROM pg_index shorter JOIN pg_index longer USING (indrelid)
    JOIN pg_class a ON a.oid = shorter.indexrelid JOIN pg_class b ON b.oid = longer.indexrelid
WHERE shorter.indexrelid <> longer.indexrelid AND a.relam = b.relam AND indrelid::regclass::text ~ %s
    AND NOT shorter.indisunique AND shorter.indexprs IS NULL AND shorter.indnkeyatts <= longer.indnkeyatts
    AND pg_get_expr(shorter.indpred, indrelid) IS NOT DISTINCT FROM pg_get_expr(longer.indpred, indrelid)
    AND NOT EXISTS (
        SELECT FROM generate_series(0, shorter.indnkeyatts - 1) AS place
        WHERE shorter.indkey[place] <> longer.indkey[place] OR shorter.indclass[place] <> longer.indclass[place]
            OR shorter.indoption[place] <> longer.indoption[place]
            OR shorter.indcollation[place] <> longer.indcollation[place]
    )
ORDER BY 1, 2
"""
OURS = "^(mesh|accounts|meetings|tasks|notes|events|shop)_"


def test_no_index_is_a_prefix_of_another_one_of_its_table(db):
    assert sql(PREFIXES, OURS) == []


def test_a_prefix_would_be_found(db):
    sql("CREATE TABLE shop_probe (a int, b text, c int)")
    sql("CREATE UNIQUE INDEX shop_probe_long ON shop_probe (a, c DESC)")
    for name, what in (("same", "(a)"), ("part", "(a) WHERE a > 0"), ("down", "(a DESC)"), ("other", "(c)")):
        sql(f"CREATE INDEX shop_probe_{name} ON shop_probe {what}")
    assert sql(PREFIXES, "^shop_probe") == [("shop_probe_same", "shop_probe_long")]
