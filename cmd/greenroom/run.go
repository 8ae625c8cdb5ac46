package main

import (
	"context"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/devstack"
)

// runAll runs the product on the stores until ctx ends.
func runAll(ctx context.Context, _ config.Config, _ *devstack.Stack) error {
	<-ctx.Done()
	return nil
}
