package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"greenroom/cmd/internal/config"
)

// operation is an operator's action on any workflow in Temporal.
type operation string

const (
	terminate operation = "terminate"
	cancel    operation = "cancel"
	remove    operation = "delete"
	reset     operation = "reset"
	signal    operation = "signal"
)

var operations = []operation{terminate, cancel, remove, reset, signal}

// TestOperators applies every operation to every kind of workflow in every state, as in README's table.
// The cells of a mode share a system and run concurrently: most of them only wait.
func TestOperators(t *testing.T) {
	generators := &generators{gates: map[string]*gate{}}
	generator := httptest.NewServer(generators)
	t.Cleanup(func() { generators.release(); generator.Close() })
	t.Run("a_workflow_each", func(t *testing.T) {
		s := setup(t, eachAlone, func(c *config.Config) { c.Generator.URL = generator.URL })
		s.operateOn(map[string]func(*operated){
			"delivery_retrying":   deliveryRetrying,
			"delivery_in_flight":  deliveryInFlight,
			"delivery_paused":     deliveryPaused,
			"interview_waiting":   interviewWaiting,
			"interview_in_a_call": interviewInACall,
			"interview_analysing": interviewAnalysing,
			"generation":          func(o *operated) { generationRunning(o, generators) },
		})
	})
	t.Run("in_batches", func(t *testing.T) {
		s := setup(t, inBatches, func(c *config.Config) {
			c.Circuit.Threshold, c.Circuit.ReleaseLimit, c.Circuit.Cooldown = 6, 4, 2*time.Second
		})
		s.operateOn(map[string]func(*operated){
			"circuit_open": circuitOpen, "circuit_probing": circuitProbing, "circuit_releasing": circuitReleasing,
			"replay": replayRunning,
		})
	})
	for _, op := range operations { // a batch mixes concurrent deliveries, so each cell has its own system
		t.Run("batch_running/"+string(op), func(t *testing.T) { batchRunning(operatedAlone(t, op)) })
		t.Run("batch_done/"+string(op), func(t *testing.T) { batchDone(operatedAlone(t, op)) })
	}
}

func operatedAlone(t *testing.T, op operation) *operated {
	t.Helper()
	s := setup(t, inBatches)
	return &operated{system: s, c: s.temporal(), op: op, eventType: "batch." + string(op)}
}

// operateOn runs the row of each kind of workflow, one cell for each operation, all concurrently: t.Parallel
// would limit them to the number of CPUs.
func (s *system) operateOn(rows map[string]func(*operated)) {
	c := s.temporal()
	var cells sync.WaitGroup
	defer cells.Wait()
	for name, row := range rows {
		for _, op := range operations {
			cells.Go(func() {
				s.t.Run(name+"/"+string(op), func(t *testing.T) {
					cell := *s
					cell.t = t
					row(&operated{system: &cell, c: c, op: op, eventType: name + "." + string(op)})
				})
			})
		}
	}
}

// operated is one cell: an operation on a workflow in a state.
type operated struct {
	*system
	c         client.Client
	op        operation
	eventType string
}

// hook registers a webhook for events of this cell only.
func (o *operated) hook(r *receiver, more map[string]any) (id any) {
	o.t.Helper()
	o.must(http.MethodPost, "/event-types", map[string]any{"name": o.eventType, "schema": map[string]any{}})
	w := map[string]any{"url": r.URL, "events": []any{o.eventType}, "profile": "standard"}
	for k, v := range more {
		w[k] = v
	}
	return o.must(http.MethodPost, "/webhooks", w)["id"]
}

// has waits until n of the webhook's deliveries have the status.
func (o *operated) has(webhook any, status string, n int) {
	o.t.Helper()
	o.eventually(func() bool { return o.statuses(webhook)[status] == n }, "%d are %s", n, status)
}

// status returns the status of the newest run of a workflow, or 0 without a run.
func (o *operated) status(workflow string) enumspb.WorkflowExecutionStatus {
	d, err := o.c.DescribeWorkflowExecution(o.t.Context(), workflow, "")
	if err != nil {
		return 0
	}
	return d.WorkflowExecutionInfo.Status
}

func (o *operated) runs(workflow string) bool {
	return o.status(workflow) == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
}

