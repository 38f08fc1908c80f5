// Package postgres is an [incident.Store] in a PostgreSQL database, 15 or later, over sqlx.
// It works with the drivers lib/pq and pgx (github.com/jackc/pgx/v5/stdlib, in each of its
// query modes), also inside a wrapper such as github.com/XSAM/otelsql.
//
// A host with a pool passes it to [New]; [Open] makes a pool. [Migrate] creates the tables,
// and must have run before the first call:
//
//	store, err := postgres.Open(ctx, "postgres://app@localhost/app", nil)
//	…
//	err = store.Migrate(ctx)
//	…
//	incidents, err := incident.New(store, nil)
//
// Each read is a single statement, and so is each write outside a transaction, except deletions
// and erasures. A statement takes a single round trip once the connection has prepared it. Concurrent
// reads of incidents and slots share statements, and so do concurrent creations. A wrapper of the
// driver, for example for tracing, gets the values of the caller's context; a shared statement has
// those of one of its callers.
//
// A write whose reply was lost is repeated, in a way that cannot write twice, until its
// outcome is known. If the outcome remains unknown, the error is
// [incident.ErrUnknownOutcome]. That is also the error of a write that succeeded after the end
// of its context: the server may have been asked to stop waiting for its synchronous standby.
//
// A call that other writers disturb is repeated, until its context ends or for at most a minute. At a
// default_transaction_isolation above READ COMMITTED that is frequent. A write that has lost four times
// waits for its turn in a READ COMMITTED transaction, so that it succeeds however slow commits are and
// however many processes write to the same incident. It takes an advisory lock, which ends with the
// transaction. The transactions of a host are never repeated.
//
// A call ends at most 300 ms after its context, whatever the network does. It closes a
// connection that does not answer, so that the pool can replace it. Give each call a deadline:
// without one it waits as long as the network keeps the connection open. Calls that wait for
// such a call continue without it after a second or two. Only the driver can bound
// connecting: set connect_timeout in the DSN of a pool of your own; [Open] sets it. The
// connection of a joined transaction belongs to the host, and is never closed.
//
// Each connection keeps at most 130 prepared statements, whatever is read and written.
//
// A process with a library of schema version 3 or earlier does not hear of deletions. Update all
// processes before the first Purge or DeleteOrganization, which excludes older libraries and
// needs the right to UPDATE incident_schema. A record of each deletion is kept for the feed, until
// it is older than [incident.FeedMemory] and every transaction of the server that was open then has
// ended; a later Purge or DeleteOrganization removes it. VACUUM frees the space of deleted rows.
//
// Every key begins with the organization, so that the tables can be partitioned by it. [MigrateCitus]
// spreads them over the servers of Citus, and [Options.Citus] has the store use it:
//
//   - A call takes a hop more, through the coordinator to the server of its organization. With
//     [Options.CitusWorker] it takes none, except in a transaction. Reads of several organizations share
//     a call if one server has the organizations, and so do creations, also by firings.
//   - A call waits while a shard moves or is divided, as writes do on Citus; reads of an incident or a slot
//     usually wait only while that commits. If the shard has left, the call is repeated, and a transaction
//     fails with [incident.ErrUnavailable].
//   - The feed reads each server by itself. After a move or a division each cache starts empty. A follower may see
//     the parts of a transaction over organizations of two servers at different times.
//   - A claim asks all servers, a settlement names each organization by itself, and notifications of
//     new incidents wait for a claim.
//   - The coordinator must be known to the workers, and the role must own the tables.
//
// This is tested on Citus 13.2 over PostgreSQL 15, through the coordinator and with routes. The suites of a
// store run with lib/pq and pgx, and behind PgBouncer in transaction mode before the coordinator and the workers;
// the faults with lib/pq alone: moves and divisions of shards under load in both modes, a shard for one organization
// (with block_writes), a worker that is added, gets shards by citus_rebalance_start, is drained and removed, lost
// requests and replies, three processes, connections that end, and SIGKILL of the coordinator and of workers that
// restart. A server that never comes back is not tested.
//
// With force_logical divide shards onto other servers only, and isolate tenants with block_writes: Citus 13.2.2 does
// not finish a logical division if a part stays on its server and rows are updated meanwhile, whatever the table.
// Such a division can be canceled. PostgreSQL 15.20 needs citus in output_plugin_libraries for a logical division.
//
// If the coordinator loses a worker during a commit, the outcome of a transaction is
// [incident.ErrUnknownOutcome]. A write to one organization, and a deletion, has a single phase. Citus commits in
// two phases if several servers have changed:
//
//   - After a transaction over organizations of two workers. If the second phase fails on a worker, Citus reports
//     success. Until it has repeated the phase, each citus.recover_2pc_interval (a minute by default), readers do
//     not see the part of that worker, and writers of its incidents wait. Then it is there, and the feed reports it.
//   - After the first use of a statement's text, which all servers keep, and the first deletion. If a server is in
//     the way, calls take up to a second and a half longer for each text, and send it for a minute.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// DefaultSchema is the default of [Options.Schema].
const DefaultSchema = "public"

