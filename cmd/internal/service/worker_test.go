package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"greenroom/activities/webhook"
	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// wait is long because the machine may be slow.
const wait = time.Minute

// bundle is the environment of a worker: its own database and task queue, a webhook, and its receiver.
type bundle struct {
	t   *testing.T
	db  *bun.DB
	cfg config.Config
	log lines
	// got has a value for each delivery that arrived.
	got chan string
	co  db.Company
}

// lines is a log that can be read concurrently with writes.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) find(re string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return regexp.MustCompile(re).FindStringSubmatch(l.buf.String())
}

func setup(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	return newBundle(t)
}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	d, url := dbtest.NewURL(t)
	return bundleOn(t, d, url)
}

// bundleOn is newBundle with a migrated database.
func bundleOn(t *testing.T, d *bun.DB, url string) *bundle {
	t.Helper()
	b := &bundle{t: t, db: d, got: make(chan string, 100), co: db.Company{Name: "Acme"}}
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	cfg, err := config.Load(nil)
	require.NoError(t, err)
	b.cfg, err = cfg.WithSecrets("6b6579206f66207468652074657374732c20333220627974657320696e206865", keyset)
	require.NoError(t, err)
	b.cfg.Database.URL, b.cfg.Worker.HTTPAddr = url, "127.0.0.1:0"
	b.cfg.Temporal.Address, b.cfg.Temporal.Managed = os.Getenv("GREENROOM_TEST_TEMPORAL_ADDRESS"), true
	require.NotEmpty(t, b.cfg.Temporal.Address, "run the tests with `make test`")
	b.cfg.Temporal.TaskQueue = "service-" + uuid.NewString()
	b.cfg.Egress.AllowHTTP, b.cfg.Egress.AllowLoopback = true, true
	b.subscribe()
	return b
}

func (b *bundle) subscribe() {
	receiver := httptest.NewServer(
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { b.got <- r.Header.Get("Webhook-Id") }),
	)
	b.t.Cleanup(receiver.Close)
	require.NoError(b.t, db.CreateCompany(b.t.Context(), b.db, &b.co))
	box, err := seal.New(b.cfg.Keyset)
	require.NoError(b.t, err)
	w := &delivery.Webhook{
		ID:             pg.NewID(),
		CompanyID:      &b.co.ID,
		OwnerCompanyID: &b.co.ID,
		Profile:        "instaview",
		URL:            receiver.URL,
		Events: []string{
			catalog.InterviewStarted,
		},
		IsActive:   true,
		MaxRetries: 3,
		TimeoutMS:  5000,
		Headers:    []delivery.WebhookHeader{},
	}
	w.Secret, err = box.Seal(webhook.GenerateSecret(), w.ID, delivery.SecretField)
	require.NoError(b.t, err)
	require.NoError(b.t, delivery.CreateWebhook(b.t.Context(), b.db, w))
}

// publish records n events, each with one delivery.
func (b *bundle) publish(n int) {
	b.t.Helper()
	for range n {
		require.NoError(b.t, pg.InTx(b.t.Context(), b.db, func(ctx context.Context, tx bun.Tx) error {
			_, err := delivery.RecordEvent(
				ctx,
				tx,
				&delivery.Event{CompanyID: &b.co.ID, Type: catalog.InterviewStarted, Data: json.RawMessage(`{}`)},
			)
			return err
		}))
	}
}

// arrives waits for n deliveries.
func (b *bundle) arrives(n int) {
	b.t.Helper()
	for range n {
		select {
		case <-b.got:
		case <-time.After(wait):
			b.t.Fatal("a delivery did not arrive")
		}
	}
}

// work starts a worker that stops at the end of the test. It returns when the worker responds to probes.
func (b *bundle) work() (url string) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	logger := slog.New(slog.NewTextHandler(&b.log, nil))
	go func() { done <- service.Worker(ctx, b.cfg, b.db, logger, nil) }()
	b.t.Cleanup(func() {
		cancel()
		<-done // its error is the context's if it never reached Temporal
	})
	b.eventually(func() bool {
		found := b.log.find(`"worker answers probes" addr=(\S+)`)
		if found != nil {
			url = "http://" + found[1]
		}
		return found != nil
	})
	return url
}

func (b *bundle) eventually(ok func() bool) {
	b.t.Helper()
	require.Eventually(b.t, ok, wait, 20*time.Millisecond)
}

func (b *bundle) get(url string) (status int, body string) {
	b.t.Helper()
	resp, err := http.Get(url)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return resp.StatusCode, string(raw)
}

func (b *bundle) ready(url string) bool {
	status, _ := b.get(url + "/readyz")
	return status == http.StatusOK
}

