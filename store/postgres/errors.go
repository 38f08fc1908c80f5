package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// The SQLSTATEs with a meaning of their own. All others are classified by their first two
// characters.
const (
	invalidSchemaName     = "3F000"
	undefinedTable        = "42P01"
	undefinedColumn       = "42703"
	undefinedFunction     = "42883"
	insufficientPrivilege = "42501"
	uniqueViolation       = "23505"
	checkViolation        = "23514"
	serializationFailure  = "40001"
	deadlockDetected      = "40P01"
	noActiveTransaction   = "25P01"
	inFailedTransaction   = "25P02"
	readOnlyTransaction   = "25006"
	queryCanceled         = "57014"
	cannotConnectNow      = "57P03"
	lockNotAvailable      = "55P03"
	diskFull              = "53100"
	tooManyConnections    = "53300"
	unknownDatabase       = "3D000"
	featureNotSupported   = "0A000"
	unknownStatement      = "26000"
	duplicateStatement    = "42P05"
	protocolViolation     = "08P01"
	duplicateSchema       = "42P06"
	duplicateTable        = "42P07"
	duplicateObject       = "42710"
	duplicateColumn       = "42701"
)

// slotHolders is the constraint that limits a slot to a single holder.
const slotHolders = "incident_slot_holders"

// serverError is an error from the server, with the fields that both drivers report.
type serverError struct {
	state      string // the SQLSTATE
	severity   string // in English, or else in the language of the server's messages
	constraint string
	message    string
	routine    string // the server's routine that raised the error
}

// asServerError finds the server's error in err. Both *pq.Error and *pgconn.PgError have the
// method SQLState, and the other values in exported fields.
func asServerError(err error) (e serverError, ok bool) {
	if err == nil {
		return e, false
	}
	var reported interface{ SQLState() string }
	if !errors.As(err, &reported) || len(reported.SQLState()) != 5 {
		return e, false
	}
	v := pointee(reflect.ValueOf(reported))
	field := func(names ...string) string {
		if v.Kind() != reflect.Struct {
			return ""
		}
		for _, name := range names {
			if f := v.FieldByName(name); f.IsValid() && f.Kind() == reflect.String && f.Len() > 0 {
				return f.String()
			}
		}
		return ""
	}
	return serverError{
		state:      reported.SQLState(),
		severity:   field("SeverityUnlocalized", "Severity"),
		constraint: field("Constraint", "ConstraintName"),
		message:    field("Message"),
		routine:    field("Routine"),
	}, true
}

// sqlState returns the SQLSTATE of a server's error, or "" for any other error.
func sqlState(err error) string {
	e, _ := asServerError(err)
	return e.state
}

// kindOfError returns the driver that read a server's error.
func kindOfError(err error) driverKind {
	var reported interface{ SQLState() string }
	if !errors.As(err, &reported) {
		return unknownDriver
	}
	return kindOf(pointee(reflect.ValueOf(reported)).Type().PkgPath())
}

// refused reports whether the error refuses a statement, so that the statement wrote nothing.
// An error that ends the connection does not: it may follow a commit.
func (e serverError) refused() bool {
	switch e.severity {
	case "ERROR":
		return !e.ofLostServer()
	case "FATAL", "PANIC":
		return false
	}
	// The severity is in another language.
	switch e.state[:2] {
	case "08", "28", "58", "F0", "XX":
		return false
	case "57":
		return e.state == queryCanceled
	case "53":
		return e.state != tooManyConnections
	case "25":
		return e.state != "25P03" && e.state != "25P04" // timeouts, which end the connection
	}
	return true
}

// ofLostServer reports whether a server passed on that it lost another server, as the
// coordinator of Citus does. The other server may have committed the statement before.
func (e serverError) ofLostServer() bool {
	switch e.state {
	case "57P01", "57P02", "57P03", "57P04", "57P05":
		return true
	case internalError:
		return e.message == endOfCitus || commitsOfCitus[e.routine] && !e.isDuplicateKey()
	}
	return strings.HasPrefix(e.state, "08") && e.state != protocolViolation
}

// isDisturbed reports whether a statement failed because of concurrent writers, and may
// succeed if it is repeated.
func isDisturbed(err error) bool {
	e, ok := asServerError(err)
	if !ok {
		return errors.Is(err, errAgain)
	}
	switch e.state {
	case serializationFailure, deadlockDetected, unregistered, shardElsewhere, noRows:
		return true
	case checkViolation:
		return e.violates(slotHolders)
	}
	return e.isDuplicateKey() || e.isOfGoneShard()
}

// isMoving reports whether a statement failed because it was sent to another server of Citus than
// has the organization, or before that server knew it.
func isMoving(err error) bool {
	switch sqlState(err) {
	case unregistered, shardElsewhere, noRows:
		return true
	}
	return false
}

// isRolledBack reports whether a commit rolled back because a statement of the transaction
// had failed.
func isRolledBack(err error) bool {
	return errors.Is(err, pq.ErrInFailedTransaction) ||
		err != nil && strings.Contains(err.Error(), "commit unexpectedly resulted in rollback") // pgx.ErrTxCommitRollback
}

