package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"greenroom/cmd/internal/config"
	"greenroom/workflows"
)

// prepare registers what the workflows need in the namespace: the search attributes and the schedule of the upkeep.
// It does nothing where they are there already.
func prepare(ctx context.Context, c client.Client, cfg config.Config, logger *slog.Logger) error {
	if err := registerAttributes(ctx, c, cfg.Temporal.Namespace); err != nil {
		return err
	}
	if err := scheduleUpkeep(ctx, c, cfg); err != nil {
		// The partitions are made a week ahead and a default partition takes the rest: no reason not to deliver.
		logger.WarnContext(ctx, "schedule upkeep", "error", err)
	}
	return nil
}

// ensurePrepared does again what prepare did, where a namespace came back without it: Temporal's store was lost or
// restored.
func ensurePrepared(ctx context.Context, c client.Client, cfg config.Config) error {
	if err := registerAttributes(ctx, c, cfg.Temporal.Namespace); err != nil {
		return err
	}
	_, err := c.ScheduleClient().GetHandle(ctx, upkeepID).Describe(ctx)
	var none *serviceerror.NotFound
	if errors.As(err, &none) {
		err = scheduleUpkeep(ctx, c, cfg)
	}
	if err != nil {
		return fmt.Errorf("look for the schedule of the upkeep: %w", err)
	}
	return nil
}

// attributesVisible bounds the wait for new search attributes: servers cache the list for some seconds.
const attributesVisible = time.Minute

func registerAttributes(ctx context.Context, c client.Client, namespace string) error {
	missing, err := missingAttributes(ctx, c, namespace)
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
		if missing, err = missingAttributes(ctx, c, namespace); err != nil {
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

func missingAttributes(
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
				"(temporal operator search-attribute remove --name %s) and start the worker again", name, is, wanted, name)
		}
	}
	return missing, nil
}

// upkeepID is the id of the schedule; upkeepEvery makes partitions long before they are needed.
const (
	upkeepID    = "greenroom-upkeep"
	upkeepEvery = 6 * time.Hour
)

func scheduleUpkeep(ctx context.Context, c client.Client, cfg config.Config) error {
	action := &client.ScheduleWorkflowAction{
		ID: upkeepID, Workflow: workflows.KeepHouse, TaskQueue: cfg.Temporal.TaskQueue,
		Args: []any{workflows.KeepHouseInput{RetentionDays: cfg.Retention.Days, DisableAfter: cfg.Circuit.DisableAfter}},
	}
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: upkeepID, Action: action, TriggerImmediately: true,
		Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: upkeepEvery}}},
	})
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return err
	}
	return c.ScheduleClient().GetHandle(ctx, upkeepID).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			s := in.Description.Schedule
			s.Action = action
			return &client.ScheduleUpdate{Schedule: &s}, nil
		},
	})
}
