-- The federation tree, its people, posts and sites.

CREATE TABLE organizations (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('province_federation', 'city_federation', 'county_federation', 'zone_federation',
        'township_federation', 'village_federation', 'organ_womens_committee', 'union_women_workers_committee',
        'member_association', 'new_field_federation', 'womens_social_organization', 'women_children_working_committee_office')),
    level text NOT NULL CHECK (level IN ('province', 'city', 'county', 'township', 'village')),
    name text NOT NULL,
    short_name text,
    parent_id uuid REFERENCES organizations (id),
    host_name text,
    division_code text REFERENCES divisions (code),
    uscc text,
    address text,
    longitude numeric(9, 6),
    latitude numeric(8, 6),
    phone text,
    founded_on date,
    approval_document text,
    status text NOT NULL CHECK (status IN ('active', 'dissolved', 'merged')),
    status_changed_on date,
    successor_id uuid REFERENCES organizations (id),
    tags text[] NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK ((longitude IS NULL) = (latitude IS NULL)),
    CHECK (parent_id <> id)
);
CREATE UNIQUE INDEX organizations_division ON organizations (division_code) WHERE status = 'active';
CREATE UNIQUE INDEX organizations_uscc ON organizations (uscc) WHERE status = 'active';
CREATE INDEX organizations_parent ON organizations (parent_id, id);
CREATE INDEX organizations_successor ON organizations (successor_id);
CREATE INDEX organizations_division_all ON organizations (division_code);
CREATE INDEX organizations_name ON organizations USING gin (name gin_trgm_ops);
COMMENT ON TABLE organizations IS 'Federations and the bodies around them; never deleted (handbook R-1.3).';
COMMENT ON COLUMN organizations.id IS 'UUIDv7.';
COMMENT ON COLUMN organizations.kind IS 'What kind of body it is; decides which parents are allowed.';
COMMENT ON COLUMN organizations.level IS 'province, city, county (zones too), township or village.';
COMMENT ON COLUMN organizations.name IS 'Official Chinese name, verbatim.';
COMMENT ON COLUMN organizations.short_name IS 'Short name for tables.';
COMMENT ON COLUMN organizations.parent_id IS 'Guidance parent today (业务指导); the history is in organization_tree.';
COMMENT ON COLUMN organizations.host_name IS 'Party committee or unit it belongs to.';
COMMENT ON COLUMN organizations.division_code IS 'Its division; null for zones without a code, committees and associations.';
COMMENT ON COLUMN organizations.uscc IS 'Unified social credit code (GB 32100-2015).';
COMMENT ON COLUMN organizations.address IS 'Office address, public.';
COMMENT ON COLUMN organizations.longitude IS 'Degrees east, GCJ-02 as map services in China give it.';
COMMENT ON COLUMN organizations.latitude IS 'Degrees north, GCJ-02.';
COMMENT ON COLUMN organizations.phone IS 'Office telephone, public; never a private number.';
COMMENT ON COLUMN organizations.founded_on IS 'Founding date.';
COMMENT ON COLUMN organizations.approval_document IS 'Number of the document that approved it.';
COMMENT ON COLUMN organizations.status IS 'active, dissolved or merged.';
COMMENT ON COLUMN organizations.status_changed_on IS 'Civil date of the last change of status.';
COMMENT ON COLUMN organizations.successor_id IS 'Who took over after dissolution or merger.';
COMMENT ON COLUMN organizations.tags IS 'Groupings across the tree; unverified marks a place in the tree that is still to be confirmed.';
COMMENT ON COLUMN organizations.version IS 'Raised by every change; the ETag.';
COMMENT ON COLUMN organizations.created_at IS 'Domain time.';
COMMENT ON COLUMN organizations.updated_at IS 'Domain time.';

