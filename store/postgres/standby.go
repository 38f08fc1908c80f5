package postgres

import (
	"database/sql/driver"
	"errors"
	"reflect"
	"sync/atomic"

	"github.com/lib/pq"
)

// A commit waits for the server's synchronous standbys, if there are any. If the commit is
// cancelled while it waits, the server stops waiting and reports success, with a warning
// that the commit may not have been replicated.

// errUnreplicated is the error of a commit with that warning.
var errUnreplicated = errors.New("the server gave up waiting for its synchronous standby")

// standbyWatch looks for the warning among the notices of a lib/pq connection. Other drivers
// report notices only to the code that opened the connection.
type standbyWatch struct {
	conn    driver.Conn
	before  func(*pq.Error) // the handler of the host
	gaveUp  atomic.Bool
	handler func(*pq.Error)
}

// watchStandby returns nil for a connection of another driver.
func watchStandby(conn driver.Conn) *standbyWatch {
	if wrapped, ok := conn.(interface{ Raw() driver.Conn }); ok { // such as otelsql's
		conn = wrapped.Raw()
	}
	if t := reflect.TypeOf(conn); t == nil || t.String() != "*pq.conn" || t.Elem().PkgPath() != "github.com/lib/pq" {
		return nil
	}
	w := &standbyWatch{conn: conn}
	w.handler = func(notice *pq.Error) {
		if notice.Routine == "SyncRepWaitForLSN" { // its text depends on lc_messages
			w.gaveUp.Store(true)
		}
		if w.before != nil {
			w.before(notice)
		}
	}
	return w
}

// begin watches the connection until end. The caller must hold the connection's session.
func (w *standbyWatch) begin() {
	if w == nil {
		return
	}
	w.gaveUp.Store(false)
	w.before = pq.NoticeHandler(w.conn)
	pq.SetNoticeHandler(w.conn, w.handler)
}

func (w *standbyWatch) end() {
	if w != nil {
		pq.SetNoticeHandler(w.conn, w.before)
	}
}

// err returns errUnreplicated if the warning has arrived.
func (w *standbyWatch) err() error {
	if w != nil && w.gaveUp.Load() {
		return errUnreplicated
	}
	return nil
}
