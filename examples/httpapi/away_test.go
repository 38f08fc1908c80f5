package main

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/memory"
)

// While the database is away each request is told so, and when it is back it serves
// again.
func TestAPI_StoreAway(t *testing.T) {
	proxy := pgtest.NewProxy(t, pgtest.NewDatabase(t))
	w := newWorld(t, mustOpen(t, proxy.URL()), newSpec(t))
	key := w.commented(w.acme)
	before := w.snapshot()
	proxy.Refuse()
	for _, r := range w.requests(key) {
		w.want(503, `{"detail":"The store cannot answer now. Nothing was written; try again."}`, "ada", r.method, r.path, r.body)
	}
	proxy.Heal()
	if after := w.snapshot(); after != before {
		t.Errorf("something was written:\n%s\nwas\n%s", after, before)
	}
	for _, r := range w.requests(key) {
		if got := w.do("ada", r.method, r.path, r.body); got.status >= 300 {
			t.Errorf("%v = %d %s when the database is back", r, got.status, got.body)
		}
	}
	// A database that has fallen silent is not waited for longer than a request may last.
	proxy.Do(pgtest.Silence, pgtest.CutRST, 1, 1000)
	w.want(504, "", "ada", "GET", incidentURL(key), "")
	proxy.Heal()
}

// A client that goes away is no failure of the server, and nobody is told that it was
// done.
func TestAPI_ClientGone(t *testing.T) {
	w := newWorld(t, memory.New(), newSpec(t))
	key := w.fire(w.acme)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", incidentURL(key), nil)
	r.Header.Set("Authorization", "Bearer token-of-ada")
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	if recorder.Code != statusClientGone || !strings.Contains(w.log.String(), `"status":499`) || strings.Contains(w.log.String(), "ERROR") {
		t.Errorf("the answer is %d, and the log\n%s", recorder.Code, w.log)
	}
}
