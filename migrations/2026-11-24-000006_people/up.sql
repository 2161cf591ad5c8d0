-- One record per person: where she is readable, what looks like her, what was merged; the minimum of posts; who looks after whom.

ALTER TABLE people
    ADD COLUMN status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'merged')),
    ADD COLUMN merged_into_id uuid REFERENCES people (id),
    ADD CHECK ((status = 'merged') = (merged_into_id IS NOT NULL)),
    ADD CHECK (status <> 'merged' OR (phone IS NULL AND phone_hash IS NULL AND id_number IS NULL AND id_number_hash IS NULL));
CREATE INDEX people_merged_into ON people (merged_into_id) WHERE merged_into_id IS NOT NULL;
-- Names are never searched by a part of them: equality is what the matching asks for.
DROP INDEX people_name;
CREATE INDEX people_name ON people (name, birth_year);
CREATE INDEX people_tags ON people USING gin (tags);
COMMENT ON COLUMN people.status IS 'active, or merged into another record.';
COMMENT ON COLUMN people.merged_into_id IS 'The record of the same person that goes on.';

CREATE TABLE person_places (
    source_id uuid PRIMARY KEY,
    person_id uuid NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    to_on date
);
CREATE INDEX person_places_organization ON person_places (organization_id, person_id) INCLUDE (to_on);
CREATE INDEX person_places_person ON person_places (person_id, organization_id) INCLUDE (to_on);
COMMENT ON TABLE person_places IS 'Where a person is readable: where her record is kept, and where she holds a post. Kept by triggers of people and posts, a row for each of theirs, so that a list looks into one index for both.';
COMMENT ON COLUMN person_places.source_id IS 'The person, for where her record is kept; else the post.';
COMMENT ON COLUMN person_places.person_id IS 'Who.';
COMMENT ON COLUMN person_places.organization_id IS 'Where.';
COMMENT ON COLUMN person_places.to_on IS 'Last day, that of the post; null: no end.';

CREATE FUNCTION person_places_of_people() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO person_places (source_id, person_id, organization_id) VALUES (NEW.id, NEW.id, NEW.organization_id)
    ON CONFLICT (source_id) DO UPDATE SET organization_id = EXCLUDED.organization_id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION person_places_of_people IS 'A record is readable where it is kept.';
CREATE FUNCTION person_places_of_posts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM person_places WHERE source_id = OLD.id;
        RETURN NULL;
    END IF;
    INSERT INTO person_places (source_id, person_id, organization_id, to_on)
    VALUES (NEW.id, NEW.person_id, NEW.organization_id, NEW.to_on)
    ON CONFLICT (source_id) DO UPDATE
        SET person_id = EXCLUDED.person_id, organization_id = EXCLUDED.organization_id, to_on = EXCLUDED.to_on;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION person_places_of_posts IS 'A person is readable where she holds a post.';
INSERT INTO person_places (source_id, person_id, organization_id, to_on)
SELECT id, id, organization_id, NULL FROM people UNION ALL SELECT id, person_id, organization_id, to_on FROM posts;
CREATE TRIGGER person_places AFTER INSERT OR UPDATE OF organization_id ON people
    FOR EACH ROW EXECUTE FUNCTION person_places_of_people();
CREATE TRIGGER person_places AFTER INSERT OR DELETE OR UPDATE OF organization_id, person_id, to_on ON posts
    FOR EACH ROW EXECUTE FUNCTION person_places_of_posts();

