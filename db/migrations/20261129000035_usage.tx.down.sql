DROP TRIGGER interviews_counted ON interviews;
DROP FUNCTION count_interview;
DROP TABLE usage_days;
