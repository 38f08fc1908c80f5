GO        ?= go
GOFUMPT    = $(GO) run mvdan.cc/gofumpt@v0.12.0
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The race detector needs a C compiler. .ci/run insists on it.
RACE ?= $(if $(shell command -v $${CC:-cc}),-race)

# Otherwise each test binary sleeps for a second before it exits.
export GORACE ?= atexit_sleep_ms=0

# make lint vets the tests, and nobody debugs the binaries of make test.
QUICK = -vet=off -ldflags=-w

# The tests and the compiler make much garbage and keep little: collecting it less often saves a
# third of the time of the tests without a database. The benchmarks measure with Go's default.
test test-% worlds soak: export GOGC ?= 400

.PHONY: help test test-postgres test-suites test-variants test-packages test-faults test-sqlite test-examples test-hostworld test-migratetest test-postgres-versions lint bench bench-postgres bench-doc bench-scale bench-http load fuzz soak worlds

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## Run all tests, with the race detector where there is a C compiler.
	@$(if $(RACE),,echo 'no C compiler found: testing without the race detector')
	@$(GO) test $(RACE) $(QUICK) -c -o /dev/null ./store/postgres # once, for three parts
	@$(MAKE) --no-print-directory -j3 test-postgres test-suites test-variants test-packages test-faults test-sqlite test-examples test-hostworld test-migratetest
	@$(GO) test $(RACE) $(QUICK) -count=1 -timeout=5m -p=1 -parallel=16 -run='$(TIMED)' . ./store/postgres

# Planted faults are looked for from one goroutine, and so is every order of events: these run
# without the race detector. EXHAUSTIVE are the long cases of storetest about statements, which do
# not depend on a variant or a driver, and STATEMENTS all groups of such cases, which do not depend
# on a pool or a transaction either. VALUES are of STATEMENTS, and do not depend on partitions. PARKING
# are groups of the outbox that the short form omits behind a pooler. Named groups repeat the cases of the outbox on
# a second table, which the groups of reminders use, too. make worlds and make soak run all for all.
FAULTS     = _Catches|_Rejects|_rejects|TestOrder|_unimplemented
EXHAUSTIVE = (FollowMovedStarts|ComparesWholeUUIDs|ArePagedWithinConditions|WritesEachCombination|MeetAllConditions|MeetsAllConditions)
STATEMENTS = ^(Incidents|CountIncidents|RoundTrip|Names|Memory|Isolation)$$
VALUES     = ^(RoundTrip|Names|Memory|Isolation)$$
PARKING    = ^(Parked|Replay|DiscardParked|Discard|Backlog|Notifiers|Types)$$

# In store/postgres the suites keep the processors busy, and many of the other tests wait for
# servers, leases and processes. The variants of a suite differ from it in their statements or
# their pool, and TestModel calls from one goroutine: they run without the race detector. So do
# UNRACED and the groups LISTS of TestStore, in which neither a test nor a call starts goroutines, and
# the Named groups of TestStore_outbox, which repeat cases on a second table.
# A test that no expression names runs with the race detector; .ci/test-groups fails if two
# expressions name a test, or if one names none.
# Tests with bounds of milliseconds run when everything else has ended.
SUITES   = ^Test(Store(_outbox|_feed)?|Linearizable)$$
VARIANTS = ^Test(Store_(oneConnection|unprepared|partitioned|ahead|(outbox|feed)Partitioned)|Model(_singleProcess)?|Linearizable_singleProcess)$$
UNRACED  = ^Test(Store_(lostRepl(y|ies)|plans.*|claimCost.*|roundTrips(Queued)?|readOnlyLeftovers|versions|schemaMay.*|statementsSuit.*|refusalsOf.*|remed.*|reportsLostTables|failsAfter.*|joinedSerializable|foldsTitles.*)|Migrate|Migrate_(refuses.*|toleratesAdditions|undoesAWrongStep|schemas|objects|readOnly|version1AndBack)|Migrations.*|Inspect|IsRefusal|New_.*|Open_.*|Incidents_.*|Apply_placeUnknown)$$
LISTS    = ^(Incidents|CountIncidents|Names)$$
TIMED    = ^Test(Manager_manyTriggers|Feed_stress|Feed_backlog|Notifiers_delay|Processes|Relay_fairness|Relay_writtenElsewhere|Watch_delay|Store_silen.*)$$

