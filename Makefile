GO        ?= go
GOFUMPT    = $(GO) run mvdan.cc/gofumpt@v0.12.0
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The race detector needs a C compiler. .ci/run insists on it.
RACED := $(if $(shell command -v $${CC:-cc}),-race)
RACE ?= $(RACED)

# Otherwise each test binary sleeps for a second before it exits.
export GORACE ?= atexit_sleep_ms=0

# The timeouts below end tests that hang: they are many times what the tests take, since a machine may
# be busy.

# make lint vets the tests, and nobody debugs the binaries of make test.
QUICK = -vet=off -ldflags=-w -gcflags=github.com/incidentkit/...=-dwarf=false

# The tests and the compiler make much garbage and keep little: collecting it less often saves a
# third of the time of the tests without a database. A process that keeps much collects it more often.
# The benchmarks measure with Go's default.
test test-% race worlds soak: export GOGC ?= 1600
test test-% race worlds soak: export GOMEMLIMIT ?= 768MiB

.PHONY: help test race test-postgres test-compile test-shared test-packages test-sqlite test-examples test-hostworld test-migratetest test-timed-shared test-timed-postgres test-postgres-versions lint bench bench-postgres bench-doc bench-scale bench-retention bench-console bench-http test-citus bench-citus load fuzz soak worlds

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## Run all tests in their short form; the Manager and what its goroutines share with the race detector.
	@$(if $(RACE),,echo 'no C compiler found: testing without the race detector')
	@$(MAKE) --no-print-directory -j3 test-compile test-shared test-sqlite test-postgres test-packages test-hostworld test-examples test-migratetest
	@$(MAKE) --no-print-directory -j2 test-timed-shared test-timed-postgres

# The race detector multiplies the time of the tests of a database: make race runs those in which
# goroutines of a store meet with it, and .ci/run runs both. Planted faults are looked for from one
# goroutine, and so is every order of events.
# EXHAUSTIVE are the long cases of storetest about statements, which do not depend on a variant or a
# driver, and STATEMENTS all groups of such cases, which do not depend on a pool or a transaction
# either. WORLDS are the suites in each world of internal/hostworld. make worlds runs all for all.
FAULTS     = _Catches|_Rejects|_rejects|TestOrder|_unimplemented
EXHAUSTIVE = (FollowMovedStarts|ComparesWholeUUIDs|ArePagedWithinConditions|WritesEachCombination|MeetAllConditions|MeetsAllConditions)
STATEMENTS = ^(Incidents|CountIncidents|RoundTrip|Names|Memory|Isolation)$$
WORLDS     = ^Test(Store|Outbox|Retention|Report|Model|Linearizable|Joined_.*)$$

# In store/postgres the variants of a suite differ from it in their statements or their pool: make
# worlds runs them. PROCESSES start and kill many processes, servers and connections, have many writers
# of the same rows, or wait for an absent standby: make race runs them. TestModel calls from one
# goroutine and runs without the race detector, as the variants do. So do UNRACED and the groups LISTS
# of TestStore, in which neither a test nor a call starts goroutines, and the Named groups of
# TestStore_outbox, which repeat cases on a second table.
# Tests with bounds of milliseconds run when everything else has ended. LONGEST take most of the time
# of these: make race has them.
VARIANTS = ^Test(Store_(oneConnection|partitioned|ahead|unprepared|(outbox|feed|retention|report)Partitioned|(retention|report)(OneConnection|Unprepared))|Linearizable_singleProcess|Model_singleProcess)$$
MODEL    = ^TestModel$$
PROCESSES = ^Test(Processes_(faults|failover|contention|versions)|Notifiers_killed|Relay_(killed|killedDuringCreations|shared)|History|History_writers|Retention_(killed|underLoad|underLoadReissued)|Store_(retentionAfterLostReplies|lostReplyCache|serverKilled|backendsKilled|losesOften|hotIncident|batchAtStandby|waitEndsAtStandby)|Outbox_contextEndsAtStandby)$$
UNRACED  = ^Test(Store_(lostRepl(y|ies)|plans.*|claimCost.*|roundTrips(Queued)?|readOnlyLeftovers|versions|schemaMay.*|statementsSuit.*|refusalsOf.*|remed.*|reportsLostTables|failsAfter.*|joinedSerializable|foldsTitles.*)|Migrate|Migrate_(refuses.*|toleratesAdditions|undoesAWrongStep|schemas|objects|readOnly|version1AndBack)|Migrations.*|Inspect|IsRefusal|New_.*|Open_.*|Incidents_.*|Apply_placeUnknown|Traces)$$
LISTS    = ^(Incidents|CountIncidents|Names)$$
TIMED    = ^Test(Manager_manyTriggers|Feed_stress|Feed_backlog|Notifiers_delay|Processes|Relay_fairness|Relay_writtenElsewhere|Watch_delay|Store_silen.*)$$
LONGEST  = ^Test(Relay_(fairness|writtenElsewhere)|Store_(silenceLeavesThePool|silentCreation|silentWriter))$$

