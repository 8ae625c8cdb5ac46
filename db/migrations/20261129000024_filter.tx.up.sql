-- What a webhook selects among the events that it is subscribed to: as it was sent, and as the path that is evaluated.
ALTER TABLE webhooks ADD COLUMN filter text, ADD COLUMN filter_path jsonpath;
