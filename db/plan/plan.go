// Package plan tells what the statements of package db really do on a database of a given size: it listens to what a
// function sends, and has PostgreSQL run that again under EXPLAIN (ANALYZE, BUFFERS).
//
// So the tests and the bench say "this function reads one partition" of the function itself, not of a copy of its
// SQL. Parts of a plan that were never executed do not count: a page that has enough rows stops, and a partition that
// a look-up by id skips while it runs costs nothing but planning.
package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Plan is one statement as it was executed.
type Plan struct {
	SQL         string
	PlanningMS  float64
	ExecutionMS float64
	// Buffers are the pages of tables and indexes that execution touched, in memory or not.
	Buffers int64
	// Scans are the executed reads of tables.
	Scans []Scan
}

// Scan is an executed read of one table or partition.
type Scan struct {
	Type  string // "Seq Scan", "Index Scan", …
	Table string
	Index string
	// Rows were read from the table: given on, or removed by a filter.
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

// add takes a node's own pages: what it touched less what its children did. A CTE is a child of the node that
// declares it but also counts at whoever scans it, so a CTE Scan's are left out.
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

// indexName is the node's, or that of the bitmap below it.
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

// smallTable is how many rows are read from end to end as fast as by an index.
const smallTable = 200

// SeqScans lists tables and partitions that were read from end to end, unless they are small.
func (p Plan) SeqScans() (tables []string) {
	for _, s := range p.Scans {
		if s.Type == "Seq Scan" && s.Rows > smallTable {
			tables = append(tables, s.Table)
		}
	}
	return tables
}

// Rows counts the rows that were read of tables that grow with the deliveries, whether or not a filter kept them.
func (p Plan) Rows() (rows float64) {
	for _, s := range p.Scans {
		if Grows(s.Table) {
			rows += s.Rows
		}
	}
	return rows
}

// Grows reports whether a table or partition is one of those that grow with the deliveries.
func Grows(table string) bool {
	for _, prefix := range []string{"events_", "deliveries_", "attempts_", "delivery_queue"} {
		if strings.HasPrefix(table, prefix) {
			return true
		}
	}
	return false
}
