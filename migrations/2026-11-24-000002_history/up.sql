-- The history of organizations: what happened to each, and what it was before.

CREATE TABLE organization_events (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    kind text NOT NULL CHECK (kind IN ('created', 'changed', 'moved', 'merged', 'absorbed', 'split', 'split_off', 'dissolved',
        'took_over', 'reactivated')),
    occurred_on date NOT NULL,
    from_id uuid REFERENCES organizations (id),
    to_id uuid REFERENCES organizations (id),
    changes jsonb NOT NULL DEFAULT '[]',
    reason text,
    actor_id uuid REFERENCES accounts (id),
    recorded_at timestamptz NOT NULL
);
CREATE INDEX organization_events_page ON organization_events (organization_id, id);
CREATE INDEX organization_events_from ON organization_events (from_id) WHERE from_id IS NOT NULL;
CREATE INDEX organization_events_to ON organization_events (to_id) WHERE to_id IS NOT NULL;
CREATE INDEX organization_events_actor ON organization_events (actor_id) WHERE actor_id IS NOT NULL;
COMMENT ON TABLE organization_events IS 'What happened to an organization, in the transaction of the change; the service may only insert and select.';
COMMENT ON COLUMN organization_events.id IS 'UUIDv7: the order of the history.';
COMMENT ON COLUMN organization_events.organization_id IS 'To which organization.';
COMMENT ON COLUMN organization_events.kind IS 'What happened.';
COMMENT ON COLUMN organization_events.occurred_on IS 'On which day, by domain time.';
COMMENT ON COLUMN organization_events.from_id IS 'moved: the parent before; absorbed, split_off, took_over: out of which organization.';
COMMENT ON COLUMN organization_events.to_id IS 'created, moved, reactivated: the parent since; merged, dissolved: who took over; split: the new organization.';
COMMENT ON COLUMN organization_events.changes IS 'Fields that changed: [{field, before, after}].';
COMMENT ON COLUMN organization_events.reason IS 'Why, in the words of who did it.';
COMMENT ON COLUMN organization_events.actor_id IS 'Who did it; null: the command line, an import or a time before there was a history.';
COMMENT ON COLUMN organization_events.recorded_at IS 'Domain time.';
REVOKE UPDATE, DELETE, TRUNCATE ON organization_events FROM half_sky_service;

CREATE TABLE organization_past_statuses (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    from_on date,
    to_on date NOT NULL CHECK (to_on > from_on),
    status text NOT NULL CHECK (status IN ('active', 'dissolved', 'merged')),
    successor_id uuid REFERENCES organizations (id),
    PRIMARY KEY (organization_id, to_on)
);
CREATE INDEX organization_past_statuses_successor ON organization_past_statuses (successor_id) WHERE successor_id IS NOT NULL;
COMMENT ON TABLE organization_past_statuses IS 'States that organizations no longer have. A state that held on no day left no row.';
COMMENT ON COLUMN organization_past_statuses.organization_id IS 'Whose.';
COMMENT ON COLUMN organization_past_statuses.from_on IS 'First day; null: since it was made.';
COMMENT ON COLUMN organization_past_statuses.to_on IS 'First day on which it no longer held.';
COMMENT ON COLUMN organization_past_statuses.status IS 'Which state.';
COMMENT ON COLUMN organization_past_statuses.successor_id IS 'Who had taken over.';

CREATE TABLE site_past_owners (
    site_id uuid NOT NULL REFERENCES sites (id),
    to_on date NOT NULL,
    owner_organization_id uuid NOT NULL REFERENCES organizations (id),
    PRIMARY KEY (site_id, to_on)
);
CREATE INDEX site_past_owners_owner ON site_past_owners (owner_organization_id);
COMMENT ON TABLE site_past_owners IS 'Organizations that ran a site before they merged, split or were dissolved.';
COMMENT ON COLUMN site_past_owners.site_id IS 'Which site.';
COMMENT ON COLUMN site_past_owners.to_on IS 'First day on which the organization no longer ran it; the row with the next such day after a date tells who ran it then.';
COMMENT ON COLUMN site_past_owners.owner_organization_id IS 'Who ran it.';

-- What is known of the time before: when each was made, where it moved, when it ended. UUIDv7 of the instant (RFC 9562), so that
-- the order is that of the history.
CREATE FUNCTION pg_temp.uuid_at(at timestamptz) RETURNS uuid LANGUAGE sql AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
        substring(int8send(floor(extract(epoch FROM at) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

INSERT INTO organization_events (id, organization_id, kind, occurred_on, to_id, recorded_at)
SELECT pg_temp.uuid_at(made.from_on::timestamp AT TIME ZONE 'Asia/Shanghai'), organizations.id, 'created', made.from_on,
    (SELECT ancestor_id FROM organization_tree WHERE descendant_id = organizations.id AND depth = 1 ORDER BY from_on LIMIT 1),
    organizations.created_at
FROM organizations JOIN organization_tree made ON made.descendant_id = organizations.id AND made.depth = 0;

INSERT INTO organization_events (id, organization_id, kind, occurred_on, from_id, to_id, recorded_at)
SELECT pg_temp.uuid_at(since.from_on::timestamp AT TIME ZONE 'Asia/Shanghai' + interval '1 second'), since.descendant_id, 'moved',
    since.from_on, before.ancestor_id, since.ancestor_id, since.from_on::timestamp AT TIME ZONE 'Asia/Shanghai'
FROM organization_tree since JOIN organization_tree before ON before.descendant_id = since.descendant_id
    AND before.to_on = since.from_on AND before.depth = 1
WHERE since.depth = 1 AND since.ancestor_id <> before.ancestor_id;

INSERT INTO organization_events (id, organization_id, kind, occurred_on, to_id, recorded_at)
SELECT pg_temp.uuid_at(status_changed_on::timestamp AT TIME ZONE 'Asia/Shanghai' + interval '2 seconds'), id, status,
    status_changed_on, successor_id, status_changed_on::timestamp AT TIME ZONE 'Asia/Shanghai'
FROM organizations WHERE status <> 'active' AND status_changed_on IS NOT NULL;

INSERT INTO organization_past_statuses (organization_id, to_on, status)
SELECT id, status_changed_on, 'active' FROM organizations WHERE status <> 'active' AND status_changed_on IS NOT NULL;