CREATE TABLE person_merge_suggestions (
    id uuid PRIMARY KEY,
    person_id uuid NOT NULL REFERENCES people (id),
    other_id uuid NOT NULL REFERENCES people (id),
    reasons text[] NOT NULL CHECK (reasons <@ ARRAY['same_phone_and_name', 'same_phone', 'same_name_and_birth_year']),
    status text NOT NULL CHECK (status IN ('open', 'dismissed', 'merged')),
    dismiss_reason text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK (person_id < other_id),
    CHECK ((status = 'dismissed') = (dismiss_reason IS NOT NULL))
);
CREATE UNIQUE INDEX person_merge_suggestions_pair ON person_merge_suggestions (person_id, other_id);
CREATE INDEX person_merge_suggestions_other ON person_merge_suggestions (other_id);
CREATE INDEX person_merge_suggestions_open ON person_merge_suggestions (id) WHERE status = 'open';
CREATE INDEX person_merge_suggestions_updated ON person_merge_suggestions (updated_at, id);
COMMENT ON TABLE person_merge_suggestions IS 'Two records that look like one person; readable for whoever may read both.';
COMMENT ON COLUMN person_merge_suggestions.id IS 'UUIDv7.';
COMMENT ON COLUMN person_merge_suggestions.person_id IS 'The one with the lower id.';
COMMENT ON COLUMN person_merge_suggestions.other_id IS 'The other.';
COMMENT ON COLUMN person_merge_suggestions.reasons IS 'What is alike.';
COMMENT ON COLUMN person_merge_suggestions.status IS 'open, dismissed (two people) or merged (one).';
COMMENT ON COLUMN person_merge_suggestions.dismiss_reason IS 'Why they are two people.';
COMMENT ON COLUMN person_merge_suggestions.version IS 'Raised by every change; the ETag.';
COMMENT ON COLUMN person_merge_suggestions.created_at IS 'Domain time.';
COMMENT ON COLUMN person_merge_suggestions.updated_at IS 'Domain time.';

CREATE INDEX posts_held ON posts (organization_id, position, person_id) INCLUDE (from_on, to_on);
DROP INDEX posts_to_on;
CREATE INDEX posts_to_on ON posts (to_on, id) WHERE to_on IS NOT NULL;

CREATE TABLE post_minimums (
    kind text NOT NULL CHECK (kind IN ('province_federation', 'city_federation', 'county_federation', 'zone_federation',
        'township_federation', 'village_federation', 'organ_womens_committee', 'union_women_workers_committee',
        'member_association', 'new_field_federation', 'womens_social_organization', 'women_children_working_committee_office')),
    rank smallint NOT NULL,
    position text NOT NULL CHECK (position IN ('chair', 'vice_chair', 'standing_member', 'executive_member', 'director',
        'deputy_director', 'president', 'secretary_general', 'cadre')),
    counted text[] NOT NULL CHECK (position = ANY (counted)),
    minimum integer CHECK (minimum > 0),
    source text,
    PRIMARY KEY (kind, rank),
    UNIQUE (kind, position),
    CHECK ((minimum IS NULL) = (source IS NULL))
);
COMMENT ON TABLE post_minimums IS 'How many should hold a position in an organization of a kind (handbook 1.2), with the source. Falling under it warns and never blocks (R-1.4).';
COMMENT ON COLUMN post_minimums.kind IS 'Kind of organization.';
COMMENT ON COLUMN post_minimums.rank IS 'Order of the positions of a kind.';
COMMENT ON COLUMN post_minimums.position IS 'The position.';
COMMENT ON COLUMN post_minimums.counted IS 'Positions whose holders count: chair and vice-chairs are elected from among the executive members.';
COMMENT ON COLUMN post_minimums.minimum IS 'How many people; null: no rule is known.';
COMMENT ON COLUMN post_minimums.source IS 'Where the rule stands; null: no rule is known.';
INSERT INTO post_minimums (kind, rank, position, counted, minimum, source)
SELECT kind, rank, position, CASE position
        WHEN 'executive_member' THEN ARRAY['chair', 'vice_chair', 'standing_member', 'executive_member'] ELSE ARRAY[position] END,
    minimum, source