// DefaultMaxConns bounds the connections of a pool that [Open] made.
const DefaultMaxConns = 16

// connectTimeout is the default of connect_timeout in the DSN of [Open].
const connectTimeout = 10 * time.Second

// Options tunes a [Store]. The zero value, and nil, are ready to use.
type Options struct {
	// Schema is the schema of the tables. The name has 1 to 63 lower case letters, digits
	// and underscores, and does not begin with a digit or pg_.
	//
	// Defaults to [DefaultSchema].
	Schema string

	// SingleProcess declares that no other process, and no other Manager, writes to the
	// schema. Then a Manager answers from its cache without following the changes of others:
	// see [incident.Manager.Run]. Restart the process if the database was restored from a
	// backup, or lost commits in a failover or a crash. Otherwise the cache may serve lost
	// versions until [incident.Options.IncidentTTL] has passed, or until a write meets an
	// older version.
	SingleProcess bool

	// Unprepared declares that a pooler gives each transaction another server connection,
	// as PgBouncer does with pool_mode=transaction. Then a statement must be parsed and
	// executed in the same round trip: in two, the second may execute another statement with
	// these arguments. These settings in the DSN make the driver do so:
	//
	//   - lib/pq: binary_parameters=yes ([Open] adds it)
	//   - pgx: default_query_exec_mode=exec, cache_describe or simple_protocol
	//
	// The first call fails if the pool has none of them.
	//
	// Defaults to the finding of the first call. It recognizes PgBouncer, and any other
	// pooler that does not pass the server's process number on to the driver. Set Unprepared
	// behind any other pooler, or if a wrapper hides the driver's connections.
	Unprepared bool

	// Citus declares that [MigrateCitus] spread the tables over the servers of Citus. The pool
	// must lead to the coordinator. All processes that use the tables must set it: the first call of another
	// fails. No process may use them while MigrateCitus runs for the first time, because it would miss the
	// changes of the others.
	Citus bool

	// CitusWorker returns a pool of connections to a worker of Citus, or nil. Then a statement about an
	// organization goes straight to the worker that has it, except in a transaction. address is that
	// of table pg_dist_node, as "10.0.0.2:5432". All requirements of the pool of [New] apply, except that it leads
	// to the worker. The host owns it.
	//
	// A statement goes through the coordinator if CitusWorker returned nil, if no connection is
	// available within a second, or if it leads to another server. After a failure a worker is avoided for
	// a second, and for up to 32 seconds if it keeps failing.
	//
	// CitusWorker is called after the first statement, and each time that a shard has moved. It must
	// not block, and should return the same pool for the same address. It is ignored without Citus.
	//
	// Defaults to nil: all statements go through the coordinator.
	CitusWorker func(address string) *sqlx.DB
}

func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Schema == "" {
		c.Schema = DefaultSchema
	}
	if !schemaName.MatchString(c.Schema) {
		return c, &incident.FieldError{
			Field:   "Schema",
			Problem: "must be 1 to 63 lower case letters, digits and underscores, and not begin with a digit",
		}
	}
	if strings.HasPrefix(c.Schema, "pg_") {
		return c, &incident.FieldError{
			Field: "Schema", Problem: "must not begin with pg_, which is reserved for PostgreSQL",
		}
	}
	return c, nil
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// Store is an [incident.Store] in a PostgreSQL database. Many goroutines may use it, and many
// processes with a Store each may use the same tables.
type Store struct {
	*database
	tx *transaction // nil outside a transaction

	origin *Store // the store outside the transaction, nil there
}

var (
	_ incident.FeedStore   = (*Store)(nil)
	_ incident.OutboxStore = (*Store)(nil)
	_ incident.JoinedStore = (*Store)(nil)
)

// database is the state that a store shares with the stores of its transactions.
type database struct {
	pool        *sqlx.DB
	owned       bool // Open made the pool, and Close closes it
	options     Options
	texts       texts
	connStates  connStates
	lanes       lanes
	loads       reads[incident.Key, incident.State]
	slotLoads   reads[incident.Slot, incident.SlotState]
	feedCalls   chan struct{} // holds a token for each call of Changes in progress
	schema      schemaCheck
	wire        wire
	citus       *citus        // nil without [Options.Citus]
	connectWait time.Duration // bounds the wait for a connection, unless it is 0
	feedMemory  time.Duration // how long the records of deletions are kept
	queued      atomic.Bool   // a change has queued activities

	remindersFirst atomic.Bool // the next claim of the notifier without a name begins with reminders

	readOnlyAt atomic.Int64 // the latest time when all connections were read-only, in nanoseconds since 1970
}

