ALTER TABLE webhooks DROP COLUMN filter, DROP COLUMN filter_path;