// translate turns errors of a driver into errors of package incident, and adds op to both
// kinds. Only translate does so.
func (d *database) translate(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	for _, known := range []error{
		incident.ErrNotFound, incident.ErrConflict, incident.ErrInvalid, incident.ErrUnavailable, incident.ErrUnknownOutcome,
	} {
		if errors.Is(err, known) {
			return fmt.Errorf("postgres: %s: %w", op, err)
		}
	}
	// The drivers report the consequences of a context's end, not the end itself.
	if ended := endOf(ctx); ended != nil {
		return fmt.Errorf("postgres: %s: %w", op, ended)
	}
	remedy, category := d.classify(err)
	translated := fmt.Errorf("postgres: %s: %w: %s: %w", op, category, remedy, err)
	if isDisturbed(err) {
		return disturbedError{translated}
	}
	return translated
}

// disturbedError is the error of a call or a transaction that may succeed if it is repeated.
type disturbedError struct{ error }

func (e disturbedError) Unwrap() error { return e.error }

// Disturbed tells a Manager to repeat a transaction of its own: see [incident.Store].
func (disturbedError) Disturbed() bool { return true }

// endOf returns the error of a context that has ended, or whose deadline has come: a timer of the network
// for the same deadline may ring first.
func endOf(ctx context.Context) error {
	err := ctx.Err()
	if deadline, ok := ctx.Deadline(); ok && err == nil && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return err
}

// classify returns the remedy for a driver's error, and its category.
func (d *database) classify(err error) (remedy string, category error) {
	if errors.Is(err, sql.ErrTxDone) {
		return "the transaction has ended", incident.ErrInvalid
	}
	if isReadOnly(err) {
		return "the connection is read-only; connect to the primary server, " +
			"or reset default_transaction_read_only of the role or the database", incident.ErrUnavailable
	}
	if isDisturbed(err) || errors.Is(err, errAgain) {
		return "concurrent writers were in the way; repeat the call or its whole transaction, " +
			"which fails less often at READ COMMITTED", incident.ErrUnavailable
	}
	if isRolledBack(err) {
		return "a statement of the transaction has failed, and nothing was committed; repeat the transaction", incident.ErrUnavailable
	}
	e, ok := asServerError(err)
	if !ok && strings.Contains(err.Error(), "date/time value") { // of pgx, which reads texts in some modes
		return "the driver cannot read a time; set DateStyle of the role or the database to ISO", incident.ErrUnavailable
	}
	if !ok {
		return "the connection failed; check that the server runs and can be reached", incident.ErrUnavailable
	}
	switch e.state {
	case undefinedTable, undefinedColumn, invalidSchemaName:
		return fmt.Sprintf("the tables in schema %q are missing, older than the library, or newer; run postgres.Migrate, or update the library", d.options.Schema), incident.ErrUnavailable
	case undefinedFunction:
		if d.citus != nil {
			return fmt.Sprintf("schema %q lacks a function of the library, or has that of another version; run postgres.MigrateCitus", d.options.Schema),
				incident.ErrUnavailable
		}
	case insufficientPrivilege:
		return lackingRight(e), incident.ErrUnavailable
	case inFailedTransaction:
		return "the transaction has failed; roll it back and repeat it", incident.ErrUnavailable
	case queryCanceled:
		return "the server cancelled the statement; see its statement_timeout", incident.ErrUnavailable
	case lockNotAvailable:
		return "a lock was not available within the server's lock_timeout; repeat the call", incident.ErrUnavailable
	case diskFull:
		return "the server's disk is full; free space on it", incident.ErrUnavailable
	case tooManyConnections:
		return "the server has no connection left; make the pools smaller or max_connections larger", incident.ErrUnavailable
	case unknownStatement, duplicateStatement:
		return "prepared statements get lost, as behind a pooler that gives each transaction another connection; " +
				"add binary_parameters=yes to the DSN of lib/pq, or default_query_exec_mode=exec to that of pgx, and set Unprepared",
			incident.ErrUnavailable
	case protocolViolation:
		return "the server, or a pooler in front of it, refused a message of the driver; PgBouncer needs " +
			"ignore_startup_parameters = extra_float_digits and pool_mode = transaction or session", incident.ErrUnavailable
	case unknownDatabase:
		return "the database does not exist; create it, or correct the DSN", incident.ErrUnavailable
	}
	return classifyByClass(e)
}

// lackingRight returns the remedy for a missing right.
func lackingRight(e serverError) string {
	if e.routine == "ExecWithCheckOptions" {
		return "a policy of row-level security forbids the row; let the policies of the tables admit all rows to the role, " +
			"or give it BYPASSRLS"
	}
	return "the role of the connection lacks a right; grant it USAGE on the schema " +
		"and SELECT, INSERT, UPDATE, DELETE on its tables"
}

func classifyByClass(e serverError) (remedy string, category error) {
	switch e.state[:2] {
	case "22", "23":
		return "the database cannot keep a value", incident.ErrInvalid
	case "28":
		return "the server refuses the user or the password; correct the DSN", incident.ErrUnavailable
	case "57":
		return "the server is stopping or starting; repeat the call when it is back", incident.ErrUnavailable
	}
	return "the server refused the statement", incident.ErrUnavailable
}
