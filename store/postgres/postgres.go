// Package postgres is an [incident.Store] in a PostgreSQL database, 15 or later,
// over sqlx. Its drivers are lib/pq and pgx: github.com/jackc/pgx/v5/stdlib, in each
// of its query modes. A wrapper of either, such as github.com/XSAM/otelsql, will do.
//
// A host with a pool of its own lends it to [New]; [Open] makes one. [Migrate]
// makes the tables, and must have run before the first call:
//
//	store, err := postgres.Open(ctx, "postgres://app@localhost/app", nil)
//	…
//	err = store.Migrate(ctx)
//	…
//	incidents, err := incident.New(store, nil)
//
// Each read is one statement, and so is each write outside a transaction: it
// takes one round trip once the connection has prepared it. A write whose reply
// was lost is repeated in a way that cannot write twice, until its outcome is
// known; where it cannot be, the error is [incident.ErrUnknownOutcome]. So it is where
// the write succeeded after its context had ended: the server may have been told to
// stop waiting for its synchronous standby.
//
// A call ends at most 300 ms after its context, whatever the network does, and closes
// a connection without an answer, so that the pool can replace it. Give each call a
// deadline: without one it waits for as long as the network leaves the connection
// open. Others go on without it after a second or two. Only the driver can bound
// connecting: set connect_timeout in the DSN of a pool of your own; [Open] does. The
// connection of a joined transaction is the host's, and is never closed.
//
// Each connection keeps at most 90 prepared statements, however long lists are and
// whatever is written.
//
// Every key begins with the organization, so that the tables work in partitions by it. The
// package is not tested on Citus. Calls that name one organization avoid what Citus 13 is
// known to refuse; a [incident.Notifier] does not work there, because claiming
// notifications goes from organization to organization in one statement, nor do transactions
// of several organizations promise that [incident.Manager.Run] follows them in time.
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

// DefaultSchema is where the tables are if no other schema is named.
const DefaultSchema = "public"

// DefaultMaxConns is how many connections the pool of [Open] has at most.
const DefaultMaxConns = 16

// connectTimeout is the connect_timeout of [Open] if the DSN has none.
const connectTimeout = 10 * time.Second

// Options tunes a [Store]. The zero value, and nil, are ready to use.
type Options struct {
	// Schema is where the tables are: 1 to 63 lower case letters, digits and
	// underscores.
	//
	// Defaults to [DefaultSchema].
	Schema string

	// SingleProcess is the host's word that no other process, and no other
	// Manager, writes to the schema. Then a Manager answers from its cache without
	// following anybody: see [incident.Manager.Run]. Restart the process if the database
	// was restored from a backup, or has lost commits in a failover or a crash: what is
	// cached may be served until [incident.Options.IncidentTTL] is over, or until a write
	// comes upon an older version.
	SingleProcess bool

	// Unprepared declares that a pooler gives each transaction another server
	// connection, as PgBouncer does with pool_mode=transaction. Then a statement must
	// be parsed and executed in one round trip: in two, the second may execute another
	// statement with these arguments. lib/pq takes one with binary_parameters=yes in
	// its DSN, which [Open] adds, and pgx with default_query_exec_mode=exec,
	// cache_describe or simple_protocol. The first call fails if the pool does
	// otherwise.
	//
	// Defaults to what the first call finds out. A pooler that does not pass the
	// server's own process number on to the driver is recognized, as PgBouncer is;
	// before any other, or with a wrapper that hides the driver's connections, set it.
	Unprepared bool
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
			Field: "Schema", Problem: "must not begin with pg_, which PostgreSQL keeps for itself",
		}
	}
	return c, nil
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// Store is an [incident.Store] in a PostgreSQL database. It is safe for use by
// many goroutines and, with others of its kind, by many processes.
type Store struct {
	*database
	tx *transaction // nil outside a transaction

	origin *Store // that it was made from, of one within a transaction
}

var (
	_ incident.FeedStore   = (*Store)(nil)
	_ incident.OutboxStore = (*Store)(nil)
	_ incident.JoinedStore = (*Store)(nil)
)

// database is what a store shares with those of its transactions.
type database struct {
	pool       *sqlx.DB
	owned      bool // the pool is of Open, and closed with the store
	options    Options
	texts      texts
	connStates connStates
	groups     groups
	feedCalls  chan struct{} // holds a token for each call of Changes on its way
	schema     schemaCheck
	wire       wire
	queued     atomic.Bool // a change was queued

	readOnlyAt atomic.Int64 // when all connections were read-only, in nanoseconds since 1970
}

// New returns a store in the database of pool, whose driver must be lib/pq or pgx,
// or a wrapper of either. It refuses any other driver. The pool stays the host's:
// New changes no setting of it and never closes it. Nothing is sent before the first
// call, which fails if the pool, the server or the tables do not fit.
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
	return &Store{database: &database{pool: pool, options: options, schema: schemaCheck{library: schemaVersion}, feedCalls: make(chan struct{}, maxFeedCalls)}}, nil
}

// Open connects to the database that dsn names, in one of the forms of lib/pq,
// such as "postgres://user:password@host:5432/name?sslmode=require". Several servers,
// of which the primary is wanted, are named by
// "host=a,b port=5432,5433 dbname=name target_session_attrs=read-write". The pool has
// at most [DefaultMaxConns] connections, and ends with [Store.Close]. With
// [Options.Unprepared] it has binary_parameters=yes.
func Open(ctx context.Context, dsn string, opts *Options) (*Store, error) {
	if hasPorts(dsn) {
		return nil, fmt.Errorf("postgres: open: %w: the DSN has several hosts with ports; "+
			"write host=a,b port=1,2 dbname=name target_session_attrs=read-write, or postgres://user:password@a,b/name?port=1,2",
			incident.ErrInvalid)
	}
	config, err := pq.NewConfig(dsn)
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout // it bounds asking the server to cancel a statement, too
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

// hasPorts reports whether dsn is a URL of several hosts with a port each, which
// lib/pq takes for the name of one host.
func hasPorts(dsn string) bool {
	scheme, rest, _ := strings.Cut(dsn, "://")
	if scheme != "postgres" && scheme != "postgresql" {
		return false
	}
	rest = rest[:strings.IndexAny(rest+"/", "/?")]
	hosts := rest[strings.LastIndex(rest, "@")+1:]
	return strings.Contains(hosts, ",") && strings.Contains(hosts, ":")
}

// withoutSecrets is what may be told of a DSN: the name of a setting, but nothing
// of its syntax, where a password may be taken for something else.
func withoutSecrets(err error) string {
	if _, isSyntax := errors.AsType[*url.Error](err); isSyntax || !strings.HasPrefix(err.Error(), "pq: ") {
		return ""
	}
	return " (" + err.Error() + ")"
}

// Close gives the prepared statements back and, if the store is of [Open], closes
// the pool. The store must not be used afterwards.
func (s *Store) Close() error {
	s.texts.close()
	s.closePrepared()
	if !s.owned {
		return nil
	}
	return s.pool.Close()
}

// Shared implements [incident.Store]: other processes may write, unless the host
// has said otherwise.
func (s *Store) Shared() bool { return !s.options.SingleProcess }

// Pool returns the pool that the store works on, for a host that joins its own
// transactions with [Store.Join].
func (s *Store) Pool() *sqlx.DB { return s.pool }

// Schema returns where the store's tables are.
func (s *Store) Schema() string { return s.options.Schema }

// prefix is what stands before the name of a table.
func (d *database) prefix() string { return quoteName(d.options.Schema) + "." }

// quoteName returns a name as SQL has it. Quoted, a name may also be a word of SQL.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
