DROP INDEX service_runs_in_progress;
DROP INDEX service_runs_company;
