package postgres

import (
	"database/sql/driver"
	"reflect"
	"strings"

	"github.com/incidentkit/incident"
)

// The store never imports a driver that a host may not have: it tells drivers
// apart by the packages of their types, and looks through wrappers for them.

// driverKind is a driver that the store knows.
type driverKind int

const (
	unknownDriver driverKind = iota // behind a wrapper; the first call finds out
	pqDriver
	pgxDriver
)

// Packages of the types by which drivers are recognized.
const (
	pqPackage        = "github.com/lib/pq"
	pgxStdlibPackage = "github.com/jackc/pgx/v5/stdlib"
	pgxErrorPackage  = "github.com/jackc/pgx/v5/pgconn"
)

const supportedDrivers = `use a pool of github.com/lib/pq (driver "postgres") or of github.com/jackc/pgx/v5/stdlib (driver "pgx")`

// maxWrappers bounds how many wrappers are looked through.
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

// checkDriver refuses a pool's driver that is neither known nor a wrapper. The first
// call examines what a wrapper hides.
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

// nameOf is the type of a driver with its whole package.
func nameOf(d reflect.Value) string {
	if !d.IsValid() {
		return "nil"
	}
	return d.Type().PkgPath() + "." + d.Type().Name()
}

// otherDatabases are parts of the names of packages whose drivers have fields that
// a wrapper could have, too.
var otherDatabases = []string{
	"mysql", "sqlite", "mssql", "sqlserver", "oracle", "godror", "clickhouse", "snowflake", "duckdb", "firebird", "pgx/v4", "go-pg",
}

// mayHide reports whether a driver could be a wrapper that keeps the wrapped driver
// out of sight: in a function, or in another interface.
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

// fieldOf returns the first field of a struct that holds a value of an interface.
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

// link is what a connection of a driver tells about itself. It is read from fields
// that the drivers do not export, since they report these facts nowhere else; a
// driver that renames them is one that does not tell.
type link struct {
	kind driverKind
	pid  int64 // the backend that greeted the driver, 0 if it does not tell
	mode execMode
}

// execMode is pgx.QueryExecMode: how pgx sends a statement.
type execMode int64

const (
	unknownMode execMode = iota
	cacheStatement
	cacheDescribe
	describeExec
	exec
	simpleProtocol
)

// String returns the name that the DSN has for it.
func (m execMode) String() string {
	names := [...]string{"cache_statement", "cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"}
	if m < 0 || int(m) >= len(names) {
		return "unknown"
	}
	return names[m]
}

// oneTrip reports whether a statement is parsed and executed in the same round trip.
func (m execMode) oneTrip() bool { return m == cacheDescribe || m == exec || m == simpleProtocol }

// inspect looks at a connection of [sql.Conn.Raw].
func inspect(conn any) (l link) {
	v := reflect.ValueOf(conn)
	for range maxWrappers {
		v = pointee(v)
		if !v.IsValid() {
			return l
		}
		if l.kind = kindOf(v.Type().PkgPath()); l.kind != unknownDriver {
			break
		}
		inner, ok := fieldOf(v, reflect.TypeFor[driver.Conn]())
		if !ok {
			return l
		}
		v = inner
	}
	switch l.kind {
	case pqDriver:
		l.pid = number(v, "pid")
	case pgxDriver:
		l.pid = number(v, "conn", "pgConn", "pid")
		l.mode = execMode(number(v, "conn", "config", "DefaultQueryExecMode"))
	}
	return l
}

// number is the integer at a path of fields, or 0 if there is none.
func number(v reflect.Value, path ...string) int64 {
	for _, name := range path {
		if v = pointee(v); v.Kind() != reflect.Struct {
			return 0
		}
		v = v.FieldByName(name)
	}
	switch {
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return int64(v.Uint())
	}
	return 0
}
