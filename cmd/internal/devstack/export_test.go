package devstack

// InstallPostgres is for tests: where they run, PostgreSQL is there already.
var InstallPostgres = installPostgres
