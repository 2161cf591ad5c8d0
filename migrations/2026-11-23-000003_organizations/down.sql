DROP TABLE sites, posts, people, organization_liaisons, organization_tree, organizations;
