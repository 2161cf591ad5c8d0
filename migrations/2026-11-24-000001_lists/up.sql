-- Lists in the order of the last change, and the purge of what is done.

CREATE INDEX organizations_updated ON organizations (updated_at, id);
CREATE INDEX people_updated ON people (updated_at, id);
CREATE INDEX posts_updated ON posts (updated_at, id);
CREATE INDEX sites_updated ON sites (updated_at, id);
CREATE INDEX accounts_updated ON accounts (updated_at, id);
CREATE INDEX plans_updated ON plans (updated_at, id);
CREATE INDEX work_items_done ON work_items (done_at) WHERE done_at IS NOT NULL;
