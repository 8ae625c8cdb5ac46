DROP INDEX deliveries_webhook_failed;
