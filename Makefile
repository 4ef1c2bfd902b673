# Tidegate: every job of a developer and of CI is a target here. `make help` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help

GO       ?= go
MODULES  := shared eventing dps-gateway functions infra
PACKAGES := $(addsuffix /...,$(addprefix ./,$(MODULES)))
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null)$(shell git diff --quiet HEAD 2>/dev/null || echo -dirty)
LDFLAGS  := -s -w -X github.com/tidegate/tidegate/shared/version.Version=$(VERSION) -X github.com/tidegate/tidegate/shared/version.Commit=$(COMMIT)
BUILD    := CGO_ENABLED=0 $(GO) build -trimpath -ldflags='$(LDFLAGS)'

GOLANGCI_LINT_VERSION := v2.15.0
VERSITYGW_VERSION     := v1.8.0

FUNCTIONS := bucket-events asset-publisher negotiation-approver subscription-manager transfer-puller data-server transfer-pusher
EXAMPLES  := nats-stream
PROGRAMS  := tidegate sandbox local-broker dps-gateway $(FUNCTIONS) $(EXAMPLES)

export VERSITYGW := $(CURDIR)/.bin/versitygw

##@ Use

.PHONY: run
run: build ## Start everything on this machine and tell the story of each file; Ctrl-C stops it. DIR=.run PORT=7400
	@bin/tidegate run -dir $(or $(DIR),.run) -port $(or $(PORT),7400) $(ARGS)

.PHONY: demo
demo: build ## Run the main job without a person and compare every file. FILES=dir takes those files
	@bin/tidegate demo $(if $(FILES),-files '$(FILES)') $(ARGS)

##@ Build

.PHONY: build
build: $(addprefix bin/,$(PROGRAMS)) ## Build every program into bin/

# Go knows best what has changed: each program is always handed to it, and is up to date in an instant.
bin/tidegate bin/sandbox: bin/%: FORCE
	@$(BUILD) -o $@ ./infra/cmd/$*
bin/local-broker: FORCE
	@$(BUILD) -o $@ ./eventing/cmd/local-broker
bin/dps-gateway: FORCE
	@$(BUILD) -o $@ ./dps-gateway/cmd/dps-gateway
$(addprefix bin/,$(FUNCTIONS) $(EXAMPLES)): bin/%: FORCE
	@$(BUILD) -o $@ ./functions/$*
FORCE:

.PHONY: generate
generate: ## Make the generated files anew
	@for m in $(MODULES); do (cd $$m && $(GO) generate ./...) || exit 1; done

.PHONY: check-generate
check-generate: generate ## Fail if a generated file or a go.mod is not what its tool writes
	@for m in $(MODULES) infra/k8s; do (cd $$m && GOWORK=off $(GO) mod tidy -diff) || { echo "go.mod of $$m: run 'go mod tidy' there"; exit 1; }; done
	@git diff --exit-code -- . || { echo "generated files differ: run 'make generate' and commit"; exit 1; }
	@test -z "$$(git ls-files --others --exclude-standard)" || { git ls-files --others --exclude-standard; echo "generated files are not committed"; exit 1; }

##@ Test

.PHONY: test
test: test-tools build ## Run all tests, with the race detector
	$(GO) test -race -shuffle=on -timeout=20m $(TESTFLAGS) $(PACKAGES)
	GOWORK=off $(GO) -C infra/k8s test -shuffle=on -timeout=10m $(TESTFLAGS) ./...

.PHONY: fuzz-short
fuzz-short: ## Run every fuzz target for FUZZTIME (default 10s) each
	@infra/scripts/fuzz.sh $(or $(FUZZTIME),10s) $(MODULES)

.PHONY: bench
bench: build test-tools bench-tools ## Measure: signaling, data endpoint beside nginx, cold starts, memory, stored flows, streams
	@$(GO) run ./infra/cmd/bench $(ARGS)

.PHONY: lint
lint: .bin/golangci-lint ## Check style and known mistakes
	@.bin/golangci-lint run $(PACKAGES)
	@cd infra/k8s && GOWORK=off $(CURDIR)/.bin/golangci-lint run ./...

##@ Kubernetes

# A module of its own, outside go.work: what it needs of Kubernetes must not raise the versions that the programs are built with.
bin/k8s-tool bin/images-tool: bin/%-tool: FORCE
	@GOWORK=off CGO_ENABLED=0 $(GO) -C infra/k8s build -o $(CURDIR)/$@ ./cmd/$*

