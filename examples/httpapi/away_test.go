package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/memory"
)

// While the database is down each request gets 503. Once it is back, requests succeed
// again.
func TestAPI_recoversFromOutage(t *testing.T) {
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
	// A silent database delays a request no longer than its timeout.
	w.api.timeout = time.Second
	proxy.Do(pgtest.Silence, pgtest.CutRST, 1, 1000)
	w.want(504, "", "ada", "GET", incidentURL(key), "")
	proxy.Heal()
}

// A truncated response is not mistaken for a complete one.
func TestObserved_panicDuringResponse(t *testing.T) {
	log := new(lockedBuffer)
	a := &api{log: slog.New(slog.NewJSONHandler(log, nil))}
	server := httptest.NewServer(a.observed(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half"))
		panic("a secret")
	})))
	defer server.Close()
	res, err := server.Client().Get(server.URL)
	if err == nil {
		defer res.Body.Close()
		_, err = io.ReadAll(res.Body)
	}
	if err == nil {
		t.Errorf("the client got %d without an error", res.StatusCode)
	}
	if text := log.String(); !strings.Contains(text, `"msg":"panic"`) || !strings.Contains(text, `"msg":"request"`) {
		t.Errorf("the log is\n%s", text)
	}
}

// A client that disconnects is not logged as a failure of the server.
func TestAPI_disconnectIsNoFault(t *testing.T) {
	w := newWorld(t, memory.New(), newSpec(t))
	key := w.fire(w.acme)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", incidentURL(key), nil)
	r.Header.Set("Authorization", "Bearer token-of-ada")
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	if recorder.Code != statusClientGone || !strings.Contains(w.log.String(), `"status":499`) || strings.Contains(w.log.String(), "ERROR") {
		t.Errorf("status %d, and the log is\n%s", recorder.Code, w.log)
	}
}