// operate applies the cell's operation to an existing workflow. name and arg are those of a signal.
func (o *operated) operate(workflow, name string, arg any) error {
	o.t.Helper()
	c, ctx := o.c, o.t.Context()
	switch o.op {
	case terminate:
		return c.TerminateWorkflow(ctx, workflow, "", "an operator's hand")
	case cancel:
		return c.CancelWorkflow(ctx, workflow, "")
	case signal:
		return c.SignalWorkflow(ctx, workflow, "", name, arg)
	case remove:
		_, err := c.WorkflowService().DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{
			Namespace: client.DefaultNamespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: workflow},
		})
		return err
	case reset:
	}
	return o.resetToStart(workflow)
}

func (o *operated) resetToStart(workflow string) error {
	events := o.c.GetWorkflowHistory(o.t.Context(), workflow, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return err
		}
		if e.EventType != enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			continue
		}
		_, err = o.c.ResetWorkflowExecution(o.t.Context(), &workflowservice.ResetWorkflowExecutionRequest{
			Namespace: client.DefaultNamespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: workflow},
			Reason: "an operator's hand", WorkflowTaskFinishEventId: e.EventId, RequestId: o.eventType,
		})
		return err
	}
	return fmt.Errorf("no workflow task of %s is completed", workflow)
}

// mustOperate is operate for a state in which Temporal must not refuse it.
func (o *operated) mustOperate(workflow, name string, arg any) {
	o.t.Helper()
	var refused error
	o.eventually(func() bool {
		refused = o.operate(workflow, name, arg)
		return refused == nil
	}, "Temporal takes it: %v", refused)
}

// onlyDelivery returns the workflow of the webhook's only delivery.
func (o *operated) onlyDelivery(webhook any) (workflow string) {
	o.t.Helper()
	ds := o.delivered(webhook)
	require.Len(o.t, ds, 1)
	return fmt.Sprintf("delivery:%s:0", ds[0].ID)
}

// canceled checks that a cancellation request canceled the delivery and its workflow.
func (o *operated) canceled(webhook any, workflow string) {
	o.t.Helper()
	o.has(webhook, "canceled", 1)
	o.eventually(
		func() bool { return o.status(workflow) == enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED },
		"the workflow is canceled",
	)
}

func deliveryRetrying(o *operated) {
	r := listen(o.t, func(int, received) (int, http.Header) {
		return http.StatusServiceUnavailable, http.Header{"Retry-After": {"15"}}
	})
	w := o.hook(r, nil)
	o.publish(o.eventType, 1)
	o.has(w, "retrying", 1)
	workflow := o.onlyDelivery(w)
	r.turn(nil)
	o.mustOperate(workflow, "wake", nil)
	if o.op == cancel {
		o.canceled(w, workflow)
		require.Equal(o.t, 1, r.count())
		o.record("DeliverWebhook-canceled_in_temporal", workflow)
		return
	}
	o.has(w, "succeeded", 1)
	require.Equal(o.t, 2, r.count())
}

func deliveryInFlight(o *operated) {
	hold := newGate()
	r := listen(o.t, func(int, received) (int, http.Header) { hold.wait(); return http.StatusOK, nil })
	o.t.Cleanup(hold.release) // before the receiver is closed, which waits for its calls
	w := o.hook(r, nil)
	o.publish(o.eventType, 1)
	o.eventually(func() bool { return hold.waiting() == 1 }, "the attempt is in flight")
	refused := o.operate(o.onlyDelivery(w), "wake", nil)
	if o.op == reset {
		require.Error(o.t, refused, "Temporal refuses a reset before the first task is done")
	} else {
		require.NoError(o.t, refused)
	}
	hold.release()
	o.has(w, "succeeded", 1)
	require.Equal(o.t, 1, r.count(), "an accepted delivery was sent once")
}

