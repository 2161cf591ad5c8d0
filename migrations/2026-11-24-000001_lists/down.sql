DROP INDEX work_items_done;
DROP INDEX plans_updated;
DROP INDEX accounts_updated;
DROP INDEX sites_updated;
DROP INDEX posts_updated;
DROP INDEX people_updated;
DROP INDEX organizations_updated;