func TestWorkerAnswersProbesAndShowsMetrics(t *testing.T) {
	b := setup(t)
	url := b.work()
	b.eventually(func() bool { return b.ready(url) })
	b.publish(3)
	b.arrives(3)
	for _, want := range []string{
		`greenroom_attempts_total\{outcome="succeeded",profile="instaview"\} [1-9]`,
		`greenroom_workflow_starts_total\{eager="true"\} [1-9]`, `greenroom_queue_deliveries 0`, `go_goroutines \d+`,
		`temporal_workflow_task_execution_latency_seconds_count\{[^}]*workflow_type="DeliverWebhook"[^}]*\} [1-9]`,
		`temporal_request_total\{[^}]*operation="StartWorkflowExecution"[^}]*\} [1-9]`,
		`temporal_sticky_cache_size\{?[^}]*\}? \d`,
	} {
		b.eventually(func() bool { // the metrics include all tests of this process; the queue is only this test's
			_, shown := b.get(url + "/metrics")
			return regexp.MustCompile(want).MatchString(shown)
		})
	}
	t.Run("also_at_an_api_of_the_same_process", func(t *testing.T) {
		_, shown := b.get(b.serve() + "/metrics")
		require.Regexp(t, `greenroom_attempts_total\{outcome="succeeded",profile="instaview"\} [1-9]`, shown)
		require.Contains(t, shown, "temporal_request_total{")
	})
}

func TestWorkerIsAliveAndNotReadyWithoutItsStores(t *testing.T) {
	t.Run("temporal", func(t *testing.T) {
		b := setup(t)
		b.cfg.Temporal.Address = "127.0.0.1:1"
		url := b.work()
		status, _ := b.get(url + "/healthz")
		require.Equal(t, http.StatusOK, status)
		require.False(t, b.ready(url))
	})
	t.Run("database", func(t *testing.T) {
		b := setup(t)
		url := b.work()
		b.eventually(func() bool { return b.ready(url) })
		require.NoError(t, b.db.Close())
		require.False(t, b.ready(url))
		status, _ := b.get(url + "/healthz")
		require.Equal(t, http.StatusOK, status)
	})
}

// Without migrations, /readyz says what to do. Without a database, the metrics show it too.
func TestWorkerSaysWhyItIsNotReady(t *testing.T) {
	b := setup(t)
	url := b.work()
	b.eventually(func() bool { return b.ready(url) })
	_, shown := b.get(url + "/metrics")
	require.Contains(t, shown, "greenroom_database_up 1")

	_, err := b.db.ExecContext(t.Context(), "ALTER TABLE bun_migrations RENAME TO elsewhere")
	require.NoError(t, err)
	status, body := b.get(url + "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "run greenroom migrate up")

	require.NoError(t, b.db.Close())
	_, body = b.get(url + "/readyz")
	require.Contains(t, body, "the database does not answer")
	_, shown = b.get(url + "/metrics")
	require.Contains(t, shown, "greenroom_database_up 0")
}

func TestWorkerRefusesAnAddressInUse(t *testing.T) {
	b := setup(t)
	b.cfg.Worker.HTTPAddr = b.work()[len("http://"):]
	err := service.Worker(t.Context(), b.cfg, b.db, slog.New(slog.DiscardHandler), nil)
	require.ErrorContains(t, err, "setting worker.http_addr")
}

// A versioned worker gets no task until its version is current. It must not start workflows eagerly either: that would
// bypass the check.
func TestVersionedWorkerWorksOnceItsVersionIsCurrent(t *testing.T) {
	b := setup(t)
	b.cfg.Worker.DeploymentName, b.cfg.Worker.BuildID = "greenroom-"+uuid.NewString(), "1.0.0"
	url := b.work()
	b.eventually(func() bool { return b.ready(url) })
	b.publish(1)
	b.eventually(func() bool { // its workflow exists and waits
		var waiting int
		require.NoError(t, b.db.NewRaw("SELECT count(*) FROM delivery_queue").Scan(t.Context(), &waiting))
		return waiting == 0
	})
	b.makeCurrent()
	b.arrives(1)
	b.publish(2)
	b.arrives(2)
	c := b.temporal()
	for _, id := range b.workflows() {
		d, err := c.DescribeWorkflowExecution(t.Context(), id, "")
		require.NoError(t, err)
		require.Equal(t, b.cfg.Worker.BuildID, d.WorkflowExecutionInfo.VersioningInfo.DeploymentVersion.BuildId)
		first, err := c.GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT).Next()
		require.NoError(t, err)
		require.False(t, first.GetWorkflowExecutionStartedEventAttributes().GetEagerExecutionAccepted())
	}
}

func (b *bundle) temporal() client.Client {
	b.t.Helper()
	c, err := client.Dial(client.Options{HostPort: b.cfg.Temporal.Address})
	require.NoError(b.t, err)
	b.t.Cleanup(c.Close)
	return c
}

// makeCurrent does what `temporal worker deployment set-current-version` does. The server knows a version when its
// workers have polled.
func (b *bundle) makeCurrent() {
	b.t.Helper()
	deployment := b.temporal().WorkerDeploymentClient().GetHandle(b.cfg.Worker.DeploymentName)
	var err error
	for deadline := time.Now().Add(wait); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		_, err = deployment.SetCurrentVersion(
			b.t.Context(),
			client.WorkerDeploymentSetCurrentVersionOptions{BuildID: b.cfg.Worker.BuildID},
		)
		if err == nil {
			return
		}
	}
	require.NoError(b.t, err)
}

// workflows returns the workflow ids of all deliveries.
func (b *bundle) workflows() (ids []string) {
	b.t.Helper()
	b.eventually(func() bool {
		ids = nil
		require.NoError(
			b.t,
			b.db.NewRaw("SELECT workflow_id FROM deliveries WHERE workflow_id IS NOT NULL").Scan(b.t.Context(), &ids),
		)
		return len(ids) == 3
	})
	return ids
}