func deliveryPaused(o *operated) {
	r := listen(o.t, status(http.StatusInternalServerError))
	w := o.hook(r, nil)
	o.publish(o.eventType, 1)
	o.has(w, "retrying", 1)
	path := fmt.Sprintf("/webhooks/%s", w)
	o.must(http.MethodPatch, path, map[string]any{"isActive": false})
	o.has(w, "paused", 1)
	workflow := o.onlyDelivery(w)
	r.turn(nil)
	o.mustOperate(workflow, "wake", nil)
	if o.op == cancel {
		o.canceled(w, workflow)
		o.must(http.MethodPatch, path, map[string]any{"isActive": true})
		require.Equal(o.t, 1, r.count())
		return
	}
	o.must(http.MethodPatch, path, map[string]any{"isActive": true})
	o.has(w, "succeeded", 1)
	require.Equal(o.t, 2, r.count())
}

// batchOf waits for a batch with deliveries of the webhook. It returns its workflow and their number.
func (o *operated) batchOf(webhook any) (workflow string, deliveries int) {
	o.t.Helper()
	o.eventually(func() bool {
		var rows []struct {
			ID string
			N  int
		}
		require.NoError(
			o.t,
			o.db.NewRaw(`SELECT b.id::text AS id, count(*) AS n
			FROM delivery_batches b CROSS JOIN unnest(b.deliveries) AS x (id)
			JOIN deliveries d ON d.id = x.id WHERE d.webhook_id = ? GROUP BY 1 ORDER BY 2 DESC`, webhook).
				Scan(o.t.Context(), &rows),
		)
		if len(rows) == 0 {
			return false
		}
		workflow, deliveries = "batch:"+rows[0].ID, rows[0].N
		return o.runs(workflow)
	}, "a batch is running")
	return workflow, deliveries
}

func batchRunning(o *operated) {
	const total = 8
	hold := newGate()
	r := listen(o.t, func(int, received) (int, http.Header) { hold.wait(); return http.StatusOK, nil })
	o.t.Cleanup(hold.release) // before the receiver is closed, which waits for its calls
	w := o.hook(r, nil)
	o.publishAtOnce(o.eventType, total)
	o.eventually(func() bool { return hold.waiting() > 1 }, "its attempts are in flight")
	workflow, _ := o.batchOf(w)
	err := o.operate(workflow, "wake", nil)
	if o.op != reset { // Temporal refuses a reset before the first task is done
		require.NoError(o.t, err)
	}
	hold.release()
	o.has(w, "succeeded", total)
	if o.op == cancel || o.op == signal || o.op == reset {
		_, extra := r.acceptedOnce()
		require.Zero(o.t, extra)
	}
	if o.op == cancel {
		o.record("DeliverBatch-canceled_in_temporal", workflow)
	}
}

func batchDone(o *operated) {
	const total = 12
	r := listen(o.t, nil)
	w := o.hook(r, nil)
	o.publishAtOnce(o.eventType, total)
	o.has(w, "succeeded", total)
	batch, of := "", map[string]int{}
	for _, d := range o.delivered(w) {
		if of[d.FirstAttemptBy]++; d.byBatch() && of[d.FirstAttemptBy] > of[batch] {
			batch = d.FirstAttemptBy
		}
	}
	require.NotEmpty(o.t, batch, "a batch delivered them: %v", of)
	o.workflowEnds(batch)
	err := o.operate(batch, "wake", nil)
	switch o.op {
	case terminate, signal:
		require.Error(o.t, err, "there is nothing to %s", o.op)
	case cancel, remove:
		require.NoError(o.t, err)
	case reset:
		require.NoError(o.t, err)
		o.eventually(func() bool { return r.count() >= total+of[batch] }, "all deliveries of the batch are sent again")
		o.eventually(func() bool { return o.batchesOf(w) == 0 }, "the reset batch is finished")
	}
	o.has(w, "succeeded", total)
	_, extra := r.acceptedOnce()
	if o.op == reset {
		require.Equal(o.t, of[batch], extra, "each delivery of the batch was sent once more")
	} else {
		require.Zero(o.t, extra)
	}
}

func (o *operated) batchesOf(webhook any) (n int) {
	require.NoError(o.t, o.db.NewRaw(`SELECT count(*) FROM delivery_batches b WHERE EXISTS (
		SELECT FROM unnest(b.deliveries) AS x (id) JOIN deliveries d ON d.id = x.id WHERE d.webhook_id = ?)`, webhook).
		Scan(o.t.Context(), &n))
	return n
}

const behindCircuit = 30