# The long form of COMPARED compares delays: nothing runs beside it, and no race detector. SQLITE_UNRACED compare times,
# too, or check a database from one goroutine after each of many crashes. HOST_MODELS are MODEL in the worlds.
COMPARED       = ^TestNotifiers_delay$$
SQLITE_UNRACED = ^Test(Store_Purge_(linear|latency)|PowerLoss|Processes_killedRetention)$$
HOST_MODELS    = ^Test(Model|Joined_model)$$

# Several parts need these packages: they are compiled once.
test-compile:
	@$(GO) test $(QUICK) -c -o /dev/null ./store/postgres

# The parts of make test, three at a time: the longest first, and the others fill the gaps. go test
# prints each package as a whole.
test-postgres: test-compile
	@$(GO) test $(QUICK) -count=1 -timeout=30m -parallel=8 -skip='$(TIMED)|$(VARIANTS)|$(PROCESSES)' ./store/postgres

test-timed-shared:
	@$(GO) test $(RACE) $(QUICK) -count=1 -timeout=20m -parallel=16 -run='$(TIMED)' .

test-timed-postgres:
	@$(GO) test $(QUICK) -count=1 -timeout=20m -parallel=16 -run='$(TIMED)' -skip='$(LONGEST)' ./store/postgres

# The Manager and the packages that hold what its goroutines share.
SHARED = . ./internal/coherence ./internal/flight ./internal/relay ./internal/turns ./internal/watch ./store/memory

# The other packages of the module, without store/postgres. make race runs their tests as well.
OTHERS = $$($(GO) list ./... | grep -vxF -e "$$($(GO) list $(SHARED) ./store/postgres)")

test-shared:
	@$(GO) test $(RACE) $(QUICK) -count=1 -timeout=30m -parallel=8 -skip='$(TIMED)' $(SHARED)

test-packages: test-compile
	@$(GO) test $(QUICK) -count=1 -timeout=30m -parallel=8 $(OTHERS)

# Most tests of store/sqlite make a database of their own, and a third of their time was the file
# system's: they keep their files in MEMORY, where there is room. make race and make soak have all
# files on a disk. As in store/postgres, make worlds runs the variants; TestStore_joined
# leaves out what depends on statements alone, which make worlds runs too.
SQLITE_VARIANTS = ^Test(Store_oneReader|Linearizable_singleProcess|Model_singleProcess)$$
SQLITE_JOINED   = ^TestStore_joined$$
MEMORY = $(shell df -k --output=avail /dev/shm 2>/dev/null | awk 'NR == 2 && $$1 > 2000000 { print "/dev/shm" }')

test-sqlite:
	@cd store/sqlite && GOTMPDIR="$${TMPDIR:-/tmp}" TMPDIR="$${TMPDIR:-$(MEMORY)}" $(GO) test $(QUICK) -count=1 -timeout=30m -skip='$(SQLITE_VARIANTS)|$(SQLITE_JOINED)/$(STATEMENTS)|$(SQLITE_JOINED)/./$(EXHAUSTIVE)' .

test-examples:
	@cd examples && $(GO) test $(QUICK) -count=1 -timeout=30m ./...

test-hostworld: test-compile
	@cd internal/hostworld && $(GO) test $(QUICK) -count=1 -timeout=30m -skip='$(WORLDS)' ./...

test-migratetest: test-compile
	@cd internal/migratetest && $(GO) test $(QUICK) -count=1 -timeout=30m ./...

# In store/sqlite the race detector runs with the tests in which goroutines of the store meet; make
# soak runs it with all.
SQLITE_RACED = ^Test(Writer_(batch|full|faults|leaves|late|isAwaited|busy|patience|diskFails).*|InTx.*|Join|Join_.*|Readers|Store_closed.*|Relay.*|Processes_together)$$