# The long form of COMPARED compares delays: nothing runs beside it, and no race detector.
COMPARED = ^TestNotifiers_delay$$

# The parts of make test, three at a time. go test prints each package as a whole.
test-postgres:
	@$(GO) test $(RACE) $(QUICK) -count=1 -timeout=10m -parallel=8 -skip='$(SUITES)|$(VARIANTS)|$(UNRACED)|$(TIMED)' ./store/postgres

test-suites:
	@$(GO) test $(RACE) $(QUICK) -count=1 -timeout=10m -parallel=4 -run='$(SUITES)' -skip='^TestStore$$/$(LISTS)|^TestStore_outbox$$/^Named' ./store/postgres

test-variants:
	@$(GO) test $(QUICK) -count=1 -timeout=10m -parallel=6 -run='$(VARIANTS)|$(UNRACED)|^TestStore$$/$(LISTS)|^TestStore_outbox$$/^Named' -skip='^TestStore_/./$(EXHAUSTIVE)|_(oneConnection|ahead)$$/$(STATEMENTS)|_partitioned$$/$(VALUES)' ./store/postgres

test-packages:
	@$(GO) test $(RACE) $(QUICK) -count=1 -timeout=10m -parallel=8 -skip='$(TIMED)|$(FAULTS)' $$($(GO) list ./... | grep -v '/store/postgres$$')

test-faults:
	@$(GO) test $(QUICK) -count=1 -timeout=10m -parallel=8 -run='$(FAULTS)' ./internal/managertest ./store/storetest

# The race detector makes SQLite ten times slower. In store/sqlite it runs with the tests in which
# goroutines of the store meet; make soak runs it with all. The variants leave out what depends on
# statements alone.
SQLITE_RACED = ^Test(Writer_(batch|full|faults|leaves|busy|patience|diskFails).*|InTx.*|Join|Join_.*|Readers|Store_closed.*|Relay.*|Processes_together)$$

test-sqlite:
	@cd store/sqlite && $(GO) test $(RACE) $(QUICK) -count=1 -timeout=10m -run='$(SQLITE_RACED)' .
	@cd store/sqlite && $(GO) test $(QUICK) -count=1 -timeout=10m -skip='$(SQLITE_RACED)|^TestStore_(oneReader|joined)$$/$(STATEMENTS)|^TestStore_/./$(EXHAUSTIVE)' .

test-examples:
	@cd examples && $(GO) test $(RACE) $(QUICK) -count=1 -timeout=10m ./...

test-hostworld:
	@cd internal/hostworld && $(GO) test $(QUICK) -count=1 -timeout=10m -skip='./././$(EXHAUSTIVE)|^TestStore$$/PgBouncer/$(STATEMENTS)|^TestOutbox$$/PgBouncer/$(PARKING)|^TestOutbox$$/./^Named|^TestLinearizable$$/PgBouncer|^TestJoined_store$$/./$(STATEMENTS)' ./...

test-migratetest:
	@cd internal/migratetest && $(GO) test $(QUICK) -count=1 -timeout=10m ./...

# The suites that a version of the server could break. The others kill processes, or wait
# for ends that the library sets.
VERSIONED = ^Test(Store|Feed|Migrat|Open|New|Cache|Relay$$|Model$$)
UNVERSIONED = silen|contextEnds|backendsKilled

test-postgres-versions: ## Run the store's suites on each of VERSIONS (default 15 16 17 18) of PostgreSQL, which it installs.
	@for version in $${VERSIONS:-15 16 17 18}; do \
		bin="$$(.ci/postgres $$version)" && "$$bin/postgres" --version && \
		INCIDENT_TEST_POSTGRES_URL= INCIDENT_TEST_POSTGRES_BIN="$$bin" \
			$(GO) test -count=1 -timeout=10m ./store/postgres -run '$(VERSIONED)' -skip '$(UNVERSIONED)' || exit 1; \
	done