// behindAnOpenCircuit returns a webhook with an open circuit and 30 paused deliveries.
func (o *operated) behindAnOpenCircuit(more map[string]any) (r *receiver, webhook any, workflow string) {
	o.t.Helper()
	r = listen(o.t, status(http.StatusInternalServerError))
	webhook = o.hook(r, more)
	o.publishAtOnce(o.eventType, 12)
	o.openCircuit(webhook)
	o.publishAtOnce(o.eventType, behindCircuit-12)
	workflow = fmt.Sprintf("circuit:%s", webhook)
	o.eventually(
		func() bool { return o.runs(workflow) && o.statuses(webhook)["paused"] >= behindCircuit-12 },
		"they wait behind the circuit",
	)
	return r, webhook, workflow
}

func circuitOpen(o *operated) {
	r, w, workflow := o.behindAnOpenCircuit(nil)
	r.turn(nil)
	o.mustOperate(workflow, "reset", nil)
	if o.op != signal {
		require.NotNil(
			o.t,
			o.must(http.MethodGet, fmt.Sprintf("/webhooks/%s", w), nil)["circuitOpenedAt"],
			"it is still open",
		)
		o.eventually(func() bool { return o.runs(workflow) }, "the circuit has its workflow")
		require.NoError(o.t, o.c.SignalWorkflow(o.t.Context(), workflow, "", "reset", nil))
	}
	o.has(w, "succeeded", behindCircuit)
	require.Nil(o.t, o.must(http.MethodGet, fmt.Sprintf("/webhooks/%s", w), nil)["circuitOpenedAt"])
	if o.op == cancel {
		o.record("Circuit-canceled_in_temporal", workflow)
	}
}

func circuitProbing(o *operated) {
	r, w, workflow := o.behindAnOpenCircuit(map[string]any{"circuitRecovery": "probe"})
	o.mustOperate(workflow, "reset", nil)
	r.turn(nil)
	o.has(w, "succeeded", behindCircuit)
	if o.op == signal {
		o.record("Circuit-reset_while_it_probes", workflow)
	}
}

func circuitReleasing(o *operated) {
	r, w, workflow := o.behindAnOpenCircuit(nil)
	r.turn(nil)
	o.must(http.MethodPost, fmt.Sprintf("/webhooks/%s/reset-circuit", w), nil)
	o.eventually(func() bool { return o.statuses(w)["succeeded"] >= 3 }, "the release has begun")
	_ = o.operate(workflow, "reset", nil) // it may have already ended
	o.has(w, "succeeded", behindCircuit)
	_, extra := r.acceptedOnce()
	require.Zero(o.t, extra)
}

// due moves a time limit of an interview to a few seconds from now and makes its workflow reload it.
func (o *operated) due(interview, set string) (workflow string) {
	o.t.Helper()
	_, err := o.db.ExecContext(
		o.t.Context(),
		"UPDATE interviews SET "+set+", updated_at = clock_timestamp() WHERE id = ?",
		interview,
	)
	require.NoError(o.t, err)
	workflow = "interview:" + interview
	o.eventually(
		func() bool { return o.c.SignalWorkflow(o.t.Context(), workflow, "", "changed", nil) == nil },
		"the workflow is there",
	)
	return workflow
}

// ends waits for the status of an interview after the operation.
func (o *operated) ends(interview, unlessCanceled string) {
	o.t.Helper()
	want := unlessCanceled
	if o.op == cancel || o.op == signal {
		want = "CANCELED"
	}
	o.eventually(func() bool { return o.interviewStatus(interview) == want }, "the interview is %s", want)
}

func interviewWaiting(o *operated) {
	id := o.interview("ONLINE", "+421900000100")
	workflow := o.due(id, "deadline_at = now() + interval '10 s'")
	o.mustOperate(workflow, "cancel", "asked by phone")
	o.ends(id, "FAILED")
	if o.op == cancel {
		o.record("Interview-canceled_in_temporal", workflow)
	}
}

func (o *operated) began(interview string) (path string) {
	o.t.Helper()
	invite := o.must(http.MethodGet, "/interviews/"+interview, nil)["inviteUrl"].(string)
	path = strings.TrimPrefix(invite, o.url)
	o.must(http.MethodPost, path+"/start", nil)
	return path
}

