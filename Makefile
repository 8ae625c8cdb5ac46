# Everything here needs make, git and Go, and on a machine without PostgreSQL the right to install it. `make` lists the targets.

GREENROOM    := .build/greenroom
VERSION      := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TOOLS        := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/greenroom/tools
TODAY        = $(shell date +%F)
GOLANGCI     := $(TOOLS)/golangci-lint-v2.15.0/golangci-lint
WORKFLOWCHECK := $(TOOLS)/workflowcheck-v0.6.0/workflowcheck
CYCLONEDX    := $(TOOLS)/cyclonedx-gomod-v1.10.0/cyclonedx-gomod
PROMTOOL     := $(TOOLS)/promtool-2/promtool
SBOM         := .build/greenroom.cdx.json
GREMLINS     := $(TOOLS)/gremlins-v0.6.0/gremlins

SCALAR       = $(shell sed -n 's/.*scalarVersion = "\(.*\)"/\1/p' api/docs/docs.go)

# A bare machine has no C compiler, and nothing here needs one but the race detector.
export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help
.PHONY: help run demo test test-race mutants histories clients scalar bench bench/large bench/scale chaos lint alerts fmt migrate build sbom image clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z\/-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Run everything on this machine, in the foreground
	@exec $(GREENROOM) dev

demo: build ## Against a running `make run`: one interview, and its signed webhooks arriving
	@exec $(GREENROOM) demo

test: build ## All tests, on throw-away stores
	@exec $(GREENROOM) dev exec -- go test -count=1 -timeout 20m $(or $(PKG),./...)

test-race: build ## The same with the race detector; needs a C compiler
	@exec env CGO_ENABLED=1 $(GREENROOM) dev exec -- go test -race -count=1 -timeout 40m $(or $(PKG),./...)

mutants: build $(GREMLINS) ## Change the code of PKG=./… in small ways, and list the changes that no test notices; ARGS=… for other flags
	@exec $(GREENROOM) dev exec -- .ci/mutants/run $(GREMLINS) $(or $(PKG),$(error PKG is the package, e.g. PKG=./workflows)) $(ARGS)

histories: build ## Record today's workflow histories beside the older ones, see workflows/replay_histories_test.go
	@mkdir -p workflows/testdata/$(TODAY)
	@exec env GREENROOM_RECORD_HISTORIES=$(CURDIR)/workflows/testdata/$(TODAY) $(GREENROOM) dev exec -- go test -count=1 -timeout 20m ./cmd/internal/e2e

clients: ## Generate the Go client in api/client from its contract, and one from every other contract to see that it can be
	@go test ./api/openapi -count=1 -run TestClientsAreGenerated -update

scalar: ## Fetch the version of Scalar that api/docs/docs.go names, for the pages at /docs; needs npm
	@dir=$$(mktemp -d) && cd $$dir && npm pack --silent @scalar/api-reference@$(SCALAR) && tar xzf *.tgz && \
		rm -f $(CURDIR)/api/docs/scalar/*.gz && \
		gzip -9nc package/dist/browser/standalone.js > $(CURDIR)/api/docs/scalar/standalone-$(SCALAR).js.gz; rm -rf $$dir

bench: build ## Measure deliveries per second, latency and CPU time on this machine
	@exec $(GREENROOM) bench

bench/large: build ## Measure the database with 10 million deliveries in it; wants 14 GiB of disk, ROWS=… for another number
	@exec $(GREENROOM) bench large $(if $(ROWS),--rows $(ROWS))

bench/scale: build ## Measure 1, 2 and 4 APIs and workers, each on one processor
	@exec $(GREENROOM) bench --scenario scale-1,scale-2,scale-4

chaos: build ## Break everything at random under load, and account for every event; FAULTS=…, SEED=…, ARGS=… for other flags
	@exec $(GREENROOM) chaos $(if $(FAULTS),--faults $(FAULTS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

lint: $(GOLANGCI) $(WORKFLOWCHECK) ## Check style, mistakes, layers, and that workflows are deterministic
	go vet ./...
	$(GOLANGCI) run ./...
	$(WORKFLOWCHECK) ./workflows/...

alerts: $(PROMTOOL) ## Check the alerts of deploy/prometheus, and that each fires when it must
	$(PROMTOOL) check config deploy/prometheus/prometheus.yaml
	$(PROMTOOL) test rules deploy/prometheus/alerts_test.yaml

fmt: $(GOLANGCI) ## Format the code
	$(GOLANGCI) fmt ./...

migrate: build ## Bring the database in GREENROOM_DATABASE_URL up to date
	@exec $(GREENROOM) migrate up

build: ## Build the program into .build/
	@go build -trimpath -ldflags '-X main.version=$(VERSION)' -o $(GREENROOM) ./cmd/greenroom

sbom: build $(CYCLONEDX) ## List what the program is built from, in CycloneDX, and check that no linked module is missing
	$(CYCLONEDX) bin -json -version $(VERSION) -output $(SBOM) $(GREENROOM)
	@.ci/sbom/check $(GREENROOM) $(SBOM)

image: ## Build the container image
	docker build -f deploy/Dockerfile --build-arg VERSION=$(VERSION) -t greenroom:$(VERSION) .

clean: build ## Remove what was built and all data of `make run`
	$(GREENROOM) dev clean
	rm -rf .build

# Tools are built with the Go at hand, once for each version, outside the repository.
$(GOLANGCI):
	@echo "building golangci-lint (once, about a minute on 2 cores) …"
	GOFLAGS= GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

$(WORKFLOWCHECK):
	GOFLAGS= GOBIN=$(@D) go install go.temporal.io/sdk/contrib/tools/workflowcheck@v0.6.0

$(PROMTOOL):
	@.ci/promtool $(@D)

$(CYCLONEDX):
	GOFLAGS= GOBIN=$(@D) go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

$(GREMLINS):
	GOFLAGS= GOBIN=$(@D) go install github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0
