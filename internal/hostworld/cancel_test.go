package hostworld_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// cancelCode is the code of a request to cancel, in place of the version of the protocol.
const cancelCode = 80877102

// busyPooler passes connections on, and requests to cancel after a while.
type busyPooler struct {
	server string // its address
	while  time.Duration
	asked  chan error // receives, for each request, whether its connection stayed open meanwhile
	served sync.WaitGroup
}

var errLeft = errors.New("the connection of a request to cancel was closed before the server had the request")

// newBusyPooler starts a pooler before the server of a URL, and returns the URL through it.
func newBusyPooler(t *testing.T, server string, while time.Duration) (p *busyPooler, through string) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p = &busyPooler{server: u.Host, while: while, asked: make(chan error, 8)}
	t.Cleanup(p.served.Wait)
	t.Cleanup(func() { l.Close() })
	p.served.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.served.Go(func() { p.serve(client) })
		}
	})
	u.Host = l.Addr().String()
	return p, u.String()
}

func (p *busyPooler) serve(client net.Conn) {
	defer client.Close()
	head := make([]byte, 8)
	if _, err := io.ReadFull(client, head); err != nil {
		return
	}
	isCancel := binary.BigEndian.Uint32(head[4:]) == cancelCode
	if isCancel {
		key := make([]byte, binary.BigEndian.Uint32(head)-8)
		if _, err := io.ReadFull(client, key); err != nil {
			return
		}
		head = append(head, key...)
		_ = client.SetReadDeadline(time.Now().Add(p.while))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			p.asked <- errLeft
			return
		}
	}
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	if _, err := server.Write(head); err != nil {
		return
	}
	if isCancel {
		_, _ = io.Copy(client, server) // the server answers nothing, and closes
		p.asked <- nil
		return
	}
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

// A call whose context has ended waits only a moment for its request to cancel, which continues without it:
// PgBouncer 1.18.0 crashes if the connection of a request is closed before it has passed that on.
func TestCancel_busyPooler(t *testing.T) {
	t.Parallel()
	for _, w := range []world{{name: "pq", open: openPQ}, {name: "pgx", open: openPGX}, {name: "otelsql over pgx", open: openTracedPGX}} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			server := pgtest.NewDatabase(t)
			admin := world{open: openPQ, conns: 1}.mustMigrate(t, server)
			const while = 3 * time.Second
			pooler, through := newBusyPooler(t, server, while)
			w.conns = 2
			m := mustManager(t, mustNew(t, w.mustOpen(t, through), nil))
			r, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
			if err != nil {
				t.Fatal(err)
			}
			locking := admin.MustBegin()
			defer locking.Rollback() //nolint:errcheck // nothing was written
			locking.MustExec("LOCK TABLE incident_seen")
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			if _, err := m.MarkSeen(ctx, r.Key(), "ada"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("MarkSeen() = %v, want the context's error", err)
			}
			if took := time.Since(start); took > while-time.Second/2 {
				t.Errorf("MarkSeen() took %v with a context of 100 ms, so it waited for its request to cancel", took)
			}
			select {
			case err := <-pooler.asked:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Error("there was no request to cancel")
			}
		})
	}
}

// A request to cancel a statement of a transaction never reaches a later statement: either the request is
// over when the call returns, or the transaction is.
func TestCancel_laterStatement(t *testing.T) {
	t.Parallel()
	server := pgtest.NewDatabase(t)
	admin := world{open: openPQ, conns: 1}.mustMigrate(t, server)
	for _, while := range []time.Duration{200 * time.Millisecond, time.Second} {
		_, through := newBusyPooler(t, server, while)
		m := mustManager(t, mustNew(t, world{open: openPGX, conns: 1}.mustOpen(t, through), nil))
		r, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
		if err != nil {
			t.Fatal(err)
		}
		locking := admin.MustBegin()
		locking.MustExec("LOCK TABLE incident_seen")
		err = m.InTx(t.Context(), func(tx incident.Manager) error {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			answering := time.AfterFunc(150*time.Millisecond, func() { _ = locking.Rollback() })
			defer answering.Stop()
			_, first := tx.MarkSeen(ctx, r.Key(), "ada")
			db, err := postgres.Tx(tx)
			if err != nil {
				return err
			}
			if _, err = db.Exec("SELECT pg_sleep(1.5)"); err != nil && first == nil {
				t.Errorf("the statement after one whose context had ended = %v, want no error", err)
			}
			return errors.Join(first, err)
		})
		_ = locking.Rollback() // unless it is over
		t.Logf("with a request that takes %v, InTx() = %v", while, err)
	}
}
