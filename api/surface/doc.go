// Package surface is what every product's API here has in common: who calls and what they may see, how bodies are
// read, what may be refused, and the rows that several of them make.
//
// A [Surface] is one product's API: a table of routes and a [Style], which is how its answers look. All are mounted
// on one [Core] and share its keys, its limits and its log; none knows another. A handler answers by itself or
// returns an error; the core turns any error into an [Error], once, and the style of the surface whose path was
// called writes it. So a refusal is decided in one place and each product's clients still read it in their own
// product's words.
package surface