CREATE TABLE organization_tree (
    ancestor_id uuid NOT NULL REFERENCES organizations (id),
    descendant_id uuid NOT NULL REFERENCES organizations (id),
    depth smallint NOT NULL CHECK (depth >= 0),
    from_on date NOT NULL,
    to_on date CHECK (to_on > from_on)
);
CREATE UNIQUE INDEX organization_tree_down ON organization_tree (ancestor_id, descendant_id) WHERE to_on IS NULL;
CREATE UNIQUE INDEX organization_tree_up ON organization_tree (descendant_id, ancestor_id) INCLUDE (depth) WHERE to_on IS NULL;
CREATE INDEX organization_tree_past_down ON organization_tree (ancestor_id, descendant_id, from_on);
CREATE INDEX organization_tree_past_up ON organization_tree (descendant_id, ancestor_id, from_on);
COMMENT ON TABLE organization_tree IS 'Closure of the tree with validity: who is below whom, itself included (depth 0). The open rows are today; a page of any subtree is a range of organization_tree_down.';
COMMENT ON COLUMN organization_tree.ancestor_id IS 'The higher organization.';
COMMENT ON COLUMN organization_tree.descendant_id IS 'The lower organization.';
COMMENT ON COLUMN organization_tree.depth IS 'Edges between them; 0 for itself, 1 for the parent.';
COMMENT ON COLUMN organization_tree.from_on IS 'First day of validity.';
COMMENT ON COLUMN organization_tree.to_on IS 'First day on which it no longer holds; null: holds today.';

CREATE TABLE organization_liaisons (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    account_id uuid NOT NULL,
    modules text[] NOT NULL,
    PRIMARY KEY (organization_id, account_id)
);
CREATE INDEX organization_liaisons_account ON organization_liaisons (account_id);
COMMENT ON TABLE organization_liaisons IS 'Whom reminders of an organization reach.';
COMMENT ON COLUMN organization_liaisons.organization_id IS 'The organization.';
COMMENT ON COLUMN organization_liaisons.account_id IS 'The account that is reminded.';
COMMENT ON COLUMN organization_liaisons.modules IS 'About which modules.';

