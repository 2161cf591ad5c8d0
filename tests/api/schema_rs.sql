-- Prints src/db/schema.rs from the migrated database, one row per line.
WITH columns AS (
    SELECT c.table_name, c.ordinal_position, c.column_name,
        CASE WHEN c.column_name = 'position' THEN 'position' ELSE c.column_name END AS rust_name,
        CASE c.udt_name
            WHEN 'uuid' THEN 'Uuid' WHEN '_uuid' THEN 'Array<Uuid>'
            WHEN 'text' THEN 'Text' WHEN 'varchar' THEN 'Text' WHEN '_text' THEN 'Array<Text>'
            WHEN 'int2' THEN 'SmallInt' WHEN 'int4' THEN 'Integer' WHEN 'int8' THEN 'BigInt'
            WHEN 'bool' THEN 'Bool' WHEN 'bytea' THEN 'Bytea' WHEN 'jsonb' THEN 'Jsonb'
            WHEN 'date' THEN 'Date' WHEN 'timestamptz' THEN 'Timestamptz' WHEN 'numeric' THEN 'Numeric'
        END AS kind,
        c.is_nullable = 'YES' AS nullable
    FROM information_schema.columns c
    JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.table_name <> '__diesel_schema_migrations'
), tables AS (
    SELECT table_name, (
        SELECT string_agg(a.attname, ', ' ORDER BY array_position(i.indkey::int[], a.attnum::int))
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = format('public.%I', table_name)::regclass
          AND CASE WHEN EXISTS (SELECT FROM pg_index p WHERE p.indrelid = i.indrelid AND p.indisprimary) THEN i.indisprimary
                   ELSE i.indexrelid = (SELECT min(u.indexrelid) FROM pg_index u WHERE u.indrelid = i.indrelid AND u.indisunique) END
    ) AS key
    FROM (SELECT DISTINCT table_name FROM columns) t
), lines AS (
    SELECT table_name, 0 AS line, format(E'diesel::table! {\n    %s (%s) {', table_name, key) AS text FROM tables
    UNION ALL
    SELECT table_name, ordinal_position, format('        %s -> %s,', rust_name,
        CASE WHEN nullable THEN format('Nullable<%s>', kind) ELSE kind END) FROM columns
    UNION ALL
    SELECT table_name, 1000, E'    }\n}\n' FROM tables
)
SELECT text FROM (
    SELECT '' AS table_name, -1 AS line, E'// Generated from the migrated database; tests/api/schema.rs compares and refreshes it.\n' AS text
    UNION ALL SELECT table_name, line, text FROM lines
    UNION ALL SELECT '~', 0, format(E'diesel::allow_tables_to_appear_in_same_query!(%s);', string_agg(table_name, ', ' ORDER BY table_name)) FROM tables
) all_lines ORDER BY table_name COLLATE "C", line;
