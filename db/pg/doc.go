// Package pg is what every query of Greenroom needs: opening PostgreSQL so that failures are noticed, transactions,
// errors with a meaning, ids that sort by time, and what a caller may see. It knows no table.
package pg
