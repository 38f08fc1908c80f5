package postgres

import (
	"context"
	"errors"
	"reflect"
	"time"
)

// A connection may outlive a failover and lead to a server that has become a standby.
// Such a connection is read-only, and is replaced. A role, a database or a standby can be
// read-only as well: then every new connection is, and replacing connections stops.

// readOnlyTime is how long no connection is replaced after all of them were read-only.
const readOnlyTime = time.Second

// beginsReadOnly are the routines of the server that refuse BEGIN READ WRITE on a standby.
var beginsReadOnly = map[string]bool{"check_XactReadOnly": true, "check_transaction_read_only": true}

// errBeginsReadOnly refuses a session that is read-only by default.
var errBeginsReadOnly = errors.New("the session is read-only by default")

// isReadOnly reports whether a statement failed because its connection must not write.
func isReadOnly(err error) bool {
	if errors.Is(err, errBeginsReadOnly) {
		return true
	}
	e, ok := asServerError(err)
	return ok && (e.state == readOnlyTransaction || e.state == featureNotSupported && beginsReadOnly[e.routine])
}

// replaceable returns how many read-only connections may be replaced: all open connections,
// because each may have outlived a failover, and another; or 0 if all were read-only within
// readOnlyTime.
func (d *database) replaceable() int {
	if time.Now().UnixNano()-d.readOnlyAt.Load() < int64(readOnlyTime) {
		return 0
	}
	return d.pool.Stats().OpenConnections + 1
}

// allReadOnly records that replacing connections did not help.
func (d *database) allReadOnly() { d.readOnlyAt.Store(time.Now().UnixNano()) }

// readOnly reports whether transactions of the session are read-only by default. With pgx,
// whose BEGIN keeps the default, the driver's report is enough. With lib/pq it asks the
// server if there is no report, and behind a pooler, because poolers do not pass reports on.
func (s *session) readOnly(ctx context.Context) (on bool, err error) {
	on, known := s.state.link.readOnly()
	if known && !s.database.wire.pooled.Load() || s.state.link.kind == pgxDriver {
		return on, nil
	}
	err = s.conn.GetContext(ctx, &on, "SELECT current_setting('default_transaction_read_only')::boolean")
	return on, err
}

// readOnly reports whether transactions of the connection are read-only by default, by
// the server's latest report to the driver. known is false without a report.
func (l link) readOnly() (on, known bool) {
	const setting = "default_transaction_read_only"
	switch {
	case l.pgx != nil:
		value := l.pgx.ParameterStatus(setting)
		return value == "on", value != ""
	case l.kind == pqDriver:
		status := fieldAt(l.conn, "parameterStatus", "defaultTransactionReadOnly")
		if v := fieldAt(status, "Valid"); v.IsValid() && v.Kind() == reflect.Bool && v.Bool() {
			return fieldAt(status, "Bool").Bool(), true
		}
	}
	return false, false
}