IMAGE_REPO ?= dev.local/tidegate
IMAGE_TAG  ?= dev
ARCH       ?= amd64,arm64

.PHONY: manifests
manifests: bin/k8s-tool ## Render the Kustomize overlays into bin/manifests and check them, as the API server and Knative would and beyond
	@bin/k8s-tool render -out bin/manifests infra/k8s/overlays/dev infra/k8s/overlays/production infra/k8s/overlays/production-redis

.PHONY: tenant
tenant: bin/k8s-tool ## Give a tenant functions of its own: NAME=acme DOC=acme.yaml SECRETS='files…' OVERLAY=dev; REMOVE=1 takes them away
	@bin/k8s-tool tenant -overlay infra/k8s/overlays/$(or $(OVERLAY),dev) -name '$(NAME)' $(if $(REMOVE),-remove,-doc '$(DOC)' $(SECRETS))

export FUNCTION TENANT IMAGE PERCENT NAMESPACE
.PHONY: canary promote rollback revisions
canary: ## Give a new version of a function a share of its events: FUNCTION=… IMAGE=… PERCENT=10 TENANT=line
	@infra/scripts/revisions.sh canary
promote: ## Give the new version all: FUNCTION=… TENANT=line
	@infra/scripts/revisions.sh promote
rollback: ## Give all back to the version before the canary: FUNCTION=… TENANT=line
	@infra/scripts/revisions.sh rollback
revisions: ## Show a function's versions and their shares: FUNCTION=… TENANT=line
	@infra/scripts/revisions.sh show

.PHONY: images
images: bin/images-tool ## Build each program into an OCI archive in bin/images. ARCH=amd64,arm64 IMAGE_REPO=… IMAGE_TAG=… IMAGES="dps-gateway …"
	@bin/images-tool -out bin/images -repo $(IMAGE_REPO) -tag $(IMAGE_TAG) -arch $(ARCH) -version $(VERSION) $(IMAGES)

.PHONY: images-dev
images-dev: bin/images-tool test-tools ## Pack what only the overlay dev needs: this machine's redis-server and S3 server
	@bin/images-tool -out bin/images -repo $(IMAGE_REPO) -tag $(IMAGE_TAG) -host-programs redis=$$(command -v redis-server),versitygw=.bin/versitygw

##@ Cluster

# The cluster of this machine lives in CLUSTER_DIR: programs/ is built once and kept, run/ and log/ are those of the cluster that is up.
CLUSTER_DIR ?= $(CURDIR)/.cluster
CLUSTER     := bin/cluster -dir '$(CLUSTER_DIR)'
CLUSTER_TEST_TIME := 45m

.PHONY: cluster-up
cluster-up: bin/cluster cluster-tools ## Start a real Kubernetes with Knative on this machine; as root, minutes the first time
	@$(CLUSTER) up

.PHONY: cluster-test
cluster-test: bin/cluster bin/clustertest manifests ## Test Tidegate on that cluster, or on KUBECONFIG's with images from IMAGE_REPO. RUN=part
	@infra/scripts/cluster-test.sh '$(CLUSTER_DIR)' -test.timeout=$(CLUSTER_TEST_TIME) $(if $(RUN),-test.run='TestCluster/$(RUN)')

.PHONY: cluster-down
cluster-down: bin/cluster ## End it, and prove that nothing is left behind
	@$(CLUSTER) down

bin/cluster: FORCE
	@$(BUILD) -o $@ ./infra/cmd/cluster
bin/clustertest: FORCE
	@CGO_ENABLED=0 $(GO) test -c -o $@ ./infra/cluster/clustertest

##@ Tools

.PHONY: cluster-tools
cluster-tools: ## Install what the cluster needs, if this is root: containerd, runc, CNI plug-ins, iptables, conntrack
	@[ "$$(id -u)" -ne 0 ] || infra/scripts/need.sh containerd runc /usr/lib/cni/bridge iptables conntrack ip

.PHONY: test-tools
test-tools: .bin/versitygw ## Install what the tests need: redis-server, an S3 server
	@infra/scripts/need.sh redis-server

.PHONY: bench-tools
bench-tools: ## Install what the benchmarks need: nginx, wrk
	@infra/scripts/need.sh nginx wrk

.bin/golangci-lint:
	GOBIN=$(CURDIR)/.bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
.bin/versitygw:
	GOBIN=$(CURDIR)/.bin $(GO) install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)

.PHONY: clean
clean: ## Remove what was built; .run, with its buckets, stays
	rm -rf bin .bin

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