// New returns a store in the database of pool. It refuses a driver other than lib/pq, pgx or a
// wrapper of either. The host owns the pool: the store changes no setting of the pool, and
// never closes it. New sends nothing. The first call fails if the pool, the server or the
// tables do not fit.
func New(pool *sqlx.DB, opts *Options) (*Store, error) {
	if pool == nil {
		return nil, fmt.Errorf("postgres: new: %w", &incident.FieldError{Field: "pool", Problem: "is required"})
	}
	options, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("postgres: new: %w", err)
	}
	if err := checkDriver(pool.Driver()); err != nil {
		return nil, fmt.Errorf("postgres: new: %w", err)
	}
	d := &database{
		pool: pool, options: options, schema: schemaCheck{expected: schemaVersion, isSpread: options.Citus}, feedCalls: make(chan struct{}, maxFeedCalls),
		feedMemory: incident.FeedMemory + time.Second, loads: newLoads(), slotLoads: newSlotLoads(),
	}
	if options.Citus {
		d.useCitus()
	}
	return &Store{database: d}, nil
}

// Open connects to the database of dsn, in a form that lib/pq accepts, such as
// "postgres://user:password@host:5432/name?sslmode=require". To name several servers and use
// the primary among them, write
// "host=a,b port=5432,5433 dbname=name target_session_attrs=read-write".
//
// The pool has at most [DefaultMaxConns] connections. [Store.Close] closes it. With
// [Options.Unprepared] it has binary_parameters=yes.
func Open(ctx context.Context, dsn string, opts *Options) (*Store, error) {
	if hasPorts(dsn) {
		return nil, fmt.Errorf("postgres: open: %w: the DSN has several hosts with ports; "+
			"write host=a,b port=1,2 dbname=name target_session_attrs=read-write, or postgres://user:password@a,b/name?port=1,2",
			incident.ErrInvalid)
	}
	config, err := pq.NewConfig(dsn)
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout // it also bounds a request to cancel a statement
	}
	if err == nil && opts != nil && opts.Unprepared {
		config.BinaryParameters = true
	}
	var connector *pq.Connector
	if err == nil {
		connector, err = pq.NewConnectorConfig(config)
	}
	if err != nil {
		return nil, fmt.Errorf("postgres: open: %w: the DSN cannot be understood%s; it should look like postgres://user:password@host:5432/name",
			incident.ErrInvalid, withoutSecrets(err))
	}
	pool := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	pool.SetMaxOpenConns(DefaultMaxConns)
	pool.SetMaxIdleConns(DefaultMaxConns)
	s, err := New(pool, opts)
	if err == nil {
		s.owned = true
		_, err = within(ctx, &attempt{}, func() (struct{}, error) { return struct{}{}, pool.PingContext(ctx) }, nil)
		err = s.translate(ctx, "open", err)
	}
	if err != nil {
		_ = pool.Close() // nothing has been sent through it
		return nil, err
	}
	return s, nil
}

// hasPorts reports whether dsn is a URL of several hosts with a port each. lib/pq would take
// them for the name of a single host.
func hasPorts(dsn string) bool {
	scheme, rest, _ := strings.Cut(dsn, "://")
	if scheme != "postgres" && scheme != "postgresql" {
		return false
	}
	rest = rest[:strings.IndexAny(rest+"/", "/?")]
	hosts := rest[strings.LastIndex(rest, "@")+1:]
	return strings.Contains(hosts, ",") && strings.Contains(hosts, ":")
}

// withoutSecrets returns the part of a DSN's error that may be shown. It drops errors of
// syntax: they may quote a password.
func withoutSecrets(err error) string {
	if _, isSyntax := errors.AsType[*url.Error](err); isSyntax || !strings.HasPrefix(err.Error(), "pq: ") {
		return ""
	}
	return " (" + err.Error() + ")"
}

// Close closes the prepared statements and, if [Open] made the store, the pool. The store must
// not be used afterwards.
func (s *Store) Close() error {
	s.texts.close()
	s.closePrepared()
	if s.citus != nil {
		s.citus.workers.close()
	}
	if !s.owned {
		return nil
	}
	return s.pool.Close()
}

// Shared implements [incident.Store]. It returns true unless [Options.SingleProcess] is set.
func (s *Store) Shared() bool { return !s.options.SingleProcess }

// Pool returns the store's pool. Transactions for [Store.Join] must begin on it.
func (s *Store) Pool() *sqlx.DB { return s.pool }

// Schema returns the schema of the store's tables.
func (s *Store) Schema() string { return s.options.Schema }

// prefix returns the schema prefix of a table's name.
func (d *database) prefix() string { return quoteName(d.options.Schema) + "." }

// quoteName quotes a name. A quoted name may be a keyword of SQL.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