func interviewInACall(o *operated) {
	id := o.interview("ONLINE", "+421900000100")
	o.began(id)
	o.mustOperate(o.due(id, "started_at = now() - max_minutes * interval '1 minute' + interval '10 s'"), "cancel", nil)
	o.ends(id, "FAILED")
}

func interviewAnalysing(o *operated) {
	id := o.interview("ONLINE", "+421900000100")
	o.must(http.MethodPost, o.began(id)+"/submit", map[string]any{"answers": []any{}})
	o.eventually(func() bool { return o.interviewStatus(id) == "COMPLETED" }, "it is completed")
	o.mustOperate(o.due(id, "analysis_due_at = now() + interval '10 s'"), "cancel", nil)
	o.eventually(func() bool {
		var analysis string
		require.NoError(
			o.t,
			o.db.NewRaw("SELECT analysis_status FROM interviews WHERE id = ?", id).Scan(o.t.Context(), &analysis),
		)
		return analysis == "FAILED"
	}, "the analysis is given up when it is due")
	require.Equal(o.t, "COMPLETED", o.interviewStatus(id), "an interview that has taken place cannot be canceled")
}

func replayRunning(o *operated) {
	const total = 40
	r := listen(o.t, nil)
	w := o.hook(r, nil)
	o.publishAtOnce(o.eventType, total)
	o.has(w, "succeeded", total)
	replay := o.must(http.MethodPost, fmt.Sprintf("/webhooks/%s/replays", w), map[string]any{
		"since": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "status": []string{"succeeded"},
	})
	path := fmt.Sprintf("/webhooks/%s/replays/%s", w, replay["id"])
	o.eventually(func() bool { return r.count() > total }, "it has begun")
	workflow := fmt.Sprintf("replay:%s", replay["id"])
	_ = o.operate(workflow, "changed", nil)
	if o.op == cancel {
		o.eventually(
			func() bool { return o.must(http.MethodGet, path, nil)["state"] == "canceled" },
			"the replay is canceled",
		)
		o.record("ReplayDeliveries-canceled_in_temporal", workflow)
		return
	}
	o.eventually(
		func() bool { return o.must(http.MethodGet, path, nil)["state"] == "completed" },
		"the replay is completed",
	)
	o.eventually(func() bool { return r.count() == 2*total }, "each is sent once more")
}

func generationRunning(o *operated, generators *generators) {
	generator := generators.gate(o.eventType)
	job := o.callAI(
		http.MethodPost,
		"/generate-interview",
		map[string]any{"job_role": "Receptionist", "job_description": o.eventType},
	)
	o.eventually(func() bool { return generator.waiting() > 0 }, "the generator is asked")
	workflow := fmt.Sprintf("generate:%s", job["job_id"])
	o.mustOperate(workflow, "wake", nil)
	want := "completed"
	if o.op == cancel {
		want = "failed"
	} else {
		generator.release()
	}
	o.eventually(func() bool {
		return o.callAI(http.MethodGet, fmt.Sprintf("/generate-interview/%s", job["job_id"]), nil)["status"] == want
	}, "the generation is %s", want)
	if o.op == cancel {
		o.record("GenerateInterview-canceled_in_temporal", workflow)
	}
}

// generators responds to each cell when its gate is open.
type generators struct {
	mu    sync.Mutex
	gates map[string]*gate
}

func (g *generators) gate(cell string) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gates[cell] == nil {
		g.gates[cell] = newGate()
	}
	return g.gates[cell]
}

func (g *generators) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, gate := range g.gates {
		gate.release()
	}
}

func (g *generators) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		JobDescription string `json:"jobDescription"`
	}
	_ = json.NewDecoder(r.Body).Decode(&asked)
	g.gate(asked.JobDescription).wait()
	_, _ = w.Write([]byte(`{"questions":["Whom have you greeted?"]}`))
}

// gate blocks its callers until it is released.
type gate struct {
	mu   sync.Mutex
	n    int
	done bool
	open chan struct{}
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

func (g *gate) wait() {
	g.mu.Lock()
	g.n++
	g.mu.Unlock()
	<-g.open
}

func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.done {
		g.done = true
		close(g.open)
	}
}
