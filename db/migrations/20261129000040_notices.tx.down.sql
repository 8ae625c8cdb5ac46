DROP TABLE notice_letters;
DROP TABLE notices;
ALTER TABLE companies DROP COLUMN notify_email;
ALTER TABLE webhooks DROP COLUMN notify_email;
