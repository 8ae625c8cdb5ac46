package api_test

import (
	"testing"

	"greenroom/api/apitest"
)

func TestContractsAreComplete(t *testing.T) {
	t.Parallel()
	apitest.CheckRoutes(t, apitest.Setup(t).Handler.Surfaces())
}
