package service_test

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/operatorservice/v1"

	"greenroom/cmd/internal/service"
)

// A worker whose polls are permanently refused exits with an error, so that its supervisor restarts it. The SDK retries
// for two minutes before it reports this.
func TestWorkerThatDiedInsideEnds(t *testing.T) {
	b := setup(t)
	b.cfg.Worker.DeploymentName, b.cfg.Worker.BuildID = "refused:by-the-server", "1"
	err := service.Worker(t.Context(), b.cfg, b.db, slog.New(slog.NewTextHandler(&b.log, nil)), nil)
	require.ErrorContains(t, err, "worker died: ")
}

// A worker without its namespace is alive but not ready. It works again when the namespace is recreated.
func TestWorkerOutlivesItsNamespace(t *testing.T) {
	b := setup(t)
	b.cfg.Temporal.Namespace = "lost-" + uuid.NewString()
	b.makeNamespace()
	url := b.work()
	b.eventually(func() bool { return b.ready(url) })
	b.publish(1)
	b.arrives(1)

	_, err := b.temporal().
		OperatorService().
		DeleteNamespace(t.Context(), &operatorservice.DeleteNamespaceRequest{Namespace: b.cfg.Temporal.Namespace})
	require.NoError(t, err)
	b.eventually(func() bool { return !b.ready(url) })
	status, _ := b.get(url + "/healthz")
	require.Equal(t, http.StatusOK, status)
	b.publish(1)

	b.makeNamespace()
	b.eventually(func() bool { return b.ready(url) })
	b.arrives(1)
}
