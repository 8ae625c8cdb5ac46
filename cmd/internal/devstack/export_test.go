package devstack

// InstallPostgres lets tests install PostgreSQL although it is already installed.
var InstallPostgres = installPostgres
