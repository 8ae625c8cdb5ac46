DROP INDEX deliveries_company_failed;
DROP INDEX deliveries_failed;