FROM (VALUES
    ('province_federation', 1, 'chair', 1, '业务手册1.2：设主席1人'),
    ('province_federation', 2, 'vice_chair', NULL, NULL),
    ('province_federation', 3, 'executive_member', NULL, NULL),
    ('city_federation', 1, 'chair', 1, '业务手册1.2：设主席1人'),
    ('city_federation', 2, 'vice_chair', NULL, NULL),
    ('city_federation', 3, 'executive_member', NULL, NULL),
    ('county_federation', 1, 'chair', 1, '业务手册1.2：设主席1人'),
    ('county_federation', 2, 'vice_chair', NULL, NULL),
    ('county_federation', 3, 'executive_member', NULL, NULL),
    ('zone_federation', 1, 'chair', 1, '业务手册1.2：设主席1人'),
    ('zone_federation', 2, 'vice_chair', NULL, NULL),
    ('zone_federation', 3, 'executive_member', NULL, NULL),
    ('township_federation', 1, 'chair', 1, '业务手册1.2：湖南省乡镇街道妇联改革（2017），主席1人'),
    ('township_federation', 2, 'vice_chair', 3, '业务手册1.2：湖南省乡镇街道妇联改革（2017），专兼职副主席不少于3人'),
    ('township_federation', 3, 'executive_member', 25, '业务手册1.2：湖南省乡镇街道妇联改革（2017），执委不少于25人'),
    ('village_federation', 1, 'chair', 1, '业务手册1.2：湖南省村社区会改联（2017），主席1人'),
    ('village_federation', 2, 'vice_chair', 2, '业务手册1.2：湖南省村社区会改联（2017），兼职副主席2人'),
    ('village_federation', 3, 'executive_member', 15, '业务手册1.2：湖南省村社区会改联（2017），执委15人'),
    ('organ_womens_committee', 1, 'director', NULL, NULL),
    ('union_women_workers_committee', 1, 'director', NULL, NULL),
    ('member_association', 1, 'president', NULL, NULL),
    ('member_association', 2, 'secretary_general', NULL, NULL),
    ('new_field_federation', 1, 'chair', NULL, NULL),
    ('new_field_federation', 2, 'executive_member', NULL, NULL),
    ('womens_social_organization', 1, 'president', NULL, NULL),
    ('women_children_working_committee_office', 1, 'director', NULL, NULL)
) AS known (kind, rank, position, minimum, source);

CREATE TABLE contact_assignments (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    post_id uuid NOT NULL REFERENCES posts (id),
    person_id uuid NOT NULL REFERENCES people (id),
    area_organization_id uuid REFERENCES organizations (id),
    area text,
    place_id uuid NOT NULL GENERATED ALWAYS AS (coalesce(area_organization_id, organization_id)) STORED,
    households_count integer CHECK (households_count >= 0),
    women_count integer CHECK (women_count >= 0),
    from_on date NOT NULL,
    to_on date CHECK (to_on >= from_on),
    end_reason text,
    remark text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK (area_organization_id IS NOT NULL OR area IS NOT NULL),
    -- One key of three: a plain column in an index of this kind tempts the planner to look for places there.
    CONSTRAINT contact_assignments_once EXCLUDE USING gist (
        (person_id::text || place_id::text || coalesce(area, '')) WITH =, daterange(from_on, to_on, '[]') WITH &&)
);
CREATE INDEX contact_assignments_organization ON contact_assignments (organization_id, id);
CREATE INDEX contact_assignments_post ON contact_assignments (post_id);
CREATE INDEX contact_assignments_person ON contact_assignments (person_id, id);
CREATE INDEX contact_assignments_area ON contact_assignments (area_organization_id) WHERE area_organization_id IS NOT NULL;
CREATE INDEX contact_assignments_place ON contact_assignments (place_id, id);
CREATE INDEX contact_assignments_updated ON contact_assignments (updated_at, id);
COMMENT ON TABLE contact_assignments IS 'Who of the executive members looks after which women (联系制度, handbook 8.6).';
COMMENT ON COLUMN contact_assignments.id IS 'UUIDv7.';
COMMENT ON COLUMN contact_assignments.organization_id IS 'Whose contact system it belongs to.';
COMMENT ON COLUMN contact_assignments.post_id IS 'The post by which she is assigned: there or above.';
COMMENT ON COLUMN contact_assignments.person_id IS 'Who holds that post.';
COMMENT ON COLUMN contact_assignments.area_organization_id IS 'The village, township or other body she looks after, in the subtree of the organization.';
COMMENT ON COLUMN contact_assignments.area IS 'A part of it, or an area that is no organization, in words.';
COMMENT ON COLUMN contact_assignments.place_id IS 'Where it lies in the tree, and who may read it: the area, else the organization.';
COMMENT ON COLUMN contact_assignments.households_count IS 'How many households.';
COMMENT ON COLUMN contact_assignments.women_count IS 'How many women.';
COMMENT ON COLUMN contact_assignments.from_on IS 'First day.';
COMMENT ON COLUMN contact_assignments.to_on IS 'Last day; null: open.';
COMMENT ON COLUMN contact_assignments.end_reason IS 'Why it ended.';
COMMENT ON COLUMN contact_assignments.remark IS 'A remark.';
COMMENT ON COLUMN contact_assignments.version IS 'Raised by every change; the ETag.';
COMMENT ON COLUMN contact_assignments.created_at IS 'Domain time.';
COMMENT ON COLUMN contact_assignments.updated_at IS 'Domain time.';
