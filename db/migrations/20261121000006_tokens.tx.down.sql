DROP INDEX api_keys_staff;
