// Package plan measures what the statements of packages db and db/delivery read on a database of a given size. It
// records the statements that a function sends and runs them again under EXPLAIN (ANALYZE, BUFFERS).
//
// So tests and the benchmark measure the function itself, not a copy of its SQL. Parts of a plan that were never
// executed do not count: a page with enough rows stops early, and a partition that is pruned at run time costs planning
// only.
package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Plan is the executed plan of one statement.
type Plan struct {
	SQL         string
	PlanningMS  float64
	ExecutionMS float64
	// Buffers counts the pages of tables and indexes that execution touched, cached or not.
	Buffers int64
	// Scans lists the executed table reads.
	Scans []Scan
}

// Scan is an executed read of one table or partition.
type Scan struct {
	Type  string // "Seq Scan", "Index Scan", …
	Table string
	Index string
	// Rows counts the rows read from the table, including those that a filter removed.
	Rows float64
}

// node is a plan node of EXPLAIN (FORMAT JSON).
type node struct {
	Type    string  `json:"Node Type"`
	Table   string  `json:"Relation Name"`
	Index   string  `json:"Index Name"`
	Loops   float64 `json:"Actual Loops"`
	Rows    float64 `json:"Actual Rows"`
	Removed float64 `json:"Rows Removed by Filter"`
	Hit     int64   `json:"Shared Hit Blocks"`
	Read    int64   `json:"Shared Read Blocks"`
	Plans   []node  `json:"Plans"`
}

func parse(explained []byte) (Plan, error) {
	var out []struct {
		Plan      node
		Planning  float64 `json:"Planning Time"`
		Execution float64 `json:"Execution Time"`
	}
	if err := json.Unmarshal(explained, &out); err != nil || len(out) != 1 {
		return Plan{}, fmt.Errorf("read plan: %w", err)
	}
	p := Plan{PlanningMS: out[0].Planning, ExecutionMS: out[0].Execution}
	p.add(out[0].Plan)
	return p, nil
}

// add adds a node's own pages: its total without its children's. The pages of a CTE count both at the node that
// declares it and at each node that scans it, so those of a CTE Scan are left out.
func (p *Plan) add(n node) {
	own := n.Hit + n.Read
	for _, child := range n.Plans {
		own -= child.Hit + child.Read
		p.add(child)
	}
	if n.Type != "CTE Scan" {
		p.Buffers += max(own, 0)
	}
	if n.Loops == 0 || n.Table == "" || n.Type == "ModifyTable" {
		return
	}
	p.Scans = append(
		p.Scans,
		Scan{Type: n.Type, Table: n.Table, Index: n.indexName(), Rows: (n.Rows + n.Removed) * n.Loops},
	)
}

// indexName returns the node's index, or that of the bitmap scan below it.
func (n node) indexName() string {
	if n.Index != "" || len(n.Plans) == 0 || !strings.HasPrefix(n.Type, "Bitmap") {
		return n.Index
	}
	return n.Plans[0].indexName()
}

// Partitions counts the partitions of a table that were read.
func (p Plan) Partitions(table string) int {
	var seen []string
	for _, s := range p.Scans {
		if strings.HasPrefix(s.Table, table+"_") && !slices.Contains(seen, s.Table) {
			seen = append(seen, s.Table)
		}
	}
	return len(seen)
}

// smallTable is the number of rows up to which a sequential scan is as fast as an index.
const smallTable = 200

// SeqScans lists the tables and partitions that were scanned sequentially, except small ones.
func (p Plan) SeqScans() (tables []string) {
	for _, s := range p.Scans {
		if s.Type == "Seq Scan" && s.Rows > smallTable {
			tables = append(tables, s.Table)
		}
	}
	return tables
}

// Rows counts the rows read from tables that grow with the deliveries, including those that a filter removed.
func (p Plan) Rows() (rows float64) {
	for _, s := range p.Scans {
		if Grows(s.Table) {
			rows += s.Rows
		}
	}
	return rows
}

// Grows reports whether a table or partition grows with the number of deliveries, of sourcings or of days.
func Grows(table string) bool {
	for _, prefix := range []string{
		"events_", "deliveries_", "attempts_", "delivery_queue", "service_runs", "sourced_profiles", "usage_days",
	} {
		if strings.HasPrefix(table, prefix) {
			return true
		}
	}
	return false
}
