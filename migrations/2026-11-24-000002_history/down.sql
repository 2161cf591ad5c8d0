DROP TABLE site_past_owners;
DROP TABLE organization_past_statuses;
DROP TABLE organization_events;
