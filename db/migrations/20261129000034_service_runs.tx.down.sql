DELETE FROM commands WHERE kind = 'run.changed';
DROP TABLE sourced_profiles;
DROP TABLE service_runs;
