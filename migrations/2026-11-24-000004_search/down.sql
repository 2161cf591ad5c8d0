CREATE INDEX organizations_name ON organizations USING gin (name gin_trgm_ops);
CREATE INDEX divisions_name ON divisions USING gin (name gin_trgm_ops);
CREATE INDEX sites_name ON sites USING gin (name gin_trgm_ops);

DROP INDEX organizations_name_parts;
DROP INDEX divisions_name_parts;
DROP INDEX sites_name_parts;
DROP FUNCTION name_parts;
