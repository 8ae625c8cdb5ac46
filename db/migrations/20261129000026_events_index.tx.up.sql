-- events_company_feed serves what this one did, and each index costs every published event a write.
DROP INDEX events_company;