race: ## Run with the race detector what make test runs without it.
	$(GO) test -race $(QUICK) -count=1 -timeout=1h -parallel=8 -skip='$(VARIANTS)|$(MODEL)|$(UNRACED)|$(TIMED)|^TestStore$$/$(LISTS)|^TestStore_outbox$$/^Named' ./store/postgres
	$(GO) test -race $(QUICK) -count=1 -timeout=20m -parallel=16 -run='$(TIMED)' ./store/postgres
	cd store/sqlite && $(GO) test -race $(QUICK) -count=1 -timeout=30m -run='$(SQLITE_RACED)' .
	$(GO) test -race $(QUICK) -count=1 -timeout=1h -parallel=8 -skip='$(FAULTS)' $(OTHERS)
	cd examples && $(GO) test -race $(QUICK) -count=1 -timeout=1h ./...
	cd telemetry/prometheus && $(GO) test -race $(QUICK) -count=1 -timeout=30m ./...
	cd telemetry/otel && $(GO) test -race $(QUICK) -count=1 -timeout=30m ./...

# The suites that a version of the server could break. The others kill processes, or wait
# for ends that the library sets.
VERSIONED = ^Test(Store|Feed|Migrat|Open|New|Cache|Relay$$|Model$$)
UNVERSIONED = silen|contextEnds|backendsKilled

test-postgres-versions: ## Run the store's suites on each of VERSIONS (default 15 16 17 18) of PostgreSQL, which it installs.
	@for version in $${VERSIONS:-15 16 17 18}; do \
		bin="$$(.ci/postgres $$version)" && "$$bin/postgres" --version && \
		INCIDENT_TEST_POSTGRES_URL= INCIDENT_TEST_POSTGRES_BIN="$$bin" \
			$(GO) test -count=1 -timeout=30m ./store/postgres -run '$(VERSIONED)' -skip '$(UNVERSIONED)' || exit 1; \
	done

# Citus is no package of a registry: INCIDENT_TEST_CITUS_URL is the URL of a coordinator, with
# sslmode or another parameter at its end, whose database is for these tests alone.
# INCIDENT_TEST_CITUS_WORKER_URLS has the URLs of the two workers, with a comma between them,
# INCIDENT_TEST_CITUS_SPARE_URL that of a server with the extension that is no worker yet, and
# INCIDENT_TEST_CITUS_KILL may have a command that kills and restarts the server at its argument.
# The servers need wal_level = logical, and where there is the setting,
# output_plugin_libraries = 'pgoutput, citus'.
test-citus: ## Run the suites of store/postgres on Citus, at INCIDENT_TEST_CITUS_URL.
	$(GO) test -tags=citus -count=1 -timeout=60m -parallel=4 -run=^TestCitus_ ./store/postgres
	cd internal/hostworld && $(GO) test -tags=citus -count=1 -timeout=60m -parallel=4 -run='^TestCitus$$' .

bench-citus: ## Compare Citus with plain tables of the same coordinator.
	$(GO) test -tags=citus -timeout=20m -run=^$$ -bench=^BenchmarkCitus$$ -benchtime=1x ./store/postgres

