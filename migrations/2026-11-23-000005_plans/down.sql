DROP TABLE indicators, task_organizations, tasks, plans;
