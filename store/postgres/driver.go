package postgres

import (
	"context"
	"database/sql/driver"
	"net"
	"reflect"
	"strings"

	"github.com/incidentkit/incident"
)

// The package imports lib/pq but not pgx, so that a host of lib/pq does not inherit pgx. It
// recognizes drivers by the packages of their types, and looks through wrappers.

// driverKind is a driver that the store knows.
type driverKind int

const (
	unknownDriver driverKind = iota // behind a wrapper, which the first call examines
	pqDriver
	pgxDriver
)

// The packages of the drivers' types.
const (
	pqPackage        = "github.com/lib/pq"
	pgxStdlibPackage = "github.com/jackc/pgx/v5/stdlib"
	pgxErrorPackage  = "github.com/jackc/pgx/v5/pgconn"
)

const supportedDrivers = `use a pool of github.com/lib/pq (driver "postgres") or of github.com/jackc/pgx/v5/stdlib (driver "pgx")`

// maxWrappers bounds the wrappers around a driver.
const maxWrappers = 8

func kindOf(pkg string) driverKind {
	switch pkg {
	case pqPackage:
		return pqDriver
	case pgxStdlibPackage, pgxErrorPackage:
		return pgxDriver
	}
	return unknownDriver
}

// checkDriver refuses a driver that is neither known nor possibly a wrapper. The first call
// examines a wrapper that hides its driver.
func checkDriver(d driver.Driver) error {
	v := reflect.ValueOf(d)
	for range maxWrappers {
		v = pointee(v)
		if !v.IsValid() {
			break
		}
		if kindOf(v.Type().PkgPath()) != unknownDriver {
			return nil
		}
		inner, ok := fieldOf(v, reflect.TypeFor[driver.Driver]())
		if !ok {
			break
		}
		v = inner
	}
	if v.IsValid() && mayHide(v) {
		return nil
	}
	return &incident.FieldError{
		Field: "pool", Problem: "has the driver " + nameOf(v) + ", which is not supported; " + supportedDrivers,
	}
}

// nameOf returns the type of a driver with its package path.
func nameOf(d reflect.Value) string {
	if !d.IsValid() {
		return "nil"
	}
	return d.Type().PkgPath() + "." + d.Type().Name()
}

// otherDatabases are parts of the package names of drivers whose fields look like those of a
// wrapper.
var otherDatabases = []string{
	"mysql", "sqlite", "mssql", "sqlserver", "oracle", "godror", "clickhouse", "snowflake", "duckdb", "firebird", "pgx/v4", "go-pg",
}

// mayHide reports whether a driver could be a wrapper that hides the wrapped driver in a
// function or another interface.
func mayHide(v reflect.Value) bool {
	pkg := strings.ToLower(v.Type().PkgPath())
	for _, name := range otherDatabases {
		if strings.Contains(pkg, name) {
			return false
		}
	}
	if v.Kind() != reflect.Struct {
		return v.Kind() == reflect.Func
	}
	for i := range v.NumField() {
		switch v.Field(i).Kind() {
		case reflect.Func, reflect.Interface:
			return true
		}
	}
	return false
}

// pointee follows pointers and interfaces to a value.
func pointee(v reflect.Value) reflect.Value {
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		v = v.Elem()
	}
	return v
}

// fieldOf returns the value of the first interface field in a struct that implements of.
func fieldOf(v reflect.Value, of reflect.Type) (reflect.Value, bool) {
	if v.Kind() != reflect.Struct {
		return v, false
	}
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Interface && !f.IsNil() && f.Elem().Type().Implements(of) {
			return f.Elem(), true
		}
	}
	return v, false
}

// link holds what a connection of a driver reveals about itself. lib/pq has some of it in
// unexported fields only; if a release renames them, the connection reveals nothing.
type link struct {
	kind driverKind
	conn reflect.Value // of the driver's own type, without wrappers
	pid  int64         // the server process in the driver's handshake, or 0 if unknown
	mode execMode
	pgx  pgxConn // nil for another driver, and behind a wrapper that hides it
}

// pgxConn has the methods of *pgconn.PgConn that the store calls.
type pgxConn interface {
	PID() uint32
	ParameterStatus(key string) string
	CancelRequest(ctx context.Context) error
	Conn() net.Conn
}

// execMode is pgx.QueryExecMode: the way in which pgx sends a statement.
type execMode int64

const (
	unknownMode execMode = iota
	cacheStatement
	cacheDescribe
	describeExec
	exec
	simpleProtocol
)

// String returns the mode's name in a DSN.
func (m execMode) String() string {
	names := [...]string{"cache_statement", "cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"}
	if m < 0 || int(m) >= len(names) {
		return "unknown"
	}
	return names[m]
}

// oneTrip reports whether a statement is parsed and executed in the same round trip.
func (m execMode) oneTrip() bool { return m == cacheDescribe || m == exec || m == simpleProtocol }

// inspect examines a connection from [sql.Conn.Raw].
func inspect(conn any) (l link) {
	v := reflect.ValueOf(conn)
	for range maxWrappers {
		inner := pointee(v)
		if !inner.IsValid() {
			return l
		}
		if l.kind = kindOf(inner.Type().PkgPath()); l.kind != unknownDriver {
			l.conn = inner
			break
		}
		if wrapper, ok := interfaceOf[interface{ Raw() driver.Conn }](v); ok {
			v = reflect.ValueOf(wrapper.Raw())
			continue
		}
		if inner, ok := fieldOf(inner, reflect.TypeFor[driver.Conn]()); ok {
			v = inner
			continue
		}
		return l
	}
	switch l.kind {
	case pqDriver:
		l.pid = number(fieldAt(l.conn, "pid"))
	case pgxDriver:
		l.pid = number(fieldAt(l.conn, "conn", "pgConn", "pid"))
		l.mode = execMode(number(fieldAt(l.conn, "conn", "config", "DefaultQueryExecMode")))
		l.pgx, _ = interfaceOf[pgxConn](result(result(v, "Conn"), "PgConn"))
	}
	return l
}

// interfaceOf returns the value as an interface. It fails for the value of an unexported
// field: such a value can be read but not called.
func interfaceOf[T any](v reflect.Value) (t T, ok bool) {
	if v.IsValid() && v.CanInterface() {
		t, ok = v.Interface().(T)
	}
	return t, ok
}

// result calls a method that has no arguments and a single result. It returns the zero Value if
// there is no such method.
func result(v reflect.Value, method string) reflect.Value {
	if !v.IsValid() || !v.CanInterface() {
		return reflect.Value{}
	}
	m := v.MethodByName(method)
	if !m.IsValid() || m.Type().NumIn() != 0 || m.Type().NumOut() != 1 {
		return reflect.Value{}
	}
	return m.Call(nil)[0]
}

// fieldAt returns the value at a path of fields, or the zero Value.
func fieldAt(v reflect.Value, path ...string) reflect.Value {
	for _, name := range path {
		if v = pointee(v); v.Kind() != reflect.Struct {
			return reflect.Value{}
		}
		v = v.FieldByName(name)
	}
	return v
}

// number returns the value as an integer, or 0 if it is not an integer.
func number(v reflect.Value) int64 {
	switch {
	case !v.IsValid():
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return int64(v.Uint())
	}
	return 0
}