lint: ## Check the format, the layout, the code, the commands in the documents, and which modules a host inherits.
	@unformatted="$$($(GOFUMPT) -l .)"; test -z "$$unformatted" || \
		{ echo "not formatted; run '$(GOFUMPT) -w .':"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./... && $(GO) vet -tags=citus ./store/postgres
	cd bench && $(GO) vet ./...
	cd internal/migratetest && $(GO) vet ./...
	cd internal/browsertest && $(GO) vet ./... && $(STATICCHECK) ./... && $(GO) mod tidy -diff
	cd store/sqlite && $(GO) vet ./... && $(STATICCHECK) ./... && $(GO) mod tidy -diff
	cd examples && $(GO) vet ./... && $(STATICCHECK) ./... && $(GO) mod tidy -diff
	cd internal/hostworld && $(GO) vet ./... && $(GO) vet -tags=citus ./... && $(STATICCHECK) ./... && $(GO) mod tidy -diff
	cd internal/alertmanagertest && $(GO) vet ./... && $(STATICCHECK) ./... && $(GO) mod tidy -diff
	cd telemetry/prometheus && $(GO) vet ./... && $(STATICCHECK) ./... && $(GO) mod tidy -diff
	cd telemetry/otel && $(GO) vet ./... && $(STATICCHECK) ./... && $(GO) mod tidy -diff
	$(STATICCHECK) ./...
	$(GO) mod tidy -diff
	@$(GO) list -deps -f '{{if not .Standard}}{{.ImportPath}}{{end}}' . | sort | diff .ci/root-deps.txt - || \
		{ echo 'the root package depends on something else than .ci/root-deps.txt, which every host inherits'; exit 1; }
	@.ci/house
	@GO='$(GO)' .ci/test-groups store/sqlite '$(SQLITE_VARIANTS)' '$(SQLITE_JOINED)' '$(SQLITE_RACED)' '$(SQLITE_UNRACED)'
	@GO='$(GO)' .ci/test-groups store/postgres '$(VARIANTS)' '$(MODEL)' '$(PROCESSES)' '$(UNRACED)' '$(TIMED)'
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

bench-retention: ## Measure calls while 1,000,000 of 2,000,000 incidents are purged, and the tables of a host that purges.
	cd bench && $(GO) run . -only retention -incidents 2000000 -length 20s

bench-console: ## Measure the pages of web/console over 1,000,000 incidents beside 10,000; fails above a bar.
	cd bench && $(GO) run . -only console -incidents 1000000 -rounds 1

bench-http: ## Measure the HTTP example beside the Manager and a constant; fails below a bar.
	$(GO) test -run='^$$' -bench='^BenchmarkHTTP$$' -benchtime=1x -timeout=10m ./examples/httpapi

load: ## Fill the database DSN with INCIDENTS (default 1000000) for trials of your own.
	cd bench && $(GO) run . -load $${INCIDENTS:-1000000} -dsn "$${DSN:?name a database, as in DSN=postgres://user@host/db}"

fuzz: ## Fuzz each target for FUZZTIME (default 30s).
	@for pkg in . ./timeline ./web/alertmanager ./web/events ./web/webhook ./examples/internal/statuspage ./examples/httpapi ./examples/webhook; do \
		for target in $$($(GO) test -list='^Fuzz' $$pkg | grep '^Fuzz'); do \
			$(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$${FUZZTIME:-30s} $$pkg || exit 1; \
		done; \
	done

soak: ## Run the random tests twenty times as long, kill relays for minutes, share notifications for ten, purge under load for eight.
	INCIDENT_TEST_LONG=1 $(GO) test -count=1 -timeout=4h -run='$(MODEL)' ./internal/managertest -rapid.checks=10000
	INCIDENT_TEST_LONG=1 $(GO) test $(RACE) -count=1 -timeout=1h -skip='$(FAULTS)|$(MODEL)' ./internal/managertest
	INCIDENT_TEST_LONG=1 $(GO) test -count=1 -timeout=4h -run='$(FAULTS)' ./internal/managertest
	INCIDENT_TEST_LONG=1 $(GO) test $(RACE) -count=1 -timeout=2h . ./internal/coherence ./store/memory ./store/storetest
	INCIDENT_TEST_LONG=1 $(GO) test -count=1 -timeout=2h -run='$(MODEL)' ./store/postgres -rapid.checks=1000
	INCIDENT_TEST_LONG=1 $(GO) test $(RACE) -count=1 -timeout=4h -parallel=8 -skip='$(TIMED)|$(MODEL)|$(VARIANTS)' ./store/postgres
	INCIDENT_TEST_LONG=1 $(GO) test $(RACE) -count=1 -timeout=2h -run='$(TIMED)' -skip='$(COMPARED)' ./store/postgres
	INCIDENT_TEST_LONG=1 $(GO) test -count=1 -timeout=1h -run='$(COMPARED)' ./store/postgres
	cd store/sqlite && INCIDENT_TEST_LONG=1 $(GO) test $(RACE) -count=1 -timeout=2h -skip='$(SQLITE_UNRACED)' .
	cd store/sqlite && INCIDENT_TEST_LONG=1 $(GO) test -count=1 -timeout=2h -run='$(SQLITE_UNRACED)' .
	$(MAKE) worlds RACE=$(RACE)

.PHONY: browser screenshot
browser: ## Test the pages of web/console in Chromium, which it installs if it can.
	@GO='$(GO)' .ci/browser

screenshot: ## Write docs/console.png, the first picture of README.md.
	@GO='$(GO)' .ci/browser screenshot

worlds: ## Run all suites over each driver, wrapper, pooler, session default and variant of the tables, not the short form.
	INCIDENT_TEST_LONG=1 $(GO) test $(RACE) -count=1 -timeout=1h -run='$(VARIANTS)|$(MODEL)' ./store/postgres
	INCIDENT_TEST_LONG=1 $(GO) test -count=1 -timeout=1h -run='^Test(Manager_Report_daysFollowTheClock|Store_InTx_rollbackRestoresTheOutbox)$$' . ./store/memory
	cd store/sqlite && $(GO) test $(RACE) -count=1 -timeout=1h -run='$(SQLITE_VARIANTS)|$(SQLITE_JOINED)' .
	cd internal/hostworld && INCIDENT_TEST_LONG=1 $(GO) test $(RACE) -count=1 -timeout=4h -skip='$(HOST_MODELS)' ./...
	cd internal/hostworld && INCIDENT_TEST_LONG=1 $(GO) test -count=1 -timeout=4h -run='$(HOST_MODELS)' .
	cd internal/alertmanagertest && INCIDENT_TEST_LONG=1 $(GO) test $(RACE) -count=1 -timeout=1h ./...
