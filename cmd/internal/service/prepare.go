package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"greenroom/cmd/internal/config"
	"greenroom/workflows"
)

// prepare registers the search attributes in the namespace, unless they are there. The leader calls it again before
// each look for lost work: a namespace comes back without them when Temporal's store was lost or restored.
func prepare(ctx context.Context, c client.Client, cfg config.Config) error {
	return registerAttributes(ctx, c, cfg.Temporal.Namespace)
}

// attributesVisible bounds the wait for new search attributes: servers cache the list for some seconds.
const attributesVisible = time.Minute

func registerAttributes(ctx context.Context, c client.Client, namespace string) error {
	missing, err := MissingAttributes(ctx, c, namespace)
	if err != nil || len(missing) == 0 {
		return err
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		SearchAttributes: missing, Namespace: namespace,
	})
	var exists *serviceerror.AlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("register search attributes: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, attributesVisible)
	defer cancel()
	for len(missing) > 0 {
		if missing, err = MissingAttributes(ctx, c, namespace); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for search attributes: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// MissingAttributes returns the search attributes that the namespace lacks, by name. One of another type is an error.
func MissingAttributes(
	ctx context.Context,
	c client.Client,
	namespace string,
) (map[string]enumspb.IndexedValueType, error) {
	have, err := c.OperatorService().
		ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return nil, fmt.Errorf("list search attributes: %w", err)
	}
	missing := map[string]enumspb.IndexedValueType{}
	for name, wanted := range workflows.SearchAttributes() {
		is, ok := have.CustomAttributes[name]
		switch {
		case !ok:
			missing[name] = wanted
		case is != wanted:
			return nil, fmt.Errorf("search attribute %s has the type %s and must have %s: remove it "+
				"(temporal operator search-attribute remove --namespace %s --name %s) and start the worker again",
				name, is, wanted, namespace, name)
		}
	}
	return missing, nil
}

// formerSchedule ran the upkeep in versions that did it in a workflow.
const formerSchedule = "greenroom-upkeep"

// deleteFormerSchedule keeps it from starting workflows of a type that no worker has.
func deleteFormerSchedule(ctx context.Context, c client.Client) error {
	err := c.ScheduleClient().GetHandle(ctx, formerSchedule).Delete(ctx)
	var none *serviceerror.NotFound
	if err != nil && !errors.As(err, &none) {
		return fmt.Errorf("delete the schedule %s: %w", formerSchedule, err)
	}
	return nil
}
