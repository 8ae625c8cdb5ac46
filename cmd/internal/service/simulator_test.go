package service_test

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
)

func TestSimulatorPlaysWhatIsNotConfigured(t *testing.T) {
	t.Parallel()
	sim, err := service.StartSimulator(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(sim.Close)

	var none config.Config
	sim.Use(&none)
	require.Equal(
		t,
		[]string{sim.URL, sim.URL, sim.URL, sim.URL, sim.URL},
		[]string{none.Provider.URL, none.Analysis.URL, none.Generator.URL, none.Sourcing.URL, none.Extractor.URL},
	)

	own := config.Config{Generator: config.Service{URL: "https://generator.test", Token: "t"}}
	sim.Use(&own)
	require.Equal(t, config.Service{URL: "https://generator.test", Token: "t"}, own.Generator)
}
