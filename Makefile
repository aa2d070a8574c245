# What people and CI run. `make` alone lists the targets.
#
# The linters and checkers are pinned in module files of their own under tools/,
# so that nothing they need ever enters the product's go.mod.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# The steps of `make test` stay in order, also under -j, so that the test
# runner's own summary is the last thing printed.
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# What `claudebench version` says: the tag, else the commit. Empty outside a clone.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
# How long one package's tests may take before they are stopped with a trace.
TEST_TIMEOUT ?= 20m
# CI keeps the pictures that tests take, below bin/_artifacts. Elsewhere the flag would only make every
# test run again.
ARTIFACTS ?= $(if $(CI),-artifacts -outputdir '$(CURDIR)/bin')
# Which packages `make check` tests: make check PKG=./events/...
PKG ?= ./...
# How long `make fuzz` runs each target.
FUZZ_TIME ?= 10m
# "required" makes `make vuln` fail when the vulnerability database is unreachable.
VULN_DB ?= optional
# The name of the container image that `make image` builds.
IMAGE ?= claudebench:dev

# The folders with Go code of ours: bench and tools/promql are modules of their own.
MODULES := . $(patsubst %/go.mod,%,$(wildcard bench/go.mod tools/promql/go.mod))

# Leaves out gRPC's own debug pages, which nobody serves and which would make the program a third larger.
TAGS := grpcnotrace
LDFLAGS := $(if $(VERSION),-X main.version=$(VERSION))
TOOL := go tool -modfile='$(CURDIR)/tools/go.mod'
GOLANGCI := $(TOOL) golangci-lint
ACTIONLINT := go tool -modfile='$(CURDIR)/tools/workflows/go.mod' actionlint
COMPOSE_SPEC := $(TOOL) github.com/compose-spec/compose-go/v2/cmd

.PHONY: help
help: ## List the targets
	@echo 'make TARGET:'
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##### Every day

.PHONY: run
run: ## Start a coordinator on this machine, with its own Redis and Postgres
	@go build -ldflags '$(LDFLAGS)' -o bin/claudebench ./cmd/claudebench
	@exec bin/claudebench up

.PHONY: build
build: ## Build bin/claudebench
	@echo '==> build: bin/claudebench $(VERSION)'
	@go build -tags '$(TAGS)' -ldflags '$(LDFLAGS)' -o bin/claudebench ./cmd/claudebench

.PHONY: check
check: ## Only the Go tests, with the race detector (PKG=./events/... for some)
	@mkdir -p bin
	@echo '==> go test -race $(PKG)'
	@go test -race -timeout $(TEST_TIMEOUT) $(ARTIFACTS) $(PKG)

.PHONY: generate
generate: ## Write docs/api.md, docs/events.md, docs/asyncapi.yaml, docs/reference.md and the TypeScript client from the code
	@echo '==> generate: docs/api.md, docs/events.md, docs/asyncapi.yaml, docs/reference.md, examples/node/src/api.ts'
	@go test ./internal/apidoc -update
	@go test ./examples/node -run TestTheGeneratedPartIsCurrent -update
	@go test ./cmd/claudebench -run TestTheReferenceIsCurrent -update

.PHONY: fmt
fmt: ## Format the Go code
	@$(GOLANGCI) fmt

.PHONY: bench
bench: ## Measure the coordinator on a private Redis and print a table
	@cd bench && go run .

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZ_TIME=10m each (PKG=./events/... for some)
	@FUZZ_TIME='$(FUZZ_TIME)' tools/fuzz.sh $(PKG)

##### Before a change is handed in

.PHONY: test
test: deps fmt-check vet lint vuln tidy-check compose-check check ## Everything CI checks; installs what is missing

.PHONY: deps
deps: ## Install redis-server, PostgreSQL, a C compiler, Node.js and Chromium where they are missing
	@echo '==> deps: redis-server, PostgreSQL, a C compiler, Node.js, Chromium'
	@tools/deps.sh

.PHONY: fmt-check
fmt-check: ## Fail if the Go code is not formatted
	@echo '==> formatting'
	@$(GOLANGCI) fmt --diff || { echo 'not formatted: run make fmt' >&2; exit 1; }

.PHONY: vet
vet: ## go vet, and a build of every package
	@echo '==> go build, go vet'
	@for dir in $(MODULES); do (cd "$$dir" && go build -o /dev/null ./... && go vet ./...) || exit 1; done

.PHONY: lint
lint: ## Static analysis of the Go code and of the GitHub workflow
	@echo '==> static analysis'
	@for dir in $(MODULES); do (cd "$$dir" && $(GOLANGCI) run --allow-parallel-runners ./...) || exit 1; done
	@$(ACTIONLINT)

.PHONY: vuln
vuln: ## Known vulnerabilities in what the code reaches
	@echo '==> known vulnerabilities'
	@tools/vuln.sh $(VULN_DB)

.PHONY: tidy-check
tidy-check: ## Fail if go mod tidy would change a module file
	@echo '==> go mod tidy'
	@tools/tidy.sh

##### Containers

.PHONY: compose-check
compose-check: ## Check docker-compose.yml; needs no Docker
	@echo '==> docker-compose.yml'
	@$(COMPOSE_SPEC) docker-compose.yml >/dev/null

.PHONY: image
image: ## Build the container image (IMAGE=claudebench:dev)
	@docker build --build-arg 'VERSION=$(VERSION)' -t '$(IMAGE)' .

.PHONY: compose-smoke
compose-smoke: ## Start docker-compose.yml, wait until all is healthy, end it and delete its data
	@tools/compose-smoke.sh

##### Cleaning up

.PHONY: clean
clean: ## Remove what was built, and profiles
	@rm -rf bin
	@find . -name .git -prune -o -type f \( -name '*.test' -o -name '*.prof' -o -name '*.pprof' -o -name 'coverage.out' \) -exec rm -f {} +
