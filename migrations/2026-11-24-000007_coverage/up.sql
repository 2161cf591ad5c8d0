-- Coverage: parks, schools, enterprises, chambers and other units in which women work or live, and which of them have a women's
-- organization or a site. Townships and villages need no table: the divisions are their yardstick.

CREATE TABLE coverage_units (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('industrial_park', 'school', 'enterprise', 'chamber', 'residential_estate', 'market',
        'hospital', 'social_organization', 'new_business_form', 'other')),
    name text NOT NULL,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    division_code text NOT NULL REFERENCES divisions (code),
    uscc text,
    address text,
    employees_count integer CHECK (employees_count >= 0),
    women_count integer CHECK (women_count >= 0),
    covered_by_organization_id uuid REFERENCES organizations (id),
    covered_by_site_id uuid REFERENCES sites (id),
    external_id text,
    status text NOT NULL CHECK (status IN ('active', 'closed')),
    closed_on date,
    close_reason text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK ((status = 'closed') = (closed_on IS NOT NULL))
);
CREATE UNIQUE INDEX coverage_units_uscc ON coverage_units (uscc) WHERE status = 'active' AND uscc IS NOT NULL;
CREATE UNIQUE INDEX coverage_units_name ON coverage_units (division_code, kind, name) WHERE status = 'active';
CREATE UNIQUE INDEX coverage_units_external ON coverage_units (organization_id, external_id)
    WHERE status = 'active' AND external_id IS NOT NULL;
CREATE INDEX coverage_units_organization ON coverage_units (organization_id, id);
CREATE INDEX coverage_units_division ON coverage_units (division_code, id);
CREATE INDEX coverage_units_by_organization ON coverage_units (covered_by_organization_id) WHERE covered_by_organization_id IS NOT NULL;
CREATE INDEX coverage_units_by_site ON coverage_units (covered_by_site_id) WHERE covered_by_site_id IS NOT NULL;
CREATE INDEX coverage_units_updated ON coverage_units (updated_at, id);
CREATE INDEX coverage_units_name_parts ON coverage_units USING gin (name_parts(name));
ALTER INDEX coverage_units_name_parts ALTER COLUMN 1 SET STATISTICS 1000;
-- Which villages have their Women's Home.
CREATE INDEX sites_homes ON sites (owner_organization_id) WHERE kind = 'womens_home' AND status = 'active';
COMMENT ON TABLE coverage_units IS 'Units in which women work or live and in which there should be a women''s organization or a site (扩大覆盖, points 02 and 04 of the plan); they are no part of the tree';
COMMENT ON COLUMN coverage_units.id IS 'UUIDv7.';
COMMENT ON COLUMN coverage_units.kind IS 'What kind of unit.';
COMMENT ON COLUMN coverage_units.name IS 'Official name, verbatim.';
COMMENT ON COLUMN coverage_units.organization_id IS 'The federation in whose area it lies: scope. The successor''s when that ends.';
COMMENT ON COLUMN coverage_units.division_code IS 'The division it lies in, of whatever level is known.';
COMMENT ON COLUMN coverage_units.uscc IS 'Unified social credit code (GB 32100-2015).';
COMMENT ON COLUMN coverage_units.address IS 'Address.';
COMMENT ON COLUMN coverage_units.employees_count IS 'People who work there; null: unknown.';
COMMENT ON COLUMN coverage_units.women_count IS 'Women who work or live there; null: unknown.';
COMMENT ON COLUMN coverage_units.covered_by_organization_id IS 'Women''s organization in it; it counts only while it is active. The successor''s when that ends.';
COMMENT ON COLUMN coverage_units.covered_by_site_id IS 'Site in it; it counts only while it is open.';
COMMENT ON COLUMN coverage_units.external_id IS 'Its id in the list it was imported from.';
COMMENT ON COLUMN coverage_units.status IS 'active, or closed: the unit is no more.';
COMMENT ON COLUMN coverage_units.closed_on IS 'When it was closed.';
COMMENT ON COLUMN coverage_units.close_reason IS 'Why it was closed.';
COMMENT ON COLUMN coverage_units.version IS 'Raised by every change; the ETag.';
COMMENT ON COLUMN coverage_units.created_at IS 'Domain time.';
COMMENT ON COLUMN coverage_units.updated_at IS 'Domain time.';
