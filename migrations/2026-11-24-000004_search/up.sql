-- Search by part of a Chinese name, from one character on. Trigrams find nothing shorter than three; here every character and
-- every pair of neighbours is a key of one inverted index.

CREATE FUNCTION name_parts(name text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
    SELECT array_agg(DISTINCT substr(name, at, size))
    FROM generate_series(1, length(name)) AS at, generate_series(1, 2) AS size
    WHERE at + size <= length(name) + 1
$$;
COMMENT ON FUNCTION name_parts IS 'Every character of a name and every pair of neighbouring ones.';

CREATE INDEX organizations_name_parts ON organizations USING gin (name_parts(name));
CREATE INDEX divisions_name_parts ON divisions USING gin (name_parts(name));
CREATE INDEX sites_name_parts ON sites USING gin (name_parts(name));

-- How often each part occurs decides between a walk of the subtree and the index: of 700,000 names about 10,000 parts are kept.
ALTER INDEX organizations_name_parts ALTER COLUMN 1 SET STATISTICS 1000;
ALTER INDEX divisions_name_parts ALTER COLUMN 1 SET STATISTICS 1000;
ALTER INDEX sites_name_parts ALTER COLUMN 1 SET STATISTICS 1000;

DROP INDEX organizations_name;
DROP INDEX divisions_name;
DROP INDEX sites_name;

ANALYZE organizations, divisions, sites;