CREATE TABLE people (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    name text NOT NULL,
    sex text CHECK (sex IN ('female', 'male')),
    birth_year smallint CHECK (birth_year BETWEEN 1900 AND 2100),
    phone bytea,
    phone_hash bytea,
    phone_masked text,
    id_number bytea,
    id_number_hash bytea,
    id_number_masked text,
    tags text[] NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX people_id_number ON people (id_number_hash);
CREATE INDEX people_phone ON people (phone_hash);
CREATE INDEX people_organization ON people (organization_id, id);
CREATE INDEX people_name ON people USING gin (name gin_trgm_ops);
COMMENT ON TABLE people IS 'Staff and committee members, lecturers, lawyers, mediators: one record per person.';
COMMENT ON COLUMN people.id IS 'UUIDv7.';
COMMENT ON COLUMN people.organization_id IS 'Organization that keeps the record.';
COMMENT ON COLUMN people.name IS 'Name as on the identity card.';
COMMENT ON COLUMN people.sex IS 'female or male; the work serves women, families include men.';
COMMENT ON COLUMN people.birth_year IS 'Year of birth.';
COMMENT ON COLUMN people.phone IS 'Telephone number, sealed under the purpose personal.';
COMMENT ON COLUMN people.phone_hash IS 'Keyed hash for exact search.';
COMMENT ON COLUMN people.phone_masked IS '138****5678.';
COMMENT ON COLUMN people.id_number IS 'Citizen identity number, sealed under the purpose personal.';
COMMENT ON COLUMN people.id_number_hash IS 'Keyed hash for exact search and uniqueness.';
COMMENT ON COLUMN people.id_number_masked IS '4306**********0022.';
COMMENT ON COLUMN people.tags IS 'Free groupings, e.g. lecturer, mediator.';
COMMENT ON COLUMN people.version IS 'Raised by every change; the ETag.';
COMMENT ON COLUMN people.created_at IS 'Domain time.';
COMMENT ON COLUMN people.updated_at IS 'Domain time.';

CREATE TABLE posts (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    person_id uuid NOT NULL REFERENCES people (id),
    position text NOT NULL CHECK (position IN ('chair', 'vice_chair', 'standing_member', 'executive_member', 'director',
        'deputy_director', 'president', 'secretary_general', 'cadre')),
    employment_mode text NOT NULL CHECK (employment_mode IN ('full_time', 'part_time', 'attached')),
    secondment text CHECK (secondment IN ('up', 'down')),
    from_on date NOT NULL,
    to_on date CHECK (to_on >= from_on),
    appointed_by text,
    end_reason text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT posts_one_chair EXCLUDE USING gist (organization_id WITH =, daterange(from_on, to_on, '[]') WITH &&) WHERE (position = 'chair'),
    CONSTRAINT posts_once EXCLUDE USING gist (organization_id WITH =, person_id WITH =, position WITH =, daterange(from_on, to_on, '[]') WITH &&)
);
CREATE INDEX posts_organization ON posts (organization_id, id);
CREATE INDEX posts_person ON posts (person_id, id);
CREATE INDEX posts_to_on ON posts (to_on) WHERE to_on IS NOT NULL;
COMMENT ON TABLE posts IS 'Positions that people hold; one person may hold several on several levels.';
COMMENT ON COLUMN posts.id IS 'UUIDv7.';
COMMENT ON COLUMN posts.organization_id IS 'Where the position is.';
COMMENT ON COLUMN posts.person_id IS 'Who holds it.';
COMMENT ON COLUMN posts.position IS 'Which position.';
COMMENT ON COLUMN posts.employment_mode IS 'full_time 专职, part_time 兼职, attached 挂职.';
COMMENT ON COLUMN posts.secondment IS 'up 上挂, down 下派, null: none.';
COMMENT ON COLUMN posts.from_on IS 'First day.';
COMMENT ON COLUMN posts.to_on IS 'Last day; null: open.';
COMMENT ON COLUMN posts.appointed_by IS 'Congress, plenary or document that elected or appointed her.';
COMMENT ON COLUMN posts.end_reason IS 'Why it ended.';
COMMENT ON COLUMN posts.version IS 'Raised by every change; the ETag.';
COMMENT ON COLUMN posts.created_at IS 'Domain time.';
COMMENT ON COLUMN posts.updated_at IS 'Domain time.';

CREATE TABLE sites (
    id uuid PRIMARY KEY,
    owner_organization_id uuid NOT NULL REFERENCES organizations (id),
    kind text NOT NULL CHECK (kind IN ('womens_home', 'womens_micro_home', 'parents_school', 'family_education_centre',
        'heart_to_heart_house', 'demonstration_base', 'farm_stay')),
    name text NOT NULL,
    feature text,
    enterprise_id uuid,
    address text,
    longitude numeric(9, 6),
    latitude numeric(8, 6),
    phone text,
    checklist jsonb NOT NULL DEFAULT '[]',
    accreditation text CHECK (accreditation IN ('township', 'county', 'city', 'province', 'national')),
    accredited_on date,
    accreditation_document text,
    status text NOT NULL CHECK (status IN ('active', 'closed')),
    closed_on date,
    close_reason text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK ((longitude IS NULL) = (latitude IS NULL))
);
CREATE INDEX sites_owner ON sites (owner_organization_id, id);
CREATE INDEX sites_kind ON sites (kind, id);
CREATE INDEX sites_name ON sites USING gin (name gin_trgm_ops);
COMMENT ON TABLE sites IS 'Places where work happens (阵地): never organizations (handbook 1.1).';
COMMENT ON COLUMN sites.id IS 'UUIDv7.';
COMMENT ON COLUMN sites.owner_organization_id IS 'Organization that runs it.';
COMMENT ON COLUMN sites.kind IS 'What kind of site.';
COMMENT ON COLUMN sites.name IS 'Name on the door.';
COMMENT ON COLUMN sites.feature IS 'Its own feature (一村一特色).';
COMMENT ON COLUMN sites.enterprise_id IS 'Enterprise behind a base or farm stay.';
COMMENT ON COLUMN sites.address IS 'Address, public.';
COMMENT ON COLUMN sites.longitude IS 'Degrees east, GCJ-02.';
COMMENT ON COLUMN sites.latitude IS 'Degrees north, GCJ-02.';
COMMENT ON COLUMN sites.phone IS 'Telephone of the site, public.';
COMMENT ON COLUMN sites.checklist IS 'Items of the dictionary site_checklist that it meets or lacks: [{item, met, remark}].';
COMMENT ON COLUMN sites.accreditation IS 'Level of the demonstration grade.';
COMMENT ON COLUMN sites.accredited_on IS 'When it was accredited.';
COMMENT ON COLUMN sites.accreditation_document IS 'Document that accredited it.';
COMMENT ON COLUMN sites.status IS 'active or closed.';
COMMENT ON COLUMN sites.closed_on IS 'When it was closed.';
COMMENT ON COLUMN sites.close_reason IS 'Why it was closed.';
COMMENT ON COLUMN sites.version IS 'Raised by every change; the ETag.';
COMMENT ON COLUMN sites.created_at IS 'Domain time.';
COMMENT ON COLUMN sites.updated_at IS 'Domain time.';
