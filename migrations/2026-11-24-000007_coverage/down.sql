DROP INDEX sites_homes;
DROP TABLE coverage_units;