lint: ## Check the format, the layout, the code, the commands in the documents, and which modules a host inherits.
	@unformatted="$$($(GOFUMPT) -l .)"; test -z "$$unformatted" || \
		{ echo "not formatted; run '$(GOFUMPT) -w .':"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	cd bench && $(GO) vet ./...
	cd internal/migratetest && $(GO) vet ./...
	cd store/sqlite && $(GO) vet ./... && $(STATICCHECK) ./... && $(GO) mod tidy -diff
	cd examples && $(GO) vet ./... && $(STATICCHECK) ./... && $(GO) mod tidy -diff
	cd internal/hostworld && $(GO) vet ./... && $(STATICCHECK) ./... && $(GO) mod tidy -diff
	$(STATICCHECK) ./...
	$(GO) mod tidy -diff
	@$(GO) list -deps -f '{{if not .Standard}}{{.ImportPath}}{{end}}' . | sort | diff .ci/root-deps.txt - || \
		{ echo 'the root package depends on something else than .ci/root-deps.txt, which every host inherits'; exit 1; }
	@.ci/house
	@GO='$(GO)' .ci/test-groups '$(SUITES)' '$(VARIANTS)' '$(UNRACED)' '$(TIMED)'
	@GO='$(GO)' .ci/host-modules
	@GO='$(GO)' .ci/commands

bench: ## Measure against the floor and against size; fails above a bar.
	$(GO) test -run='^$$' -bench=. -benchmem -timeout=30m .

bench-postgres: ## Measure beside bare SQL, Sentry's statements, River and Alertmanager; fails below a bar.
	cd bench && $(GO) run .

bench-doc: ## Measure the same, and write the results into bench/README.md.
	cd bench && $(GO) run . -o README.md

bench-scale: ## Measure 1,000,000 incidents beside 10,000, and deep pages beside the first.
	cd bench && $(GO) run . -only scale -length 300ms

bench-http: ## Measure the HTTP example beside the Manager and a constant; fails below a bar.
	$(GO) test -run='^$$' -bench='^BenchmarkHTTP$$' -benchtime=1x -timeout=10m ./examples/httpapi

load: ## Fill the database DSN with INCIDENTS (default 1000000) for trials of your own.
	cd bench && $(GO) run . -load $${INCIDENTS:-1000000} -dsn "$${DSN:?name a database, as in DSN=postgres://user@host/db}"

fuzz: ## Fuzz each target for FUZZTIME (default 30s).
	@for pkg in . ./timeline ./examples/internal/statuspage ./examples/httpapi ./examples/webhook/webhook; do \
		for target in $$($(GO) test -list='^Fuzz' $$pkg | grep '^Fuzz'); do \
			$(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$${FUZZTIME:-30s} $$pkg || exit 1; \
		done; \
	done

soak: ## Run the random tests twenty times as long, kill relays for minutes, share notifications for ten.
	$(GO) test $(RACE) -count=1 -timeout=2h ./internal/managertest -rapid.checks=10000
	INCIDENT_TEST_LONG=1 $(GO) test $(RACE) -count=1 -timeout=2h . ./internal/coherence ./store/storetest
	INCIDENT_TEST_LONG=1 $(GO) test $(RACE) -count=1 -timeout=2h -skip='$(COMPARED)' ./store/postgres -rapid.checks=1000
	INCIDENT_TEST_LONG=1 $(GO) test -count=1 -timeout=1h -run='$(COMPARED)' ./store/postgres
	cd store/sqlite && INCIDENT_TEST_LONG=1 $(GO) test $(RACE) -count=1 -timeout=2h .
	$(MAKE) worlds RACE=$(RACE)

worlds: ## Run all suites over each driver, wrapper, pooler, session default and variant of the tables, not the short form.
	INCIDENT_TEST_LONG=1 $(GO) test $(RACE) -count=1 -timeout=1h -run='$(VARIANTS)' ./store/postgres
	cd internal/hostworld && INCIDENT_TEST_LONG=1 $(GO) test $(RACE) -count=1 -timeout=1h ./...
