-- Loads the file :source of large.py as divisions and federations. Runs as the superuser, before the measurements.
\set QUIET on
SET synchronous_commit = off;
SET maintenance_work_mem = '512MB';
SET work_mem = '256MB';
-- What is loaded refers to what is loaded: checking each reference would take longer than the rest.
SET session_replication_role = replica;

CREATE TEMP TABLE source (number bigint, code text, level text, name text, full_name text, parent_code text, parent bigint, federation text);
SELECT format('\copy source FROM %L', :'source') AS copy \gset
:copy
ANALYZE source;

-- Indexes that are no constraints are made again at the end, which is faster than to fill them row by row.
CREATE TEMP TABLE later AS SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
    WHERE indrelid IN ('divisions'::regclass, 'organizations'::regclass, 'organization_tree'::regclass) AND NOT indisunique;
SELECT format('DROP INDEX %s', name) FROM later \gexec

INSERT INTO divisions (code, name, full_name, level, parent_code, code_system)
    SELECT code, name, full_name, level, parent_code, CASE WHEN length(code) > 6 THEN 'nbs' ELSE 'gb2260' END FROM source
    ON CONFLICT DO NOTHING;
UPDATE divisions SET parent_code = '430000' WHERE code = '430600';

INSERT INTO organizations (id, kind, level, name, parent_id, division_code, status, created_at, updated_at)
    SELECT ('0168028c-2f00-7000-8000-' || number)::uuid, level || '_federation', level, federation,
           ('0168028c-2f00-7000-8000-' || parent)::uuid, code, 'active', at, at
    FROM (SELECT *, timestamptz '2019-01-01' + (number - 900000000000) * interval '1 second' AS at FROM source) AS s ORDER BY number;
UPDATE organizations SET parent_id = ('0168028c-2f00-7000-8000-' || :hunan)::uuid WHERE division_code = '430600';

DELETE FROM organization_tree;
INSERT INTO organization_tree (ancestor_id, descendant_id, depth, from_on)
    WITH RECURSIVE line AS (
        SELECT id AS descendant_id, id AS ancestor_id, parent_id AS next_id, 0 AS depth FROM organizations
        UNION ALL
        SELECT line.descendant_id, above.id, above.parent_id, line.depth + 1 FROM line JOIN organizations above ON above.id = line.next_id)
    SELECT ancestor_id, descendant_id, depth, date '2019-01-01' FROM line ORDER BY ancestor_id, descendant_id;
SELECT definition FROM later \gexec

-- One organization administrator per province, with the password of the demo's.
INSERT INTO accounts (id, username, display_name, organization_id, status, password_hash, password_is_initial, password_changed_at, created_at, updated_at)
    SELECT ('0168028c-2f00-7000-9000-' || number)::uuid, 'bench-' || left(code, 2), federation || '管理员',
           ('0168028c-2f00-7000-8000-' || number)::uuid, 'active', demo.password_hash, false, now(), now(), now()
    FROM source, accounts demo WHERE demo.username = 'city-admin' AND source.level = 'province';
INSERT INTO grants (id, account_id, role, organization_id, modules, from_on, created_at)
    SELECT ('0168028c-2f00-7000-a000-' || number)::uuid, ('0168028c-2f00-7000-9000-' || number)::uuid, 'org_admin',
           ('0168028c-2f00-7000-8000-' || number)::uuid, demo.modules, demo.from_on, now()
    FROM source, grants demo JOIN accounts ON accounts.id = demo.account_id
    WHERE accounts.username = 'city-admin' AND source.level = 'province';
